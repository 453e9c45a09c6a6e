//! `GET /metrics`: what Prometheus scrapes, in the format, the encoding and the part that it asks for.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, HeaderName, RETRY_AFTER, VARY},
};
use hyper::body::Bytes;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    body::{Pieces, Step},
    parameters::{number, pairs},
    response::{piecemeal, plain, response, text},
    route::Asked,
};
use crate::metrics::{Encoding, Part, Wanted, encoding, format};

/// Scrapes at one time. Sixteen parts may come at once from each of two Prometheus servers; each takes a thread while it lasts, and
/// holds on to the snapshot that it began with.
const AT_ONCE: usize = 32;

/// How long a scrape may take. Prometheus waits no longer than its interval, a minute or two where there is much to scrape; a reader
/// that stops reading must not hold an old snapshot and a place for ever.
const LONGEST: Duration = Duration::from_secs(120);

/// Frames that wait to be read: one that is sent, and one that is made meanwhile.
const AHEAD: usize = 2;

/// How long a scrape waits for its turn: shorter than any usual timeout, so that whoever asks hears why.
const PATIENCE: Duration = Duration::from_secs(3);

/// A reader that has taken nothing for so long gives way to a scrape that waits for its turn.
const STALLED: Duration = Duration::from_secs(1);

/// So often whoever waits for its turn looks for such a reader.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// When to come again, in seconds: a scrape takes less than one.
const COME_AGAIN: &str = "1";

/// The places of scrapes that are under way.
#[derive(Clone, Debug)]
pub(super) struct Scrapes {
    places: Arc<Semaphore>,
    stalled: Arc<Mutex<Stalled>>,
    patience: Duration,
}

/// Scrapes whose readers take nothing, the one that began to wait first at the front.
#[derive(Debug, Default)]
struct Stalled {
    next: u64,
    waiting: BTreeMap<u64, CancellationToken>,
}

impl Default for Scrapes {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), stalled: Arc::default(), patience: PATIENCE }
    }
}

impl Scrapes {
    /// The answer: `write` hands the frames of it to the closure, until that says that nobody reads them any more.
    ///
    /// 400: there is no such part. 503: too many scrapes are under way.
    pub(super) async fn answer(
        &self,
        asked: Asked<'_>,
        write: impl FnOnce(Wanted, &mut dyn FnMut(Bytes) -> bool) + Send + 'static,
    ) -> Response<Pieces> {
        let wanted = match wanted(asked.query, asked.headers) {
            Ok(wanted) => wanted,
            Err(wrong) => return text(StatusCode::BAD_REQUEST, format!("{wrong}\n")),
        };
        let Ok(Some(place)) = timeout(self.patience, self.place()).await else {
            let mut busy = plain(StatusCode::SERVICE_UNAVAILABLE, "Too many scrapes at once.\n");
            busy.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(COME_AGAIN));
            return busy;
        };
        let (sender, mut frames) = mpsc::channel(AHEAD);
        let mut over = Box::pin(sleep(LONGEST));
        let stalled = Arc::clone(&self.stalled);
        // To write a frame takes some ten microseconds, and reading files of the process more: not on a thread on which probes run.
        tokio::task::spawn_blocking(move || {
            let runtime = Handle::current();
            // Only what was sent to its end is told to be whole.
            let mut whole = true;
            let mut send = |frame| {
                whole &= runtime.block_on(async {
                    let mut sending = pin!(sender.send(Step::Frame(frame)));
                    tokio::select! {
                        sent = &mut sending => return sent.is_ok(),
                        () = &mut over => return false,
                        () = sleep(STALLED) => {}
                    }
                    let waiting = Waiting::begin(&stalled);
                    tokio::select! {
                        sent = &mut sending => sent.is_ok(),
                        () = &mut over => false,
                        () = waiting.gives_way() => false,
                    }
                });
                whole
            };
            write(wanted, &mut send);
            if whole {
                // Where the reader has gone, nobody is left to be told.
                let _ = sender.blocking_send(Step::End);
            }
            drop(place);
        });
        let media_type = wanted.format.content_type();
        let mut answer = match frames.recv().await {
            Some(Step::End) => response(StatusCode::OK, media_type, []),
            Some(Step::Frame(first)) => match frames.recv().await {
                // Little enough to know its length.
                Some(Step::End) => response(StatusCode::OK, media_type, [first]),
                Some(Step::Frame(second)) => piecemeal(media_type, [first, second], frames),
                None => broken(),
            },
            None => broken(),
        };
        let whole = answer.status() == StatusCode::OK;
        let headers = answer.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if wanted.encoding == Encoding::Gzip && whole {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        answer
    }
}

