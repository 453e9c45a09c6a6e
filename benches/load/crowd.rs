//! Those who ask.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use http::{Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};

/// Whoever waits longer gives up, as Prometheus does.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two lines of a header that never ends.
const DRIP: Duration = Duration::from_secs(4);
/// Before whoever was turned away comes again.
const AGAIN: Duration = Duration::from_secs(1);

/// What came of some scrapes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) answered: usize,
    /// With another status than 200.
    pub(crate) refused: usize,
    /// No connection, one that ended, or no answer in time.
    pub(crate) broken: usize,
    seconds: Vec<f64>,
    pub(crate) newcomers: Option<Box<Self>>,
}

/// What came of slow clients.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) opened: usize,
    pub(crate) closed: usize,
}

impl Outcome {
    pub(crate) fn all(&self) -> usize {
        self.answered + self.refused + self.broken
    }

    pub(crate) fn with(self, newcomers: Self) -> Self {
        Self { newcomers: newcomers.newcomers, ..self }
    }

    /// Of the times of those that were answered; not a number where nobody was.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let place = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
        sorted.get(place).copied().unwrap_or(f64::NAN)
    }

    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.refused += other.refused;
        self.broken += other.broken;
        self.seconds.extend(other.seconds);
    }

    fn note(&mut self, status: Option<u16>, took: Duration) {
        match status {
            Some(200) => {
                self.answered += 1;
                self.seconds.push(took.as_secs_f64());
            }
            Some(_) => self.refused += 1,
            None => self.broken += 1,
        }
    }
}

/// One of so many addresses, in networks of their own.
fn source(number: usize, sources: usize) -> IpAddr {
    let number = number % sources.max(1);
    Ipv4Addr::new(127, 77, (number / 200) as u8, (number % 200 + 1) as u8).into()
}

async fn connect(to: SocketAddr, from: IpAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::new(from, 0)).ok()?;
    timeout(PATIENCE, socket.connect(to)).await.ok()?.ok()
}

type Sender = http1::SendRequest<Empty<Bytes>>;

async fn open(to: SocketAddr, from: IpAddr) -> Option<Sender> {
    let (sender, connection) = http1::handshake(TokioIo::new(connect(to, from).await?)).await.ok()?;
    // It ends with its connection; what goes wrong reaches the sender.
    tokio::spawn(connection);
    Some(sender)
}

/// One scrape over a connection that stays, which is opened where it is not; the status once all of the answer came.
async fn scrape(sender: &mut Option<Sender>, to: SocketAddr, from: IpAddr) -> Option<u16> {
    let asked = async {
        if sender.as_ref().is_none_or(Sender::is_closed) {
            *sender = Some(open(to, from).await?);
        }
        let request = Request::get("/metrics")
            .header(header::HOST, "bench.example")
            .header(header::ACCEPT_ENCODING, "gzip")
            .body(Empty::new())
            .ok()?;
        let sender = sender.as_mut()?;
        sender.ready().await.ok()?;
        let mut response = sender.send_request(request).await.ok()?;
        while let Some(frame) = response.body_mut().frame().await {
            frame.ok()?;
        }
        Some(response.status().as_u16())
    };
    let status = timeout(PATIENCE, asked).await.ok().flatten();
    if status.is_none() {
        *sender = None;
    }
    status
}

/// So many that scrape once an interval, each over a connection of its own that stays.
pub(crate) async fn scrapers(
    to: SocketAddr,
    count: usize,
    sources: usize,
    interval: Duration,
    part: Duration,
) -> Outcome {
    let end = Instant::now() + part;
    let mut all = JoinSet::new();
    for number in 0..count {
        let first = interval.mul_f64(number as f64 / count as f64);
        all.spawn(async move {
            let (mut outcome, mut sender) = (Outcome::default(), None);
            // Connections are open from the beginning.
            sender = open(to, source(number, sources)).await.or(sender);
            let mut next = Instant::now() + first;
            while next < end {
                sleep_until(next.into()).await;
                let began = Instant::now();
                let status = scrape(&mut sender, to, source(number, sources)).await;
                outcome.note(status, began.elapsed());
                next += interval;
            }
            outcome
        });
    }
    joined(all).await
}

/// So many scrapes a second in all, over so many connections. Each scrape has its time, however long the one before took.
pub(crate) async fn steady(to: SocketAddr, rate: usize, connections: usize, part: Duration) -> Outcome {
    let end = Instant::now() + part;
    let interval = Duration::from_secs_f64(connections as f64 / rate as f64);
    let mut all = JoinSet::new();
    for number in 0..connections {
        let first = interval.mul_f64(number as f64 / connections as f64);
        all.spawn(async move {
            let (mut outcome, mut sender) = (Outcome::default(), None);
            let mut due = Instant::now() + first;
            while due < end {
                sleep_until(due.into()).await;
                let status = scrape(&mut sender, to, source(number, connections)).await;
                // From when it was due: waiting for the one before is waiting.
                outcome.note(status, due.elapsed());
                due += interval;
            }
            outcome
        });
    }
    joined(all).await
}

async fn joined(mut all: JoinSet<Outcome>) -> Outcome {
    let mut outcome = Outcome::default();
    while let Some(one) = all.join_next().await {
        outcome.add(one.expect("it ends"));
    }
    outcome
}

/// Once a second somebody new, from an address that nobody else has.
pub(crate) async fn newcomer(to: SocketAddr, part: Duration) -> Outcome {
    let end = Instant::now() + part;
    let mut came = Outcome::default();
    let mut number = 0;
    while Instant::now() < end {
        let from = Ipv4Addr::new(127, 78, (number / 200) as u8, (number % 200 + 1) as u8).into();
        let began = Instant::now();
        let status = scrape(&mut None, to, from).await;
        came.note(status, began.elapsed());
        sleep(Duration::from_secs(1).saturating_sub(began.elapsed())).await;
        number += 1;
    }
    Outcome { newcomers: Some(Box::new(came)), ..Outcome::default() }
}

/// So many that begin a header and go on with it for ever; who is turned away comes again.
pub(crate) async fn slow(to: SocketAddr, count: usize, sources: usize, part: Duration) -> Held {
    let end = Instant::now() + part;
    let mut all = JoinSet::new();
    for number in 0..count {
        all.spawn(async move {
            let mut held = Held::default();
            while Instant::now() < end {
                if let Some(stream) = connect(to, source(number, sources)).await {
                    held.opened += 1;
                    let left = end.saturating_duration_since(Instant::now());
                    held.closed += usize::from(timeout(left, drip(stream)).await.is_ok());
                }
                sleep(AGAIN).await;
            }
            held
        });
    }
    let mut held = Held::default();
    while let Some(one) = all.join_next().await {
        let one = one.expect("it ends");
        held.opened += one.opened;
        held.closed += one.closed;
    }
    held
}

/// Returns when the server ends the connection.
async fn drip(mut stream: TcpStream) {
    let (mut reader, mut writer) = stream.split();
    let writing = async {
        let mut line = writer.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench.example\r\n").await;
        while line.is_ok() {
            sleep(DRIP).await;
            line = writer.write_all(b"X-Slow: 1\r\n").await;
        }
    };
    let reading = async {
        let mut buffer = [0; 512];
        while reader.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        () = writing => {}
        () = reading => {}
    }
}
