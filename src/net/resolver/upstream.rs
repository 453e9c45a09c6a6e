//! The servers: in which order they are asked, how often, and which answer stands.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use futures_util::future::join_all;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::{sync::Mutex, time::Instant};

use super::{
    exchange::exchange,
    sockets::Sockets,
    stats::Counters,
    wire::{Answer, Flags},
};
use crate::facts::{ExtendedError, LookupFailure};

/// How many times a silence is waited for in one question, over all servers; the time that is left is shared out evenly.
/// Datagrams get lost, and a resolver that finds nothing in its cache may need the second try.
const ATTEMPTS: u32 = 3;
/// How long a server that did not answer comes last.
const AVOID_FOR: Duration = Duration::from_secs(30);
/// How long the answer for the root proves that the resolver works. Short: a resolver that dies must not be believed while the lookups
/// that it did not answer any more time out, or its death is blamed on whoever was asked about.
const JUST_NOW: Duration = Duration::from_secs(1);
/// How many questions for the root have to be answered in a row: one that flaps answers every other.
const CONTROLS: usize = 3;
/// How long a resolver that did not answer for the root is not believed where it fails on other names. One that flaps answers the next
/// question, and what it says of the one after is no more the domain's fault than before.
const DOUBTED_FOR: Duration = Duration::from_secs(60);
/// Docker's forwarder answers on a loopback address for resolvers elsewhere.
const DOCKER_FORWARDER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// All servers and what is known about them.
#[derive(Debug)]
pub(super) struct Upstream {
    servers: Vec<Server>,
    started: Instant,
    control: Mutex<Control>,
    pub(super) counters: Counters,
}

#[derive(Debug)]
struct Server {
    sockets: Sockets,
    /// Milliseconds since the start until which it comes last.
    avoided_until: AtomicU64,
}

/// What became of the question for the root.
#[derive(Debug, Default)]
struct Control {
    asked_at: Option<Instant>,
    failed_at: Option<Instant>,
}

/// No server gave a usable answer.
#[derive(Clone, Debug)]
pub(super) struct NoAnswer {
    pub(super) failure: LookupFailure,
    pub(super) extended_errors: Vec<ExtendedError>,
    /// Who said so, where somebody did.
    pub(super) server: Option<IpAddr>,
}

