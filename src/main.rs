//! The program: arguments, logging, exit status.

fn main() {}
