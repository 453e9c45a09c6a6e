//! `report show`: reads reports and says what is in them.

use std::{
    collections::HashSet,
    io::{self, IsTerminal, Write},
};

use super::{Input, ReportFormat, inputs::Unread};
use crate::{
    cli::{FAILED, OK, progress::Progress, write_all},
    facts::Authentication,
    net::now,
    present::{
        Look,
        report::{Digest, Document, RejectedReport, ShownReport, summary},
    },
    protocol::tls_rpt::{
        Declared, Refusal, RefusalReason, ReportReader, Shape, TlsReport, read_mail, sniff, split_mbox,
    },
};

/// Reads the inputs, writes what is in them, and returns the exit status.
///
/// # Errors
/// The result cannot be written, as a text for the user.
pub(super) fn run(inputs: &[Input], format: ReportFormat, look: Look, out: &mut impl Write) -> Result<u8, String> {
    // The bar and the JSON would stand in each other's way on one terminal.
    let bar = format == ReportFormat::Human || !io::stdout().is_terminal();
    let progress = Progress::new("reading", if bar { inputs.len() } else { 0 }, look.unicode);
    let mut session = Session { format, ..Session::default() };
    for input in inputs {
        session.read(input, out)?;
        progress.ended("");
    }
    progress.clear();
    let text = match format {
        ReportFormat::Human => summary(&session.digest, now(), look),
        ReportFormat::Json => session.document.end(&session.digest).map_err(|error| error.to_string())?,
    };
    write(out, &text)?;
    Ok(if session.digest.rejected() > 0 { FAILED } else { OK })
}

#[derive(Default)]
struct Session {
    format: ReportFormat,
    reader: ReportReader,
    digest: Digest,
    document: Document,
    seen: HashSet<[u8; 32]>,
}

impl Session {
    fn read(&mut self, input: &Input, out: &mut impl Write) -> Result<(), String> {
        let source = input.name();
        let bytes = match input.read() {
            Ok(bytes) => bytes,
            Err(unread) => {
                let opened = !matches!(unread, Unread::Failed(_));
                self.digest.add_rejected(RejectedReport { source, refusal: unread.into(), opened });
                return Ok(());
            }
        };
        match sniff(&bytes) {
            Shape::Mbox => {
                for (number, mail) in split_mbox(&bytes).enumerate() {
                    self.mail(format!("{source}: message {}", number + 1), &mail, out)?;
                }
                Ok(())
            }
            Shape::Mail => self.mail(source, &bytes, out),
            _ => {
                let declared = Declared { media_type: None, file_name: input.file_name() };
                match self.reader.read(&bytes, declared) {
                    Ok(report) => self.take(source, report, out),
                    Err(refusal) => {
                        self.reject(source, refusal);
                        Ok(())
                    }
                }
            }
        }
    }

    fn mail(&mut self, source: String, mail: &[u8], out: &mut impl Write) -> Result<(), String> {
        match read_mail(&mut self.reader, mail) {
            Ok(found) => {
                for mail in found {
                    self.take(source.clone(), mail.report, out)?;
                }
            }
            Err(refusal) => self.reject(source, refusal),
        }
        Ok(())
    }

    fn take(&mut self, source: String, report: TlsReport, out: &mut impl Write) -> Result<(), String> {
        if !self.seen.insert(report.fingerprint()) {
            self.digest.add_duplicate();
            return Ok(());
        }
        let shown = ShownReport { source, authentication: Authentication::None, report };
        self.digest.add(&shown);
        match self.format {
            ReportFormat::Human => Ok(()),
            ReportFormat::Json => write(out, &self.document.report(&shown).map_err(|error| error.to_string())?),
        }
    }

    fn reject(&mut self, source: String, refusal: Refusal) {
        self.digest.add_rejected(RejectedReport { source, refusal, opened: true });
    }
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        let reason = match unread {
            Unread::Failed(_) => RefusalReason::BadEncoding,
            Unread::TooLarge { .. } => RefusalReason::TooLarge,
        };
        Self::new(reason, unread.to_string())
    }
}

fn write(out: &mut impl Write, text: &str) -> Result<(), String> {
    write_all(out, text).map_err(|error| format!("cannot write the result: {error}"))
}
