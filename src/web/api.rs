//! What the answers of `/api/v1/` have in common: names and parameters in, a status and a JSON document out.

use std::{num::IntErrorKind, sync::Arc, time::Duration};

use http::StatusCode;

use crate::{
    monitor::{DomainState, SharedStore, Snapshot},
    present::json,
    store::Store,
    terms::{PolicyDomain, Timestamp},
};

/// How long an answer of the store is waited for. A read takes milliseconds; beyond this the disk is in trouble.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What [`time`] reads.
pub(super) const TIME: &str = "an RFC 3339 time such as 2026-11-01T00:00:00Z, or whole seconds since 1970";

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// A JSON document.
    pub(super) body: String,
}

impl Answer {
    pub(super) fn error(status: StatusCode, text: &str) -> Self {
        Self { status, body: format!("{}\n", serde_json::json!({ "error": text })) }
    }

    pub(super) fn unavailable(text: &str) -> Self {
        Self::error(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    /// What was found, or why it cannot be written.
    pub(super) fn found(body: serde_json::Result<String>) -> Self {
        match body {
            Ok(body) => Self { status: StatusCode::OK, body },
            Err(error) => Self::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }
}

/// `GET /api/v1/domains/NAME`: the latest judgement, as `check --format json` prints one.
///
/// 404: the domain is not configured. 503: it was not probed yet.
pub(super) fn judgement(name: &str, snapshot: &Snapshot) -> Answer {
    match domain(name, snapshot) {
        Err(unknown) => unknown,
        Ok(DomainState { assessment: None, .. }) => Answer::unavailable("the domain was not probed yet"),
        Ok(DomainState { assessment: Some(seen), .. }) => {
            Answer::found(json::to_text(&json::assessment(seen)).map(|text| text + "\n"))
        }
    }
}

/// The configured domain of a name in a path, or that there is none.
pub(super) fn domain<'a>(name: &str, snapshot: &'a Snapshot) -> Result<&'a DomainState, Answer> {
    let known = decoded(name).and_then(|name| PolicyDomain::parse(&name).ok());
    let state = known.and_then(|name| snapshot.domains.get(&name));
    state.map(AsRef::as_ref).ok_or_else(|| Answer::error(StatusCode::NOT_FOUND, "no such domain is configured"))
}

/// The store, or why there is none at present.
pub(super) fn opened(store: Option<&SharedStore>) -> Result<Arc<dyn Store>, Answer> {
    let Some(store) = store else {
        return Err(Answer::unavailable("this monitor keeps no state: no state folder is in use"));
    };
    let opened = store.borrow().clone();
    opened.ok_or_else(|| {
        Answer::unavailable("the state cannot be opened at present; the log says why, and it is tried again")
    })
}

/// Hands each parameter of a query to `take`, which says what it expected where a value is wrong. Each may stand there once.
pub(super) fn parameters(
    query: &str,
    names: &[&str],
    mut take: impl FnMut(&str, &str) -> Result<(), String>,
) -> Result<(), String> {
    let mut seen = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !names.contains(&name) {
            return Err(format!("{name}: no such parameter; expected {}", names.join(", ")));
        }
        if seen.contains(&name) {
            return Err(format!("{name}: it is there twice; expected once"));
        }
        seen.push(name);
        let wrong = |expected: String| format!("{name}={value}: expected {expected}");
        let encoding = || wrong("UTF-8 text with two hexadecimal digits after each %".to_owned());
        take(name, &decoded(value).ok_or_else(encoding)?).map_err(wrong)?;
    }
    Ok(())
}

/// A whole number from 1 to `most`.
pub(super) fn number(text: &str, most: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("a whole number from 1 to {most}"))
}

/// A point in time.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let time = match text.parse::<i64>() {
        Ok(seconds) => Some(Timestamp::from_unix_seconds(seconds)),
        Err(error) if *error.kind() == IntErrorKind::InvalidDigit => text.parse().ok(),
        Err(_) => None,
    };
    time.ok_or_else(|| TIME.to_owned())
}

/// A part of a request target without its percent-encoding (RFC 3986 §2.1). A plus stays one: it stands in times.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        plain.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decoding_undoes_encoding(text: String) {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(decoded(&encoded), Some(text));
        }
    }
}
