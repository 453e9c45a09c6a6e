//! Real policies and records.