impl Upstream {
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        let server = |address| Server { sockets: Sockets::new(address), avoided_until: AtomicU64::new(0) };
        Self {
            servers: servers.into_iter().map(server).collect(),
            started: Instant::now(),
            control: Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// Asks one server after another until one answers that the name has records or has none.
    ///
    /// A server that says SERVFAIL, REFUSED or the like, or cannot be reached, makes way for the next one and is not asked
    /// again; what it said stands where no other knows better. Silence is waited for [`ATTEMPTS`] times.
    pub(super) async fn ask(
        &self,
        name: &Name,
        kind: RecordType,
        flags: Flags,
        deadline: Instant,
    ) -> Result<Answer, NoAnswer> {
        self.ask_among(self.in_order(), name, kind, flags, deadline).await
    }

    async fn ask_among(
        &self,
        mut candidates: VecDeque<&Server>,
        name: &Name,
        kind: RecordType,
        flags: Flags,
        deadline: Instant,
    ) -> Result<Answer, NoAnswer> {
        let mut standing: Option<NoAnswer> = None;
        let mut attempts = ATTEMPTS;
        let mut silent = VecDeque::new();
        loop {
            // Where one server has answered, the silence of another is not waited for again.
            let next = match candidates.pop_front() {
                None if !standing.as_ref().is_some_and(NoAnswer::is_reply) => silent.pop_front(),
                next => next,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(server) = next.filter(|_| attempts > 0 && !left.is_zero()) else { break };
            let until = Instant::now() + left / attempts;
            let fault = match exchange(&server.sockets, name, kind, flags, until, &self.counters).await {
                Ok(mut answer) => {
                    answer.server = Some(server.sockets.server().ip());
                    server.avoided_until.store(0, Relaxed);
                    let Some(failure) = answer.failure() else { return Ok(answer) };
                    NoAnswer { failure, extended_errors: answer.extended_errors, server: answer.server }
                }
                Err(failure) => {
                    server.avoided_until.store(self.elapsed() + milliseconds(AVOID_FOR), Relaxed);
                    NoAnswer::because(failure)
                }
            };
            if Instant::now() >= until {
                attempts -= 1;
                silent.push_back(server);
            }
            if standing.as_ref().is_none_or(|standing| fault.rank() > standing.rank()) {
                standing = Some(fault);
            }
        }
        Err(standing.unwrap_or_else(|| {
            NoAnswer::because(match self.servers.is_empty() {
                true => LookupFailure::Unreachable("no resolver is configured".to_owned()),
                false => LookupFailure::Timeout,
            })
        }))
    }

    /// Whether the resolver can be believed to work: see [`super::Resolver::healthy`].
    pub(super) async fn is_healthy(&self, timeout: Duration) -> bool {
        // That another name was answered a moment ago proves nothing: one that flaps answers every other question.
        let mut control = self.control.lock().await;
        if control.asked_at.is_none_or(|at| at.elapsed() >= JUST_NOW) {
            let deadline = Instant::now() + timeout;
            let mut answers = true;
            for _ in 0..CONTROLS {
                answers = answers && self.ask(&Name::root(), RecordType::SOA, Flags::Plain, deadline).await.is_ok();
            }
            let now = Instant::now();
            control.asked_at = Some(now);
            if !answers {
                control.failed_at = Some(now);
            }
        }
        control.failed_at.is_none_or(|at| at.elapsed() >= DOUBTED_FOR)
    }

    /// Whether every server answers the question for the SOA record of the root with the AD bit.
    pub(super) async fn root_answers_with_ad(&self, timeout: Duration) -> bool {
        let root = Name::root();
        let deadline = Instant::now() + timeout;
        let root = &root;
        let asked = self.servers.iter().map(|server| async move {
            let answer = self.ask_among(VecDeque::from([server]), root, RecordType::SOA, Flags::Plain, deadline).await;
            answer.is_ok_and(|answer| answer.authentic)
        });
        !self.servers.is_empty() && join_all(asked).await.into_iter().all(|authentic| authentic)
    }

    /// Whether every server is on this host.
    pub(super) fn is_local(&self) -> bool {
        let local = |server: &Server| {
            let address = server.sockets.server().ip().to_canonical();
            address.is_loopback() && address != DOCKER_FORWARDER
        };
        !self.servers.is_empty() && self.servers.iter().all(local)
    }

    fn in_order(&self) -> VecDeque<&Server> {
        let now = self.elapsed();
        let is_avoided = |server: &&Server| server.avoided_until.load(Relaxed) > now;
        let preferred = self.servers.iter().filter(|server| !is_avoided(server));
        preferred.chain(self.servers.iter().filter(is_avoided)).collect()
    }

    /// Milliseconds since the start.
    fn elapsed(&self) -> u64 {
        milliseconds(self.started.elapsed())
    }
}

impl NoAnswer {
    pub(super) fn because(failure: LookupFailure) -> Self {
        Self { failure, extended_errors: Vec::new(), server: None }
    }

    /// Of two failures the one that tells more about the name, and less about a server, stands.
    fn rank(&self) -> u8 {
        match self.failure {
            LookupFailure::Unreachable(_) => 0,
            LookupFailure::Timeout => 1,
            LookupFailure::Malformed(_) => 2,
            LookupFailure::Refused => 3,
            LookupFailure::ServFail | LookupFailure::Rcode(_) | LookupFailure::CnameChain | LookupFailure::Bogus(_) => {
                4
            }
        }
    }

    /// Whether a server said it, in contrast to saying nothing.
    fn is_reply(&self) -> bool {
        self.rank() >= 3
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
