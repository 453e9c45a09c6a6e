//! The command line, one file a command.

pub mod args;
pub mod check;
pub mod completions;
pub mod config;
pub mod list;
pub mod logging;
pub mod manual;
pub mod policy;
pub mod progress;
pub mod report;
pub mod terminal;
pub mod tlsa;

mod demo;
mod descriptors;
mod healthcheck;
mod serve;
mod service;
mod settings;

use std::{
    ffi::OsString,
    io::{self, Write},
};

use args::{Command, Invocation};
use logging::Level;
use tokio::runtime;

/// All went well.
pub const OK: u8 = 0;
/// What was asked about is not as it should be.
pub const FAILED: u8 = 1;
/// Wrong usage or configuration.
pub const USAGE: u8 = 2;
/// Something could not be looked at for a reason on this side.
pub const OWN_SIDE: u8 = 3;

/// Runs the program with its arguments, its own name first, and returns its exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let invocation = match args::parse(arguments) {
        Ok(invocation) => invocation,
        Err(error) => {
            // Where nobody reads there is nobody to tell.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(USAGE);
        }
    };
    let quiet = !matches!(invocation.command, Command::Serve(_));
    let level = invocation.common.log_level.unwrap_or(if quiet { Level::Warn } else { Level::Info });
    logging::start(level, invocation.common.log_format);
    dispatch(invocation)
}

fn dispatch(invocation: Invocation) -> u8 {
    let Invocation { common, command } = invocation;
    match command {
        Command::Serve(serve) => serve::run(&serve, &common),
        Command::Config { command } => config::run(command, common.config_file),
        Command::Policy { command } => policy::run(&command, &common),
        Command::Tlsa { command } => tlsa::run(&command, &common),
        Command::Report { command } => report::run(&command, &common),
        Command::Demo(demo) => demo::run(&demo, &common),
        Command::Completions(completions) => completions::run(&completions),
        Command::Man(manual) => manual::run(&manual),
        Command::Healthcheck(healthcheck) => healthcheck::run(&healthcheck),
        Command::Check(check) => {
            let look = terminal::look(check.verbose);
            if let Some(code) = check.explain {
                return print(&crate::present::explain::finding(code, look), OK);
            }
            // One thread: all the looking is one task, and a second thread would only hand it its events.
            let runtime = match runtime(runtime::Builder::new_current_thread()) {
                Ok(runtime) => runtime,
                Err(status) => return status,
            };
            let engine = |domains, listeners| check::probe(domains, listeners, &common, &check);
            let mut out = io::stdout().lock();
            match runtime.block_on(check::run_with(&check, look, &mut out, engine)) {
                Ok(status) => status,
                Err(message) => complain(&message, USAGE),
            }
        }
    }
}

/// What runs the probes. Every probe may have a few sockets open, so that the limit of descriptors is raised as far as this
/// user may.
fn runtime(mut builder: runtime::Builder) -> Result<runtime::Runtime, u8> {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    builder.enable_all().build().map_err(|error| complain(&format!("this system gives no threads: {error}"), OWN_SIDE))
}

/// Prints a text; says on standard error why, where that fails. A reader that has gone is no failure.
pub(crate) fn print(text: &str, status: u8) -> u8 {
    match write_all(&mut io::stdout().lock(), text) {
        Ok(()) => status,
        Err(error) => complain(&format!("cannot write: {error}"), USAGE),
    }
}

/// Writes a text. A reader that has gone (`check … | head`) wants no more of it, which is no error.
pub(crate) fn write_all(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Says on standard error what is wrong, and returns the status.
pub(crate) fn complain(message: &str, status: u8) -> u8 {
    let _ = writeln!(io::stderr().lock(), "smtptls-exporter: {message}");
    status
}
