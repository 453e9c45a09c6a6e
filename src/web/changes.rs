//! `GET /api/v1/changes` and `GET /api/v1/domains/NAME/changes`: what changed, from the store.
//!
//! The oldest comes first: a program that polls reads forward from where it was, with the cursor of the answer before. The store is
//! read beside the one that writes, and no probe waits for it.

use std::{num::IntErrorKind, time::Duration};

use http::StatusCode;

use crate::{
    monitor::{SharedStore, Snapshot},
    present::changes::page_json,
    store::{Cursor, PageError, PageWanted},
    terms::{PolicyDomain, Timestamp},
};

/// How many changes an answer holds where the question names no number.
const LIMIT: usize = 100;
/// … and at most: about half a megabyte.
const LIMIT_MOST: usize = 1000;
/// How long an answer of the store is waited for. A read takes milliseconds; beyond this the disk is in trouble.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the questions of these paths are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About<'a> {
    /// Every domain and mail host.
    All,
    /// A domain, by the name in the path, and the mail hosts that it uses now.
    Domain(&'a str),
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// A JSON document.
    pub(super) body: String,
}

impl About<'_> {
    /// What a path asks about; nothing where it is no path of changes.
    pub(super) fn of(path: &str) -> Option<About<'_>> {
        match path.strip_prefix("/api/v1/")? {
            "changes" => Some(About::All),
            rest => {
                let name = rest.strip_prefix("domains/")?.strip_suffix("/changes")?;
                (!name.is_empty() && !name.contains('/')).then_some(About::Domain(name))
            }
        }
    }

    /// Answers the question with the parameters of the query.
    ///
    /// 400: a parameter is wrong. 404: the domain is not configured. 410: the cursor is of a log that is gone. 503: the store is not
    /// there, or cannot be read.
    pub(super) async fn answer(self, query: &str, snapshot: &Snapshot, store: Option<&SharedStore>) -> Answer {
        let mut wanted = match parameters(query) {
            Ok(wanted) => wanted,
            Err(wrong) => return Answer::error(StatusCode::BAD_REQUEST, &wrong),
        };
        if let About::Domain(name) = self {
            let known = decoded(name).and_then(|name| PolicyDomain::parse(&name).ok());
            let Some(state) = known.and_then(|name| snapshot.domains.get(&name)) else {
                return Answer::error(StatusCode::NOT_FOUND, "no such domain is configured");
            };
            let hosts = state.assessment.iter().flat_map(|seen| &seen.mx).filter_map(|mx| mx.host.clone());
            wanted.about = Some((state.domain.clone(), hosts.collect()));
        }
        let Some(store) = store else {
            return Answer::unavailable("this monitor keeps no state: no state folder is in use");
        };
        let Some(store) = store.borrow().clone() else {
            return Answer::unavailable(
                "the state cannot be opened at present; the log says why, and it is tried again",
            );
        };
        match tokio::time::timeout(PATIENCE, store.page(&wanted)).await {
            Ok(Ok(page)) => match page_json(&page) {
                Ok(body) => Answer { status: StatusCode::OK, body },
                Err(error) => Answer::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            },
            Ok(Err(error @ PageError::Elsewhere)) => {
                Answer::error(StatusCode::GONE, &format!("{error}; begin again without \"after\""))
            }
            Ok(Err(error)) => {
                // The text names files of this machine: it is for the log.
                tracing::warn!(%error, "the changes could not be read");
                Answer::unavailable("the state cannot be read at present; the log says why")
            }
            Err(_) => Answer::unavailable("the state could not be read in time"),
        }
    }
}

impl Answer {
    fn error(status: StatusCode, text: &str) -> Self {
        Self { status, body: format!("{}\n", serde_json::json!({ "error": text })) }
    }

