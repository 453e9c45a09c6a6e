//! From the bytes of a file, a part of a mail or a request to the report.

use flate2::Decompress;

use super::{
    archive::unzip,
    gzip::{bad, gunzip},
    shape::{Shape, sniff},
};
use crate::protocol::tls_rpt::{
    Quirk, Refusal, TlsReport,
    report::{Seen, read_json},
};

/// So much of the buffer is kept for the next report; what a larger one needed is given back.
const BUFFER_KEPT: usize = 1 << 20;

/// What the sender says that the bytes are. The bytes themselves decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared<'a> {
    /// `Content-Type`, with or without parameters. A file has none.
    pub media_type: Option<&'a str>,
    /// The name of the file, for what is said of it.
    pub file_name: Option<&'a str>,
}

/// Reads reports, and keeps what each of them needs: the state of the decompressor and a buffer.
pub struct ReportReader {
    inflate: Decompress,
    buffer: Vec<u8>,
}

impl Default for ReportReader {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for ReportReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReportReader").field("buffer", &self.buffer.capacity()).finish_non_exhaustive()
    }
}

impl ReportReader {
    /// With an empty buffer.
    pub fn new() -> Self {
        Self { inflate: Decompress::new(false), buffer: Vec::new() }
    }

    /// Reads a report as JSON, gzip or zip. At most [`JSON_MOST`](crate::protocol::tls_rpt::JSON_MOST) bytes are unpacked, and as many
    /// are held in memory.
    ///
    /// # Errors
    /// As [`read_report`](crate::protocol::tls_rpt::read_report), and [`RefusalReason::BadEncoding`](crate::protocol::tls_rpt::RefusalReason)
    /// for what cannot be unpacked.
    pub fn read(&mut self, bytes: &[u8], declared: Declared<'_>) -> Result<TlsReport, Refusal> {
        let outcome = self.unpack_and_read(bytes, declared);
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        outcome.map_err(|refusal| match declared.file_name {
            Some(name) => Refusal { detail: format!("{name:?}: {}", refusal.detail), ..refusal },
            None => refusal,
        })
    }

    fn unpack_and_read(&mut self, bytes: &[u8], declared: Declared<'_>) -> Result<TlsReport, Refusal> {
        let mut quirks = Seen::default();
        let shape = sniff(bytes);
        if declared.media_type.is_some_and(|media_type| !says(media_type, shape)) {
            quirks.add(Quirk::MediaTypeMismatch);
        }
        match shape {
            Shape::Gzip => gunzip(&mut self.inflate, bytes, &mut self.buffer, &mut quirks)?,
            Shape::Zip => unzip(&mut self.inflate, bytes, &mut self.buffer, &mut quirks)?,
            Shape::Json | Shape::Unknown => return read_json(bytes, quirks),
            Shape::Mail | Shape::Mbox => {
                return Err(bad("a mail stands where a report was expected: JSON, gzip or zip"));
            }
        }
        if matches!(sniff(&self.buffer), Shape::Gzip | Shape::Zip) {
            return Err(bad("compressed data within compressed data; JSON was expected"));
        }
        read_json(&self.buffer, quirks)
    }
}

/// Whether a media type is the one for these bytes (RFC 8460 §6.4, §6.5). Zip has none of its own.
fn says(media_type: &str, shape: Shape) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    match shape {
        Shape::Json => is("application/tlsrpt+json"),
        Shape::Gzip => is("application/tlsrpt+gzip"),
        Shape::Zip => is("application/tlsrpt+zip") || is("application/zip"),
        Shape::Mail | Shape::Mbox | Shape::Unknown => false,
    }
}
