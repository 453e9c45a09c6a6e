//! One assessment for people and programs.