    fn unavailable(text: &str) -> Self {
        Self::error(StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

/// Reads the parameters; what is wrong, and what was expected, for the one who asked.
fn parameters(query: &str) -> Result<PageWanted, String> {
    let mut wanted = PageWanted { most: LIMIT, ..PageWanted::default() };
    let mut seen = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let wrong = |expected: &str| format!("{name}={value}: expected {expected}");
        let text = decoded(value).ok_or_else(|| wrong("UTF-8 text with two hexadecimal digits after each %"))?;
        match name {
            "since" => wanted.since = Some(time(&text).ok_or_else(|| wrong(TIME))?),
            "limit" => {
                let within = |number: &usize| (1..=LIMIT_MOST).contains(number);
                let number = text.parse().ok().filter(within);
                wanted.most = number.ok_or_else(|| wrong(&format!("a whole number from 1 to {LIMIT_MOST}")))?;
            }
            "after" => {
                let cursor = text.parse::<Cursor>();
                wanted.after = Some(cursor.map_err(|_| wrong("the \"next\" of an answer before"))?);
            }
            _ => return Err(format!("{name}: no such parameter; expected since, limit, after")),
        }
        if seen.contains(&name) {
            return Err(format!("{name}: it is there twice; expected once"));
        }
        seen.push(name);
    }
    Ok(wanted)
}

const TIME: &str = "an RFC 3339 time such as 2026-11-01T00:00:00Z, or whole seconds since 1970";

fn time(text: &str) -> Option<Timestamp> {
    match text.parse::<i64>() {
        Ok(seconds) => Some(Timestamp::from_unix_seconds(seconds)),
        Err(error) if *error.kind() == IntErrorKind::InvalidDigit => text.parse().ok(),
        Err(_) => None,
    }
}

/// A part of a request target without its percent-encoding (RFC 3986 §2.1). A plus stays one: it stands in times.
fn decoded(text: &str) -> Option<String> {
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

    #[test]
    fn paths() {
        assert_eq!(About::of("/api/v1/changes"), Some(About::All));
        assert_eq!(About::of("/api/v1/domains/example.com/changes"), Some(About::Domain("example.com")));
        for other in ["/api/v1/changes/", "/api/v1/domains//changes", "/api/v1/domains/a/b/changes", "/api/v2/changes"]
        {
            assert_eq!(About::of(other), None, "{other}");
        }
    }

    #[test]
    fn parameters_are_read_or_refused_with_what_was_expected() {
        let read = |query: &str| parameters(query).unwrap();
        let none = PageWanted { most: 100, ..PageWanted::default() };
        assert_eq!(read(""), none);
        let since = Some(Timestamp::from_unix_seconds(1_790_000_000));
        for text in ["1790000000", "2026-09-21T14:13:20Z", "2026-09-21T16:13:20+02:00", "2026-09-21T16%3A13:20%2B02:00"]
        {
            assert_eq!(read(&format!("since={text}")), PageWanted { since, ..none.clone() }, "{text}");
        }
        let after = Some(Cursor { id: 7, at: Timestamp::from_unix_milliseconds(8) });
        assert_eq!(read("limit=1000&after=7.8"), PageWanted { after, most: 1000, ..none });
        for (query, expected) in [
            ("since=", TIME),
            ("since=yesterday", TIME),
            ("since=99999999999999999999", TIME),
            ("since=1.5e9", TIME),
            ("limit=0", "from 1 to 1000"),
            ("limit=1001", "from 1 to 1000"),
            ("limit=-1", "from 1 to 1000"),
            ("limit", "from 1 to 1000"),
            ("after=7", "the \"next\" of an answer before"),
            ("limit=1&limit=2", "twice"),
            ("limt=1", "expected since, limit, after"),
            ("since=%zz", "hexadecimal"),
            ("since=%ff", "UTF-8"),
        ] {
            let wrong = parameters(query).unwrap_err();
            assert!(wrong.contains(expected), "{query}: {wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_an_answer(query: String) {
            let _ = parameters(&query);
        }

        #[test]
        fn decoding_undoes_encoding(text: String) {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(decoded(&encoded), Some(text));
        }
    }
}
