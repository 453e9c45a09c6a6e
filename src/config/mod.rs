//! The configuration: the file as written, the settings as resolved, the difference between two of them.
