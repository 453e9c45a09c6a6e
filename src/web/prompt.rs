//! "Probe now": `POST /api/v1/domains/NAME/probe`, and the button on the page of a domain.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header::RETRY_AFTER};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::{sync::watch, time::timeout};

use super::{
    Links,
    apart::apart,
    api::{self, Answer},
    body::Pieces,
    response::{json, redirect, text},
};
use crate::{
    monitor::{PromptError, Prompted, Prompter, REST, Snapshot},
    present::json::{self as view, DomainView},
    terms::PolicyDomain,
};

/// How long a program waits for the end of a look: a domain and its slowest mail host have their time in it.
const API_PATIENCE: Duration = Duration::from_secs(60);
/// How long a person waits for the page; what is still under way then shows at the next reload.
const PAGE_PATIENCE: Duration = Duration::from_secs(15);

/// To render a snapshot of many thousand domains takes up to a second.
const SHOWN_WITHIN: Duration = Duration::from_secs(3);

/// The look is not over yet.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StillLooking<'a> {
    /// What was not looked at yet, in words.
    missing: Vec<String>,
    /// What is known by now, as `GET` of the domain has it; `null` before the first look.
    latest: Option<DomainView<'a>>,
}

/// Looks at a domain now. 200: all of it was looked at, the judgement as `check --format json` prints it. 202: what is missing; the
/// look goes on.
///
/// 404: the domain is not configured. 429: too many wait already. 503: the monitor is stopping.
pub(super) async fn answer(
    prompter: &Prompter,
    name: &str,
    snapshot: &Snapshot,
    shown: watch::Receiver<u64>,
) -> Response<Pieces> {
    let domain = match api::domain(name, snapshot) {
        Ok(state) => state.domain.clone(),
        Err(unknown) => return json(unknown),
    };
    match prompter.probe(&domain, API_PATIENCE).await {
        Ok(prompted) => {
            caught_up(shown, &prompted).await;
            json(apart(move || told(&domain, &prompted)).await.unwrap_or_else(|broken| broken))
        }
        Err(error) => {
            let (status, said) = words(error);
            again(json(Answer::error(status, &said)), status)
        }
    }
}

/// The same for a form: then back to the page of the domain.
pub(super) async fn form(
    prompter: &Prompter,
    name: &str,
    snapshot: &Snapshot,
    links: &Links,
    shown: watch::Receiver<u64>,
) -> Response<Pieces> {
    let Ok(domain) = api::domain(name, snapshot).map(|state| state.domain.clone()) else {
        return refused(PromptError::NotConfigured);
    };
    match prompter.probe(&domain, PAGE_PATIENCE).await {
        Ok(prompted) => {
            caught_up(shown, &prompted).await;
            redirect(StatusCode::SEE_OTHER, &links.domain(&domain))
        }
        Err(error) => refused(error),
    }
}

/// Waits until what was seen is on the pages: who asks for one now expects it there. `shown`: the number of the snapshot that they
/// show. Where the machine is too busy for it the answer comes all the same.
async fn caught_up(mut shown: watch::Receiver<u64>, prompted: &Prompted) {
    let _ = timeout(SHOWN_WITHIN, shown.wait_for(|number| *number >= prompted.snapshot.number)).await;
}

fn told(domain: &PolicyDomain, Prompted { snapshot, missing, .. }: &Prompted) -> Answer {
    let state = snapshot.state(domain);
    let seen = state.as_deref().and_then(|state| state.assessment.as_deref());
    match seen {
        Some(seen) if missing.is_empty() => {
            Answer::found(view::to_text(&view::assessment(seen)).map(|text| text + "\n"))
        }
        _ => {
            let missing = missing.iter().map(ToString::to_string).collect();
            let still = StillLooking { missing, latest: seen.map(view::assessment) };
            Answer { status: StatusCode::ACCEPTED, ..Answer::found(view::to_text(&still)) }
        }
    }
}

/// Why there is no look, for people.
pub(super) fn refused(error: PromptError) -> Response<Pieces> {
    let (status, said) = words(error);
    again(text(status, format!("There is no look now: {said}.\n")), status)
}

fn words(error: PromptError) -> (StatusCode, String) {
    let status = match error {
        PromptError::NotConfigured => StatusCode::NOT_FOUND,
        PromptError::Busy => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, error.to_string())
}

/// Whoever may come again is told when.
fn again(mut response: Response<Pieces>, status: StatusCode) -> Response<Pieces> {
    if status != StatusCode::NOT_FOUND {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(REST.as_secs()));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{metrics::fixture, monitor::Awaited};

    fn prompted(domain: &str, missing: Vec<Awaited>) -> (StatusCode, serde_json::Value) {
        let domain: PolicyDomain = domain.parse().unwrap();
        let snapshot = Arc::new(fixture::snapshot().part(&domain));
        let answer = told(&domain, &Prompted { snapshot, missing, took: Duration::from_secs(1) });
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }

    #[test]
    fn what_is_missing_is_no_judgement_yet() {
        let (status, whole) = prompted("example.com", vec![]);
        assert_eq!((status, &whole["delivery"]), (StatusCode::OK, &"protected".into()));
        let address = Awaited::Address("mx1.example.com".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let (status, part) = prompted("example.com", vec![address]);
        assert_eq!(status, StatusCode::ACCEPTED);
        assert_eq!(part["missing"], serde_json::json!(["mx1.example.com at 192.0.2.1"]));
        assert_eq!(part["latest"], whole, "what is known is told all the same");
        let first = Awaited::Domain("new.example".parse().unwrap());
        let (status, new) = prompted("new.example", vec![first]);
        assert_eq!((status, &new["latest"]), (StatusCode::ACCEPTED, &serde_json::Value::Null));
    }

    #[test]
    fn whoever_may_come_again_is_told_when() {
        for (error, status) in
            [(PromptError::NotConfigured, 404), (PromptError::Busy, 429), (PromptError::Stopping, 503)]
        {
            let response = refused(error);
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status != 404, "{error}");
        }
    }
}
