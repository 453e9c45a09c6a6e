//! The clear part of a server's answer to a [`ClientHello`](super::ClientHello): records, in them messages, among them the
//! ServerHello and the certificates (RFC 5246 §6.2, §7.4). Any bytes are read; what follows the end changes nothing.

use std::fmt;

use rustls_pki_types::CertificateDer;

use super::{
    MAX_CHAIN,
    hello::{ALERT_CLOSE_NOTIFY, ALERT_WARNING, RECORD_ALERT, RECORD_HANDSHAKE, offered, wire_version},
};
use crate::facts::TlsVersion;

/// RFC 5246 §6.2.3: a record has no more than 2^14 + 2048 bytes, and in clear even fewer.
const MAX_RECORD: usize = (1 << 14) + 2048;

/// A message of a handshake. Only the certificates are long: [`MAX_CHAIN`] of them at 4 kB each fit, and so does whatever rustls
/// takes.
const MAX_MESSAGE: usize = 0xffff;

/// All that is read, headers too: a chain of the longest sort in records of the shortest sort that servers make, and an end for
/// a server that sends warnings or empty messages for ever.
const MAX_FLIGHT: usize = 2 * MAX_MESSAGE;

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;

/// SSL 3.0 and every TLS call themselves so in the first byte of a version.
const MAJOR_VERSION: u8 = 3;

const HELLO_REQUEST: u8 = 0;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;

/// What a server chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The version; it may be older than the one that was asked for.
    pub version: TlsVersion,
    /// The cipher suite by its registered name.
    pub cipher: &'static str,
}

/// Why reading ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlightEnd {
    /// The server chose, and the certificates are here, or the message came that stands after them.
    Complete,
    /// A fatal alert, or the one that takes leave: its description (RFC 8446 §6).
    Alert(u8),
    /// What came is no TLS, or not as it should be.
    Fault(FlightFault),
}

/// How an answer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlightFault {
    /// The first byte is not that of a handshake or alert record, or the second not that of a version.
    NotTls(u8),
    /// A record longer than the limit.
    RecordTooLong,
    /// A message longer than the limit.
    MessageTooLong,
    /// More bytes than such an answer has.
    TooManyBytes,
    /// A record without content, half an alert, or lengths that do not fit.
    Malformed,
    /// A message or record that has no place here.
    OutOfOrder,
    /// A version that was not offered, SSL 3.0 among them.
    WrongVersion(u16),
    /// A cipher suite that was not offered.
    WrongCipher(u16),
}

/// Reads the answer to one hello.
#[derive(Clone, Debug)]
pub struct FlightReader {
    /// The version of the hello.
    asked: TlsVersion,
    /// The beginning of a record.
    record: Vec<u8>,
    /// The beginning of a message, from one record or several.
    messages: Vec<u8>,
    /// How many bytes all records had so far.
    taken: usize,
    choice: Option<Choice>,
    chain: Vec<CertificateDer<'static>>,
    end: Option<FlightEnd>,
}

impl FlightReader {
    /// A reader of the answer to a hello of this version.
    pub const fn new(asked: TlsVersion) -> Self {
        Self { asked, record: Vec::new(), messages: Vec::new(), taken: 0, choice: None, chain: Vec::new(), end: None }
    }

    /// Bytes came.
    pub fn receive(&mut self, mut bytes: &[u8]) {
        while self.end.is_none() && !bytes.is_empty() {
            // No more is kept than one record, however much comes at once.
            let missing = self.missing().clamp(1, bytes.len());
            let (now, later) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            self.record.extend(now);
            bytes = later;
            if let Err(end) = self.take_record() {
                self.end = Some(end);
            }
        }
    }

    /// What the server chose, once that is known.
    pub const fn choice(&self) -> Option<Choice> {
        self.choice
    }

    /// The certificates as sent, leaf first, up to [`MAX_CHAIN`]; empty where they were not read, whatever the reason.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Why no more is read; nothing while the answer may go on.
    pub const fn end(&self) -> Option<&FlightEnd> {
        self.end.as_ref()
    }

    /// How many bytes the present record lacks, as far as can be told.
    fn missing(&self) -> usize {
        match *self.record.as_slice() {
            [_, _, _, high, low, ref content @ ..] => number(&[high, low]).saturating_sub(content.len()),
            ref header => RECORD_HEADER.saturating_sub(header.len()),
        }
    }

    /// Takes the record, as soon as it is whole; tells of what is wrong as soon as it shows.
    fn take_record(&mut self) -> Result<(), FlightEnd> {
        match *self.record.as_slice() {
            [kind, ..] if !matches!(kind, RECORD_ALERT | RECORD_HANDSHAKE) => {
                // After the first record it is TLS, and something like ChangeCipherSpec that comes too early.
                return Err(if self.taken == 0 { FlightFault::NotTls(kind) } else { FlightFault::OutOfOrder }.into());
            }
            [_, major, ..] if major != MAJOR_VERSION => return Err(FlightFault::NotTls(major).into()),
            _ => {}
        }
        let [kind, _, _, high, low, content @ ..] = self.record.as_slice() else { return Ok(()) };
        let length = number(&[*high, *low]);
        if length > MAX_RECORD {
            return Err(FlightFault::RecordTooLong.into());
        }
        // RFC 5246 §6.2.1: alerts and messages are never in records without content.
        if length == 0 {
            return Err(FlightFault::Malformed.into());
        }
        if content.len() < length {
            return Ok(());
        }
        self.taken = self.taken.saturating_add(self.record.len());
        if self.taken > MAX_FLIGHT {
            return Err(FlightFault::TooManyBytes.into());
        }
        let is_alert = *kind == RECORD_ALERT;
        let content = content.to_vec();
        self.record.clear();
        if is_alert {
            return take_alerts(&content);
        }
        self.messages.extend(content);
        self.take_messages()
    }

