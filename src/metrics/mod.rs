//! The metrics: the registry table and the renderer.
