//! What the answers of `/api/v1/` have in common: names in, a status and a JSON document out.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use super::parameters::decoded;
use crate::{
    monitor::{DomainState, SharedStore, Snapshot},
    present::json,
    store::Store,
    terms::PolicyDomain,
};

/// How long an answer of the store is waited for. A read takes milliseconds; beyond this the disk is in trouble.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// A JSON document.
    pub(super) body: String,
}

impl Answer {
    pub(super) fn error(status: StatusCode, text: &str) -> Self {
        Self { status, body: format!("{}\n", serde_json::json!(json::ErrorView { error: text })) }
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
    match domain(name, snapshot).map(|state| state.assessment.clone()) {
        Err(unknown) => unknown,
        Ok(None) => Answer::unavailable("the domain was not probed yet"),
        Ok(Some(seen)) => Answer::found(json::to_text(&json::assessment(&seen)).map(|text| text + "\n")),
    }
}

/// The configured domain of a name in a path, or that there is none.
pub(super) fn domain(name: &str, snapshot: &Snapshot) -> Result<Arc<DomainState>, Answer> {
    let known = decoded(name).and_then(|name| PolicyDomain::parse(&name).ok());
    let state = known.and_then(|name| snapshot.state(&name));
    state.ok_or_else(|| Answer::error(StatusCode::NOT_FOUND, "no such domain is configured"))
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
