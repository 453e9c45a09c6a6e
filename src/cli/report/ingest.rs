//! `report ingest`: puts reports where the monitor takes them up. Once it says that all went well, they outlive the power.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

use super::{Input, inputs::Unread};
use crate::{
    cli::{
        FAILED, OK,
        args::Common,
        complain, print,
        settings::{Source, colour, refused},
    },
    monitor::INCOMING,
    net::now,
    protocol::tls_rpt::{Shape, sniff, split_mbox},
};

/// The status by which a program asks an MTA to try again (`EX_TEMPFAIL` of sysexits.h; Postfix's pipe(8) and others).
const TRY_AGAIN: u8 = 75;

/// A file is for its user and the group of the state folder.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// So much of a file's own name is kept in the new one, from its end: it may name the policy domain (RFC 8460 §5.1), and names are
/// short on some file systems.
const NAME_MOST: usize = 120;

/// Writes each report or mail of the inputs into the folder, and returns the exit status.
pub(super) fn run(inputs: &[Input], common: &Common) -> u8 {
    let folder = match state_folder(common) {
        Ok(folder) => folder,
        // Somebody may be at work on the file: an MTA must not return the mail for that.
        Err(message) => return complain(&message, TRY_AGAIN),
    };
    match all(inputs, &folder) {
        Ok(Handed { written, refused: false }) => {
            let piped = inputs.iter().all(|input| *input == Input::Standard);
            if piped {
                OK
            } else {
                print(&format!("{written} handed over in {}\n", folder.join(INCOMING).display()), OK)
            }
        }
        Ok(Handed { refused: true, .. }) => FAILED,
        Err(message) => complain(&message, TRY_AGAIN),
    }
}

/// The folder that `serve` uses, by the same rules.
fn state_folder(common: &Common) -> Result<PathBuf, String> {
    if let Some(folder) = &common.state_dir {
        return Ok(folder.clone());
    }
    let source = Source { file: common.config_file.clone(), domains: Vec::new() };
    let loaded = source.load().map_err(|errors| refused(&errors, colour()))?;
    Ok(loaded.settings.state_dir().to_owned())
}

/// What became of all of it.
#[derive(Debug, PartialEq, Eq)]
struct Handed {
    written: usize,
    /// Something was nothing to hand over.
    refused: bool,
}

/// Everything that can be handed over is, also behind what cannot.
fn all(inputs: &[Input], folder: &Path) -> Result<Handed, String> {
    let incoming = Incoming::open(folder)?;
    let mut handed = Handed { written: 0, refused: false };
    for input in inputs {
        let bytes = match input.read() {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => {
                let hint = "it is empty: a report in JSON, gzip or zip, a mail or an mbox was expected";
                complain(&format!("{}: {hint}", input.name()), FAILED);
                handed.refused = true;
                continue;
            }
            Ok(bytes) => bytes,
            // What comes by a pipe is a mail that its MTA still has.
            Err(unread @ Unread::Failed(_)) if *input == Input::Standard => {
                return Err(format!("{}: {unread}", input.name()));
            }
            Err(unread) => {
                complain(&format!("{}: {unread}", input.name()), FAILED);
                handed.refused = true;
                continue;
            }
        };
        let name = input.file_name().unwrap_or("stdin");
        match sniff(&bytes) {
            Shape::Mbox => {
                for mail in split_mbox(&bytes) {
                    incoming.write(name, &mail, &mut handed.written)?;
                }
            }
            _ => incoming.write(name, &bytes, &mut handed.written)?,
        }
    }
    incoming.sync()?;
    Ok(handed)
}

/// The folder from which the monitor takes reports.
#[derive(Debug)]
struct Incoming {
    folder: PathBuf,
    handle: File,
    /// Whose the state folder is.
    owner: (u32, u32),
}

impl Incoming {
    /// Opens it, and makes it where it is missing.
    fn open(state: &Path) -> Result<Self, String> {
        let folder = state.join(INCOMING);
        let failed = |error: io::Error| format!("{} cannot be written: {error}", folder.display());
        let made = !folder.exists();
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder).map_err(failed)?;
        let owner = fs::metadata(state).map(|metadata| (metadata.uid(), metadata.gid())).map_err(failed)?;
        let handle = File::open(&folder).map_err(failed)?;
        if made {
            entrust(&handle, owner).map_err(failed)?;
            File::open(state).and_then(|state| state.sync_all()).map_err(failed)?;
        }
        Ok(Self { folder, handle, owner })
    }

    /// Writes one report under a name of its own. No reader sees a part of it: it stands under a hidden name until it is whole.
    fn write(&self, of: &str, bytes: &[u8], number: &mut usize) -> Result<(), String> {
        let name = unique_name(of, *number);
        let (hidden, whole) = (self.folder.join(format!(".{name}")), self.folder.join(name));
        let written = self.whole(&hidden, bytes).and_then(|()| fs::rename(&hidden, &whole));
        if let Err(error) = written {
            // What is left of it is hidden, and would stay for ever. Where it cannot go either, the error tells enough.
            let _ = fs::remove_file(&hidden);
            return Err(format!("{} cannot be written: {error}", whole.display()));
        }
        *number += 1;
        Ok(())
    }

    fn whole(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
        entrust(&file, self.owner)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// The new names outlive the power from here on.
    fn sync(&self) -> Result<(), String> {
        self.handle.sync_all().map_err(|error| format!("{} cannot be written: {error}", self.folder.display()))
    }
}

/// Gives a file to whom the state folder belongs, so that the monitor can read it also where root or an MTA wrote it.
fn entrust(file: &File, (user, group): (u32, u32)) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.uid() == user {
        return Ok(());
    }
    // Only root may give a file away; a member of the group may give it to the group.
    if fchown(file, Some(user), Some(group)).is_ok() || metadata.gid() == group {
        return Ok(());
    }
    fchown(file, None, Some(group)).map_err(|error| {
        let why =
            format!("the monitor could not read it: the state folder belongs to user {user}, group {group} ({error})");
        io::Error::new(error.kind(), why)
    })
}

/// A name that no other file has: the time, the process, a number and chance, because processes of two containers can have the
/// same number. The old name stands at its end.
fn unique_name(of: &str, number: usize) -> String {
    let (time, own, chance) = (now().unix_milliseconds(), std::process::id(), rand::random::<u64>());
    format!("{time}.{own}.{number}.{chance:016x}-{}", harmless(of))
}

/// The end of a name with only what stands in names that RFC 8460 §5.1 makes, and a few more.
fn harmless(name: &str) -> String {
    let kept = |letter: &char| letter.is_ascii_alphanumeric() || "._-+!@=".contains(*letter);
    let letters: Vec<char> = name.chars().filter(kept).collect();
    letters.iter().skip(letters.len().saturating_sub(NAME_MOST)).collect()
}
