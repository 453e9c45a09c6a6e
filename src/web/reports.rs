//! `GET /api/v1/domains/NAME/reports`: what TLS reports say of a domain, from the store.
//!
//! The newest report comes first: a person asks what is wrong now. The sums are those of whole days and of every report, whatever the
//! parameters pick from the list.

use http::StatusCode;

use super::{
    api::{self, Answer, PATIENCE},
    parameters::{self, Kind, PLACE, Parameter},
    route::Asked,
};
use crate::{
    monitor::{SharedStore, Snapshot},
    net::now,
    present::report::{Listing, listing_json},
    store::{ReportsWanted, Store, StoreError},
    terms::PolicyDomain,
    verdict::Assessment,
};

/// How many reports an answer holds where the question names no number.
const LIMIT: usize = 20;
/// … and at most: a large sender's report on a day with many failures has some hundred kilobytes.
const LIMIT_MOST: usize = 100;
/// Over how many days sums are made where the question names no number.
const DAYS: usize = 30;
/// … and at most: a quarter, some ten thousand numbers of a domain with many reporters.
const DAYS_MOST: usize = 92;

/// The parameters.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "limit",
        says: "How many reports at most",
        kind: Kind::Number { most: LIMIT_MOST, default: LIMIT },
    },
    Parameter { name: "before", says: "Only older ones", kind: Kind::Place },
    Parameter { name: "since", says: "Only reports whose time begins then or later", kind: Kind::Time },
    Parameter { name: "failing", says: "Only reports with failed sessions", kind: Kind::Flag },
    Parameter {
        name: "days",
        says: "Over how many days the sums run, today the last; the other parameters do not change them",
        kind: Kind::Number { most: DAYS_MOST, default: DAYS },
    },
];

const DAY_SECONDS: i64 = 86_400;

/// What a question asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    reports: ReportsWanted,
    days: usize,
}

/// Answers the question about the domain of a name in the path.
///
/// 400: a parameter is wrong. 404: the domain is not configured. 503: the store is not there, or cannot be read.
pub(super) async fn answer(asked: Asked<'_>, snapshot: &Snapshot, store: Option<&SharedStore>) -> Answer {
    let state = match api::domain(asked.name, snapshot) {
        Ok(state) => state,
        Err(unknown) => return unknown,
    };
    let wanted = match wanted(asked.query, &state.domain) {
        Ok(wanted) => wanted,
        Err(wrong) => return Answer::error(StatusCode::BAD_REQUEST, &wrong),
    };
    let store = match api::opened(store) {
        Ok(store) => store,
        Err(closed) => return closed,
    };
    let receiving = snapshot.intake.is_some();
    let judged = state.assessment.as_deref();
    match tokio::time::timeout(PATIENCE, listing(wanted, receiving, judged, store.as_ref())).await {
        Ok(Ok(body)) => Answer::found(body),
        Ok(Err(error)) => {
            // The text names files of this machine: it is for the log.
            tracing::warn!(%error, "the reports could not be read");
            Answer::unavailable("the state cannot be read at present; the log says why")
        }
        Err(_) => Answer::unavailable("the state could not be read in time"),
    }
}

async fn listing(
    Wanted { mut reports, days }: Wanted,
    receiving: bool,
    assessment: Option<&Assessment>,
    store: &dyn Store,
) -> Result<serde_json::Result<String>, StoreError> {
    let until_day = now().unix_seconds().div_euclid(DAY_SECONDS);
    let since_day = until_day - i64::try_from(days).unwrap_or(0) + 1;
    let totals = store.day_totals(&reports.domain, since_day, until_day).await?;
    let most = reports.most;
    // One more shows whether there is another page.
    reports.most = most + 1;
    let mut found = store.reports(&reports).await?;
    let more = found.len() > most;
    found.truncate(most);
    let next = found.last().filter(|_| more).map(|last| last.id);
    let domain = &reports.domain;
    let (totals, reports) = (&*totals, &*found);
    Ok(listing_json(&Listing { domain, receiving, since_day, until_day, totals, reports, next, assessment }))
}

/// Reads the parameters; what is wrong, and what was expected, for the one who asked.
fn wanted(query: &str, domain: &PolicyDomain) -> Result<Wanted, String> {
    let mut reports = ReportsWanted { domain: domain.clone(), since: None, failing: false, before: None, most: LIMIT };
    let mut days = DAYS;
    parameters::read(query, &[PARAMETERS], |name, text| {
        match name {
            "limit" => reports.most = parameters::number(text, LIMIT_MOST)?,
            "before" => {
                let id = text.parse().ok().filter(|id| *id > 0);
                reports.before = Some(id.ok_or(PLACE)?);
            }
            "since" => reports.since = Some(parameters::time(text)?),
            "failing" => reports.failing = text.parse().map_err(|_| "true or false")?,
            _ => days = parameters::number(text, DAYS_MOST)?,
        }
        Ok(())
    })?;
    Ok(Wanted { reports, days })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::parameters::TIME, *};
    use crate::terms::Timestamp;

    fn domain() -> PolicyDomain {
        PolicyDomain::parse("example.com").unwrap()
    }

    #[test]
    fn parameters_are_read_or_refused_with_what_was_expected() {
        let read = |query: &str| wanted(query, &domain()).unwrap();
        let reports = ReportsWanted { domain: domain(), since: None, failing: false, before: None, most: 20 };
        assert_eq!(read(""), Wanted { reports: reports.clone(), days: 30 });
        let since = Some(Timestamp::from_unix_seconds(1_790_000_000));
        let all = ReportsWanted { since, failing: true, before: Some(7), most: 100, ..reports };
        let query = "limit=100&before=7&since=2026-09-21T14:13:20Z&failing=true&days=92";
        assert_eq!(read(query), Wanted { reports: all, days: 92 });
        for (query, expected) in [
            ("limit=0", "from 1 to 100"),
            ("limit=101", "from 1 to 100"),
            ("days=0", "from 1 to 92"),
            ("days=93", "from 1 to 92"),
            ("before=0", "the \"next\" of an answer before"),
            ("before=x", "the \"next\" of an answer before"),
            ("since=yesterday", TIME),
            ("failing=1", "true or false"),
            ("failing", "true or false"),
            ("failing=true&failing=true", "twice"),
            ("after=7", "expected limit, before, since, failing, days"),
        ] {
            let wrong = wanted(query, &domain()).unwrap_err();
            assert!(wrong.contains(expected), "{query}: {wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_an_answer(query: String) {
            let _ = wanted(&query, &domain());
        }
    }
}
