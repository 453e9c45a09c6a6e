//! Reports by HTTPS POST (RFC 8460 §5.4). The path is open to all: what a peer can take is bounded here, before its bytes are
//! looked at.

use std::{
    fmt::Display,
    net::IpAddr,
    pin::pin,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use super::{
    body::Pieces,
    response::{not_allowed, plain},
};
use crate::{
    facts::Transport,
    monitor::{Intake, RawReport, Receipt},
    protocol::tls_rpt::{MAIL_MOST, RefusalReason, Shape, sniff},
};

/// A larger body is refused: the same as for a mail.
const BODY_MOST: usize = MAIL_MOST;
/// A body that has not come within this time is given up; the largest needs 2 Mbit/s for it.
const BODY_WITHIN: Duration = Duration::from_secs(60);
/// Within this time the body has to end or to have grown by [`PIECE`]: whoever drips holds a place no longer.
const PIECE_WITHIN: Duration = Duration::from_secs(10);
/// Requests with a body at once; the connections of the server are many more, so that a scrape always finds one.
const POSTS_MOST: usize = 64;
/// Bytes of bodies that are held at once, all requests together.
const BODIES_MOST: usize = 48 << 20;
/// Room is taken in such pieces as a body grows: who promises much and sends little holds little.
const PIECE: usize = 64 << 10;
/// After so many seconds it is worth to come again, where the store is closed or all room is taken. Senders try for a day (§5.5).
const AGAIN_AFTER: u64 = 60;

/// Where reports are posted.
#[derive(Debug)]
pub struct ReportDoor {
    intake: Intake,
    /// Where it is; nothing where it is closed.
    paths: RwLock<Paths>,
    posts: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

/// The path by listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Paths {
    main: Option<String>,
    own: Option<String>,
}

/// Which listener a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    Main,
    Own,
}

/// What is wrong with a body.
enum BodyProblem {
    TooLarge,
    TooSlow,
    NoRoom,
    Broken(String),
}

impl ReportDoor {
    /// A door that is closed.
    pub fn new(intake: Intake) -> Self {
        Self {
            intake,
            paths: RwLock::default(),
            posts: Arc::new(Semaphore::new(POSTS_MOST)),
            room: Arc::new(Semaphore::new(BODIES_MOST / PIECE)),
        }
    }

    /// Opens it at a path, on the main listener or on its own, and nowhere else; without a path it is closed.
    pub fn set_path(&self, path: Option<&str>, own_listener: bool) {
        let path = path.map(str::to_owned);
        let paths = match own_listener {
            true => Paths { main: None, own: path },
            false => Paths { main: path, own: None },
        };
        *self.paths.write().unwrap_or_else(PoisonError::into_inner) = paths;
    }

    /// Whether a request of this listener is for the door.
    pub(super) fn is_at(&self, path: &str, listener: Listener) -> bool {
        let paths = self.paths.read().unwrap_or_else(PoisonError::into_inner);
        let own = match listener {
            Listener::Main => &paths.main,
            Listener::Own => &paths.own,
        };
        own.as_deref() == Some(path)
    }