    fn take_messages(&mut self) -> Result<(), FlightEnd> {
        while let [kind, a, b, c, rest @ ..] = self.messages.as_slice() {
            let (kind, length) = (*kind, number(&[*a, *b, *c]));
            if length > MAX_MESSAGE {
                return Err(FlightFault::MessageTooLong.into());
            }
            let Some(body) = rest.get(..length) else { return Ok(()) };
            let body = body.to_vec();
            self.messages.drain(..MESSAGE_HEADER.saturating_add(length));
            self.take_message(kind, &body)?;
        }
        Ok(())
    }

    fn take_message(&mut self, kind: u8, body: &[u8]) -> Result<(), FlightEnd> {
        match (kind, self.choice) {
            // RFC 5246 §7.4.1.1: ignored while a handshake is under way.
            (HELLO_REQUEST, _) => Ok(()),
            (SERVER_HELLO, None) => {
                self.choice = Some(self.read_hello(body)?);
                Ok(())
            }
            (CERTIFICATE, Some(_)) => {
                self.chain = read_chain(body).ok_or(FlightFault::Malformed)?;
                Err(FlightEnd::Complete)
            }
            // ServerKeyExchange, ServerHelloDone: the server goes on without a certificate.
            (12 | 14, Some(_)) => Err(FlightEnd::Complete),
            _ => Err(FlightFault::OutOfOrder.into()),
        }
    }

    /// RFC 5246 §7.4.1.3. Extensions say nothing that is wanted here.
    fn read_hello(&self, body: &[u8]) -> Result<Choice, FlightEnd> {
        let malformed = FlightFault::Malformed;
        let (version, rest) = body.split_at_checked(2).ok_or(malformed)?;
        let (_random, rest) = rest.split_at_checked(32).ok_or(malformed)?;
        let (session, rest) = rest.split_first().ok_or(malformed)?;
        let (_session, rest) = rest.split_at_checked(usize::from(*session)).ok_or(malformed)?;
        let [high, low, compression, ..] = *rest else { return Err(malformed.into()) };
        if *session > 32 || compression != 0 {
            return Err(malformed.into());
        }
        let version = u16::try_from(number(version)).unwrap_or(u16::MAX);
        let known = [TlsVersion::Tls10, TlsVersion::Tls11, TlsVersion::Tls12]
            .into_iter()
            .find(|known| wire_version(*known) == version && version <= wire_version(self.asked))
            .ok_or(FlightFault::WrongVersion(version))?;
        let cipher = u16::from_be_bytes([high, low]);
        let (_, name) =
            offered(self.asked).find(|(number, _)| *number == cipher).ok_or(FlightFault::WrongCipher(cipher))?;
        Ok(Choice { version: known, cipher: name })
    }
}

/// Warnings are passed over: servers that do not know the name in SNI used to send one and go on (RFC 6066 §3).
fn take_alerts(content: &[u8]) -> Result<(), FlightEnd> {
    let mut alerts = content.chunks_exact(2);
    for alert in alerts.by_ref() {
        match *alert {
            [ALERT_WARNING, description] if description != ALERT_CLOSE_NOTIFY => {}
            [_, description] => return Err(FlightEnd::Alert(description)),
            _ => {}
        }
    }
    if alerts.remainder().is_empty() { Ok(()) } else { Err(FlightFault::Malformed.into()) }
}

/// RFC 5246 §7.4.2; nothing where the lengths do not fit.
fn read_chain(body: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let (length, mut rest) = body.split_at_checked(3)?;
    if number(length) != rest.len() {
        return None;
    }
    let mut chain = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_at_checked(3)?;
        let (der, after) = after.split_at_checked(number(length))?;
        if chain.len() < MAX_CHAIN {
            chain.push(CertificateDer::from(der.to_vec()));
        }
        rest = after;
    }
    Some(chain)
}

/// Three bytes at most, so it fits.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
}

impl From<FlightFault> for FlightEnd {
    fn from(fault: FlightFault) -> Self {
        Self::Fault(fault)
    }
}

impl fmt::Display for FlightFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls(byte) => write!(f, "the byte {byte:#04x} stands where a TLS record begins"),
            Self::RecordTooLong => f.write_str("a record is longer than TLS allows"),
            Self::MessageTooLong => f.write_str("a handshake message is longer than 64 kB"),
            Self::TooManyBytes => f.write_str("the answer has no end"),
            Self::Malformed => f.write_str("a message is malformed"),
            Self::OutOfOrder => f.write_str("a message has no place there"),
            Self::WrongVersion(version) => write!(f, "the version {version:#06x} was chosen and not offered"),
            Self::WrongCipher(cipher) => write!(f, "the cipher suite {cipher:#06x} was chosen and not offered"),
        }
    }
}

#[cfg(test)]
mod tests;
