//! `report show` and `report ingest`: TLS reports from files, for people and for the monitor.

mod ingest;
mod inputs;
mod show;

use std::{io, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use self::inputs::Input;
use super::{USAGE, args::Common, complain, terminal};

/// What `report` does.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ReportCommand {
    /// Show reports as a summary that a person reads in a minute
    Show(Show),
    /// Hand reports to the monitor, running or not: an MTA can pipe into it
    Ingest(Ingest),
}

/// The flags of `report show`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(
    after_help = "What is in a file decides, not its name: JSON, gzip, zip, a mail, an mbox. A folder is read file by file, a \
    maildir by its new/ and cur/.\nNobody is asked whether the sender of a mail is genuine: \"authentication\" is \"none\".\n\n\
    Exit status:\n  \
    2  wrong usage\n  \
    1  something was rejected\n  \
    0  otherwise"
)]
pub struct Show {
    /// Files, maildirs, folders of files; - reads standard input
    #[arg(value_name = "FILE", required = true)]
    pub inputs: Vec<PathBuf>,
    /// How to show what was read
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ReportFormat,
    /// Show every failure, reporter and rejected file
    #[arg(long, short)]
    pub verbose: bool,
}

/// The flags of `report ingest`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(
    after_help = "Each report or mail becomes a file in incoming/ of the state folder, from which the running monitor or the next \
    one takes it. It is not looked into before.\n\n\
    Exit status, the first that applies:\n  \
    2   wrong usage\n  \
    75  not written for a reason that may pass (EX_TEMPFAIL): an MTA tries again\n  \
    1   nothing to hand over: empty, or too large\n  \
    0   all of it is on the disk, and outlives the power"
)]
pub struct Ingest {
    /// Files, maildirs, folders of files; - reads standard input
    #[arg(value_name = "FILE", required = true)]
    pub inputs: Vec<PathBuf>,
}

/// How `report show` shows what was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// A summary for people
    #[default]
    Human,
    /// One object with every report, what was rejected, and the number of duplicates
    Json,
}

/// Runs the command and returns the exit status.
pub(super) fn run(command: &ReportCommand, common: &Common) -> u8 {
    let paths = match command {
        ReportCommand::Show(Show { inputs, .. }) | ReportCommand::Ingest(Ingest { inputs }) => inputs,
    };
    let inputs = match inputs::list(paths) {
        Ok(inputs) => inputs,
        Err(message) => return complain(&message, USAGE),
    };
    match command {
        ReportCommand::Show(show) => {
            let look = terminal::look(show.verbose);
            match show::run(&inputs, show.format, look, &mut io::stdout().lock()) {
                Ok(status) => status,
                Err(message) => complain(&message, USAGE),
            }
        }
        ReportCommand::Ingest(_) => ingest::run(&inputs, common),
    }
}