    /// Answers a request for it.
    pub(super) async fn answer<B>(&self, request: Request<B>, peer: IpAddr) -> Response<Pieces>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        if *request.method() != Method::POST {
            return closing(not_allowed("POST", "Reports are sent here by POST.\n".to_owned()), &request);
        }
        if let Err(wait) = self.intake.admit(peer) {
            self.intake.count_refused(RefusalReason::RateLimited);
            let response = plain(StatusCode::TOO_MANY_REQUESTS, "Too many reports at a time; come again later.\n");
            return closing(again_after(response, wait.as_secs() + 1), &request);
        }
        // Before a byte of it is read.
        let Ok(place) = Arc::clone(&self.posts).try_acquire_owned() else {
            return closing(busy(), &request);
        };
        if !self.intake.is_open() {
            return closing(unavailable(), &request);
        }
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let promised = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if promised.is_some_and(|bytes| bytes > BODY_MOST as u64) {
            self.intake.count_refused(RefusalReason::TooLarge);
            return closing(too_large(), &request);
        }
        let body = timeout(BODY_WITHIN, self.read(request.into_body())).await.unwrap_or(Err(BodyProblem::TooSlow));
        let (bytes, room) = match body {
            Ok(body) => body,
            // What follows on the connection is the rest of the body, and no request.
            Err(problem) => return close(self.refuse_body(problem)),
        };
        if !matches!(sniff(&bytes), Shape::Gzip | Shape::Json) {
            self.intake.count_refused(RefusalReason::BadEncoding);
            let text = "Neither gzip nor JSON (RFC 8460 section 5.4).\n";
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
        }
        let raw = RawReport {
            bytes,
            transport: Transport::Https,
            source: peer.to_string(),
            media_type,
            file_name: None,
            waiting_since: None,
        };
        match self.intake.submit_holding(raw, (place, room)).await {
            Receipt::Taken(_) => accepted(),
            Receipt::Refused(refusal) => match refusal.reason {
                // Dropped and counted: which domains are watched here is nobody's business.
                RefusalReason::UnknownDomain => accepted(),
                RefusalReason::TooLarge => too_large(),
                RefusalReason::RateLimited => {
                    let text = "Too many reports of this kind; come again later.\n";
                    again_after(plain(StatusCode::TOO_MANY_REQUESTS, text), AGAIN_AFTER)
                }
                RefusalReason::BadEncoding | RefusalReason::BadJson | RefusalReason::Unauthenticated => plain(
                    StatusCode::BAD_REQUEST,
                    "The body is no TLS report that can be read (RFC 8460 section 4.4).\n",
                ),
            },
            Receipt::Later(postponed) => {
                tracing::debug!(why = %postponed, "a posted report has to come again");
                unavailable()
            }
        }
    }

    /// Reads a body as far as there is room for it.
    async fn read<B>(&self, mut body: B) -> Result<(Bytes, OwnedSemaphorePermit), BodyProblem>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        let mut room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| BodyProblem::NoRoom)?;
        let mut bytes = Vec::new();
        let (mut late, mut grown) = (pin!(sleep(PIECE_WITHIN)), 0);
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = &mut late => return Err(BodyProblem::TooSlow),
            };
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| BodyProblem::Broken(error.to_string()))?;
            let Some(more) = frame.data_ref() else { continue };
            if bytes.len().saturating_add(more.len()) > BODY_MOST {
                return Err(BodyProblem::TooLarge);
            }
            bytes.extend_from_slice(more);
            grown += more.len();
            if grown >= PIECE {
                grown = 0;
                late.set(sleep(PIECE_WITHIN));
            }
            // By what the memory really takes, which grows in steps.
            let pieces = bytes.capacity().div_ceil(PIECE).saturating_sub(room.num_permits());
            if pieces > 0 {
                let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
                let more = Arc::clone(&self.room).try_acquire_many_owned(pieces);
                room.merge(more.map_err(|_| BodyProblem::NoRoom)?);
            }
        }
        Ok((bytes.into(), room))
    }

    fn refuse_body(&self, problem: BodyProblem) -> Response<Pieces> {
        match problem {
            BodyProblem::TooLarge => {
                self.intake.count_refused(RefusalReason::TooLarge);
                too_large()
            }
            BodyProblem::TooSlow => plain(StatusCode::REQUEST_TIMEOUT, "The body did not come in time.\n"),
            BodyProblem::NoRoom => busy(),
            BodyProblem::Broken(why) => {
                tracing::debug!(why, "the body of a posted report broke off");
                plain(StatusCode::BAD_REQUEST, "The body broke off.\n")
            }
        }
    }
}

fn accepted() -> Response<Pieces> {
    plain(StatusCode::CREATED, "Thank you.\n")
}

fn too_large() -> Response<Pieces> {
    plain(StatusCode::PAYLOAD_TOO_LARGE, "The report is too large.\n")
}

fn busy() -> Response<Pieces> {
    again_after(plain(StatusCode::SERVICE_UNAVAILABLE, "Too many reports come in at once; come again later.\n"), 5)
}

fn unavailable() -> Response<Pieces> {
    let text = "The report cannot be stored for now; come again later.\n";
    again_after(plain(StatusCode::SERVICE_UNAVAILABLE, text), AGAIN_AFTER)
}

fn again_after(mut response: Response<Pieces>, seconds: u64) -> Response<Pieces> {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Ends the connection where a body follows that nobody reads.
fn closing<B: Body>(response: Response<Pieces>, request: &Request<B>) -> Response<Pieces> {
    if request.body().is_end_stream() { response } else { close(response) }
}

fn close(mut response: Response<Pieces>) -> Response<Pieces> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
