//! The HTTP face of the monitor.
