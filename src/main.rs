//! The program: arguments, logging, exit status.
#![forbid(unsafe_code)]

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    smtptls_exporter::cli::run(env::args_os()).into()
}
