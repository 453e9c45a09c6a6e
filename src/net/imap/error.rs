//! What goes wrong with an IMAP server, in words that are harmless and have no secret.

use std::{fmt, io, net::SocketAddr};

use async_imap::imap_proto::ResponseCode;

use crate::terms::Octets;

/// So much of a server's words is kept, in characters.
const MAX_WORDS: usize = 200;

/// Why a session does not begin or does not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImapError {
    /// The password or token cannot be read.
    #[error("{path}: {reason}")]
    Secret {
        /// The file.
        path: String,
        /// The system's words, or what is wrong with the content.
        reason: String,
    },
    /// The server's name leads to no address.
    #[error("{0} has no address")]
    NoAddress(String),
    /// The DNS gave no answer.
    #[error("the address of {0} cannot be looked up: {1}")]
    Lookup(String, &'static str),
    /// None of the addresses can be connected to; why not at the last.
    #[error("{address}: {reason}")]
    Connect {
        /// The address.
        address: SocketAddr,
        /// A word.
        reason: &'static str,
    },
    /// The handshake failed, or the certificate does not hold.
    #[error("no TLS: {0}")]
    Tls(String),
    /// The server refuses the user.
    #[error("the login was refused: {0}")]
    Login(String),
    /// The server refuses a command.
    #[error("{command} was refused: {text}")]
    Refused {
        /// Its first words.
        command: &'static str,
        /// The server's words.
        text: String,
        /// It would work if the folder were there (RFC 3501 §7.1, TRYCREATE).
        try_create: bool,
    },
    /// Nothing could be moved or marked, so that all of it would be read again and again.
    #[error("the folder {0:?} can be read and not be changed")]
    ReadOnly(String),
    /// A deadline passed.
    #[error("no answer in time to {0}")]
    Timeout(&'static str),
    /// The server ended the session, or the connection broke.
    #[error("the connection ended: {0}")]
    Closed(String),
    /// What the server sends is no IMAP, or too much of it.
    #[error("the answer cannot be read: {0}")]
    Protocol(String),
}

impl ImapError {
    /// A server's words with the secret taken out.
    pub(super) fn without(self, secret: &str) -> Self {
        let hide = |text: String| match text.contains(secret) || text.contains(&Octets::from(secret).to_string()) {
            true => "(words that have the secret in them)".to_owned(),
            false => text,
        };
        match self {
            Self::Login(text) => Self::Login(hide(text)),
            Self::Refused { command, text, try_create } => Self::Refused { command, text: hide(text), try_create },
            Self::Closed(text) => Self::Closed(hide(text)),
            Self::Protocol(text) => Self::Protocol(hide(text)),
            other => other,
        }
    }
}

pub(super) fn refusal(command: &'static str, text: String, code: Option<&ResponseCode<'_>>) -> ImapError {
    ImapError::Refused { command, text, try_create: matches!(code, Some(ResponseCode::TryCreate)) }
}

pub(super) fn failed(command: &'static str, error: async_imap::error::Error) -> ImapError {
    use async_imap::error::Error;
    match error {
        Error::No(text) | Error::Bad(text) => {
            ImapError::Refused { command, text: said(Some(&text)), try_create: false }
        }
        Error::Io(error) => broken(&error),
        Error::ConnectionLost => ImapError::Closed(format!("before the answer to {command}")),
        other => ImapError::Protocol(words(&other)),
    }
}

pub(super) fn broken(error: &io::Error) -> ImapError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::Other => ImapError::Protocol(words(error)),
        _ => ImapError::Closed(words(error)),
    }
}

pub(super) fn said(text: Option<&str>) -> String {
    text.map_or_else(|| "no reason given".to_owned(), |text| words(&text))
}

/// Harmless, and not without end: an error of the library may have all that was received in it.
pub(super) fn words(text: &dyn fmt::Display) -> String {
    let text: String = text.to_string().chars().take(MAX_WORDS).collect();
    Octets::from(text.as_str()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_secret() {
        let told = ImapError::Login("no, pa\\ss is wrong".into());
        assert!(!told.clone().without("pa\\ss").to_string().contains("ss is"));
        assert_eq!(told.clone().without("other"), told);
        let escaped = ImapError::Protocol(words(&"not pä, I fear"));
        assert_eq!(
            escaped.without("pä").to_string(),
            "the answer cannot be read: (words that have the secret in them)"
        );
    }
}
