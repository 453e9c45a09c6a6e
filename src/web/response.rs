//! Responses: a status, a media type and pieces, with the header that every one has.

use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS},
};
use hyper::body::Bytes;
use tokio::sync::mpsc::Receiver;

use super::{
    api::Answer,
    body::{Pieces, Step},
    pages::layout::POLICY,
};

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// A response; it is not kept by caches, as the next probe may change it.
pub(super) fn response(
    status: StatusCode,
    media_type: &'static str,
    pieces: impl IntoIterator<Item = Bytes>,
) -> Response<Pieces> {
    of(status, media_type, Pieces::new(pieces))
}

/// A response that goes on with what comes.
pub(super) fn piecemeal(
    media_type: &'static str,
    pieces: impl IntoIterator<Item = Bytes>,
    rest: Receiver<Step>,
) -> Response<Pieces> {
    of(StatusCode::OK, media_type, Pieces::new(pieces).followed_by(rest))
}

fn of(status: StatusCode, media_type: &'static str, body: Pieces) -> Response<Pieces> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A line for people.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Pieces> {
    response(status, TEXT, [Bytes::from_static(text.as_bytes())])
}

/// Text for people that was made for the occasion.
pub(super) fn text(status: StatusCode, text: String) -> Response<Pieces> {
    response(status, TEXT, [text.into()])
}

/// A page.
pub(super) fn html(text: String) -> Response<Pieces> {
    let mut response = response(StatusCode::OK, HTML, [text.into()]);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// The same with another status.
pub(super) fn with_status(mut response: Response<Pieces>, status: StatusCode) -> Response<Pieces> {
    *response.status_mut() = status;
    response
}

/// A JSON document.
pub(super) fn json(answer: Answer) -> Response<Pieces> {
    response(answer.status, JSON, [answer.body.into()])
}

/// Sends a browser elsewhere: `FOUND` where it was asked for another path, `SEE_OTHER` after a form.
pub(super) fn redirect(status: StatusCode, to: &str) -> Response<Pieces> {
    let Ok(location) = HeaderValue::try_from(to) else {
        return plain(StatusCode::NOT_FOUND, "There is nothing here.\n");
    };
    let mut response = plain(status, "See the other path.\n");
    response.headers_mut().insert(LOCATION, location);
    response
}

/// A path is there, but not for this method.
pub(super) fn not_allowed(methods: &'static str, said: String) -> Response<Pieces> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, said);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}