impl Scrapes {
    /// A place, if need be that of a scrape which nobody reads.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let mut place = pin!(Arc::clone(&self.places).acquire_owned());
        loop {
            tokio::select! {
                biased;
                // The semaphore is never closed.
                place = &mut place => return place.ok(),
                () = sleep(LOOK_AGAIN) => {
                    let mut stalled = self.stalled.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some((_, first)) = stalled.waiting.pop_first() {
                        first.cancel();
                    }
                }
            }
        }
    }
}

/// A scrape waits for its reader.
struct Waiting<'a> {
    all: &'a Mutex<Stalled>,
    number: u64,
    cut: CancellationToken,
}

impl<'a> Waiting<'a> {
    fn begin(all: &'a Mutex<Stalled>) -> Self {
        let cut = CancellationToken::new();
        let mut stalled = all.lock().unwrap_or_else(PoisonError::into_inner);
        stalled.next += 1;
        let number = stalled.next;
        stalled.waiting.insert(number, cut.clone());
        drop(stalled);
        Self { all, number, cut }
    }

    /// Ends when another scrape needs the place.
    async fn gives_way(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&self.number);
    }
}

fn broken() -> Response<Pieces> {
    plain(StatusCode::INTERNAL_SERVER_ERROR, "The metrics could not be written; the log says why.\n")
}

