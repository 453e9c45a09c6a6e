//! The status page: HTML without a script, for people. Each page is a function of the snapshot, the query and the time.

mod bars;
mod cells;
pub(super) mod certificates;
pub(super) mod domain;
pub(super) mod failures;
pub(super) mod host;
pub(super) mod hosts;
pub(super) mod layout;
pub(super) mod overview;
mod own_side;
mod plot;
mod query;
mod table;

use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
};
use hyper::body::Bytes;
use maud::{Markup, html};

use super::{Links, body::Pieces, response::response, route::Asked};
use crate::terms::Timestamp;

/// So long a browser may keep the style sheet that a page asked for by its tag: another build has another tag.
const FOR_A_YEAR: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// … and the one that was asked for without it.
const FOR_A_MINUTE: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// `GET /assets/style.css`.
pub(super) fn style(asked: Asked<'_>) -> Response<Pieces> {
    let tag = format!("\"{}\"", *layout::STYLE_TAG);
    let known = asked.headers.get_all(IF_NONE_MATCH).iter().any(|known| known.as_bytes() == tag.as_bytes());
    let (status, body) = match known {
        true => (StatusCode::NOT_MODIFIED, Bytes::new()),
        false => (StatusCode::OK, Bytes::from_static(layout::STYLE.as_bytes())),
    };
    let mut response = response(status, "text/css; charset=utf-8", [body]);
    let named = asked.query == format!("v={}", *layout::STYLE_TAG);
    response.headers_mut().insert(CACHE_CONTROL, if named { FOR_A_YEAR } else { FOR_A_MINUTE });
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// The page for a path that is not there.
pub(super) fn nothing_here(links: &Links, now: Timestamp) -> Markup {
    let content = html! {
        h1 { "There is nothing here" }
        p { "This monitor has no page under this address. " a href=(links.to("/")) { "All domains" } }
    };
    layout::page("Nothing here", links, now, layout::Nav::Elsewhere, &content)
}
