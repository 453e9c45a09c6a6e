//! `GET /api/v1/changes` and `GET /api/v1/domains/NAME/changes`: what changed, from the store.
//!
//! The oldest comes first: a program that polls reads forward from where it was, with the cursor of the answer before. The store is
//! read beside the one that writes, and no probe waits for it.

use http::StatusCode;

use super::{
    api::{self, Answer, PATIENCE},
    parameters::{self, Kind, PLACE, Parameter},
};
use crate::{
    monitor::{SharedStore, Snapshot},
    present::changes::page_json,
    store::{Cursor, PageError, PageWanted},
};

/// How many changes an answer holds where the question names no number.
const LIMIT: usize = 100;
/// … and at most: about half a megabyte.
const LIMIT_MOST: usize = 1000;

/// The parameters of both paths.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "since", says: "Only what was seen then or later", kind: Kind::Time },
    Parameter {
        name: "limit",
        says: "How many changes at most",
        kind: Kind::Number { most: LIMIT_MOST, default: LIMIT },
    },
    Parameter { name: "after", says: "Only what follows", kind: Kind::Place },
];

/// What the questions of these paths are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About<'a> {
    /// Every domain and mail host.
    All,
    /// A domain, by the name in the path, and the mail hosts that it uses now.
    Domain(&'a str),
}

impl About<'_> {
    /// Answers the question with the parameters of the query.
    ///
    /// 400: a parameter is wrong. 404: the domain is not configured. 410: the cursor is of a log that is gone. 503: the store is not
    /// there, or cannot be read.
    pub(super) async fn answer(self, query: &str, snapshot: &Snapshot, store: Option<&SharedStore>) -> Answer {
        let mut wanted = match wanted(query) {
            Ok(wanted) => wanted,
            Err(wrong) => return Answer::error(StatusCode::BAD_REQUEST, &wrong),
        };
        if let About::Domain(name) = self {
            let state = match api::domain(name, snapshot) {
                Ok(state) => state,
                Err(unknown) => return unknown,
            };
            let hosts = state.assessment.iter().flat_map(|seen| &seen.mx).filter_map(|mx| mx.host.clone());
            wanted.about = Some((state.domain.clone(), hosts.collect()));
        }
        let store = match api::opened(store) {
            Ok(store) => store,
            Err(closed) => return closed,
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

/// Reads the parameters; what is wrong, and what was expected, for the one who asked.
fn wanted(query: &str) -> Result<PageWanted, String> {
    let mut wanted = PageWanted { most: LIMIT, ..PageWanted::default() };
    parameters::read(query, &[PARAMETERS], |name, text| {
        match name {
            "since" => wanted.since = Some(parameters::time(text)?),
            "limit" => wanted.most = parameters::number(text, LIMIT_MOST)?,
            _ => {
                let cursor = text.parse::<Cursor>();
                wanted.after = Some(cursor.map_err(|_| PLACE.to_owned())?);
            }
        }
        Ok(())
    })?;
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::parameters::TIME, *};
    use crate::terms::Timestamp;

    #[test]
    fn parameters_are_read_or_refused_with_what_was_expected() {
        let read = |query: &str| wanted(query).unwrap();
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
            let wrong = wanted(query).unwrap_err();
            assert!(wrong.contains(expected), "{query}: {wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_an_answer(query: String) {
            let _ = wanted(&query);
        }
    }
}