/// What a request asks for. Parameters with other names are those of other exporters, and mean nothing here.
fn wanted(query: &str, headers: &HeaderMap) -> Result<Wanted, String> {
    let (mut part, mut parts) = (None, None);
    for (name, value) in pairs(query) {
        let (place, most) = match name {
            "part" => (&mut part, Part::MOST),
            "parts" => (&mut parts, Part::MOST),
            _ => continue,
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let read = number(value, most).map_err(|expected| format!("{name}={value}: expected {expected}"))?;
        if place.replace(read).is_some() {
            return Err(format!("{name}: it is there twice; expected once"));
        }
    }
    let part = match (part, parts) {
        (None, None) => Part::ALL,
        (Some(_), None) => return Err("parts: it is missing; expected both, as in ?part=1&parts=4".to_owned()),
        (None, Some(_)) => return Err("part: it is missing; expected both, as in ?part=1&parts=4".to_owned()),
        (Some(number), Some(of)) => {
            let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            let part = Part::new(small(number), small(of));
            part.ok_or_else(|| format!("part={number}: expected a whole number from 1 to {of}, which parts says"))?
        }
    };
    Ok(Wanted { format: format(&all(headers, &ACCEPT)), encoding: encoding(&all(headers, &ACCEPT_ENCODING)), part })
}

/// A header that may stand there several times: its lines are one list (RFC 9110 §5.3).
fn all(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    lines.join(",")
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::metrics::Format;

    fn read(query: &str) -> Result<Wanted, String> {
        wanted(query, &HeaderMap::new())
    }

    #[test]
    fn parts_are_read_or_refused_with_words() {
        assert_eq!(read(""), Ok(Wanted::default()));
        assert_eq!(read("name[]=x&collect=y"), Ok(Wanted::default()), "another exporter's");
        assert_eq!(read("part=3&parts=16").map(|wanted| wanted.part), Ok(Part::new(3, 16).unwrap()));
        assert_eq!(read("parts=1&part=1").map(|wanted| wanted.part), Ok(Part::ALL));
        for (query, expected) in [
            ("part=1", "parts: it is missing"),
            ("parts=4", "part: it is missing"),
            ("part=0&parts=4", "part=0: expected a whole number from 1"),
            ("part=5&parts=4", "expected a whole number from 1 to 4"),
            ("part=1&parts=0", "parts=0: expected a whole number from 1 to 1024"),
            ("part=1&parts=1025", "parts=1025: expected a whole number from 1 to 1024"),
            ("part=-1&parts=4", "part=-1: expected"),
            ("part=&parts=4", "part=: expected"),
            ("part=x&parts=4", "part=x: expected"),
            ("part=1&part=1&parts=4", "part: it is there twice"),
            ("part=1&parts=4&parts=4", "parts: it is there twice"),
        ] {
            let said = read(query).unwrap_err();
            assert!(said.contains(expected), "{query}: {said}");
        }
    }

    #[test]
    fn headers_say_format_and_encoding() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, HeaderValue::from_static("text/plain;q=0.5"));
        headers.append(ACCEPT, HeaderValue::from_static("application/openmetrics-text"));
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let wanted = wanted("", &headers).unwrap();
        assert_eq!((wanted.format, wanted.encoding), (Format::OpenMetrics, Encoding::Gzip));
    }

    async fn answered(
        scrapes: &Scrapes,
        write: impl FnOnce(Wanted, &mut dyn FnMut(Bytes) -> bool) + Send + 'static,
    ) -> Response<Pieces> {
        let headers = HeaderMap::new();
        scrapes.answer(Asked { name: "", query: "", headers: &headers }, write).await
    }

    #[tokio::test]
    async fn what_was_not_written_to_its_end_is_no_whole_answer() {
        let scrapes = Scrapes::default();
        let frame = Bytes::from_static(b"a 1\n");
        let three = {
            let frame = frame.clone();
            answered(&scrapes, move |_, send| assert!((0..3).all(|_| send(frame.clone())))).await
        };
        assert_eq!(three.into_body().collect().await.unwrap().to_bytes(), "a 1\na 1\na 1\n");
        let cut = answered(&scrapes, move |_, send| {
            (0..3).for_each(|_| assert!(send(frame.clone())));
            panic!("in the middle");
        })
        .await;
        assert_eq!(cut.status(), 200, "it was told before");
        assert!(cut.into_body().collect().await.is_err());
        let nothing = answered(&scrapes, |_, _| panic!("at once")).await;
        assert_eq!(nothing.status(), 500);
    }

    fn one_at_a_time(patience: Duration) -> Scrapes {
        Scrapes { places: Arc::new(Semaphore::new(1)), patience, ..Scrapes::default() }
    }

    #[tokio::test]
    async fn a_scrape_that_nobody_reads_gives_way_and_is_not_whole() {
        let scrapes = one_at_a_time(Duration::from_secs(60));
        let endless = |_: Wanted, send: &mut dyn FnMut(Bytes) -> bool| while send(Bytes::from_static(b"x")) {};
        let unread = answered(&scrapes, endless).await;
        let second = answered(&scrapes, |_, send| assert!(send(Bytes::from_static(b"a 1\n")))).await;
        assert_eq!(second.into_body().collect().await.unwrap().to_bytes(), "a 1\n");
        assert!(unread.into_body().collect().await.is_err(), "what was cut is no whole answer");
        assert!(scrapes.stalled.lock().unwrap().waiting.is_empty());
    }

    #[tokio::test]
    async fn too_many_at_once_are_told_to_come_again_and_places_come_back() {
        let scrapes = one_at_a_time(Duration::from_millis(20));
        let endless = |_: Wanted, send: &mut dyn FnMut(Bytes) -> bool| while send(Bytes::from_static(b"x")) {};
        let first = answered(&scrapes, endless).await;
        let second = answered(&scrapes, |_, _| {}).await;
        assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 503));
        assert_eq!(second.headers()[RETRY_AFTER], "1");
        // Whoever reads no more ends the work.
        drop(first);
        let free = timeout(Duration::from_secs(60), scrapes.places.acquire());
        assert!(free.await.unwrap().is_ok());
    }
}
