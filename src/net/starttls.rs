//! One SMTP dialogue with one address of a mail host: connect, banner, EHLO, STARTTLS, TLS, EHLO, QUIT.

use std::{
    fs,
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    DialOptions, Dialer, TlsClient, now,
    tls_client::{Encrypted, HandshakeFailure},
};
use crate::{
    facts::{AddressObservation, ConnectFailure, Phase, PhaseTimes, ProtocolFault, SmtpOutcome, TlsFacts, TlsFailure},
    protocol::smtp::{Dialogue, Step, Transcript},
    terms::{MxHost, Octets},
};

/// The port of RFC 5321 §4.5.4.2.
pub const SMTP_PORT: u16 = 25;

/// One read: a usual EHLO reply fits in.
const READ_SIZE: usize = 2048;

/// How long the answer to QUIT is waited for. All is known by then; waiting only spares the server a log line about a lost
/// connection.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long each phase may take. RFC 5321 §4.5.3.2 lets a client that has mail to deliver wait for minutes; a monitor has
/// none, and tells the operator that the server is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmtpTimeouts {
    /// TCP: three retransmissions of the first packet (after 1, 3 and 7 s) have their chance.
    pub connect: Duration,
    /// The whole banner. Servers that delay it against spam take 5 to 15 s.
    pub banner: Duration,
    /// The whole reply to a command.
    pub command: Duration,
    /// The handshake.
    pub tls: Duration,
    /// All together; wins over the others.
    pub total: Duration,
}

/// What a probe needs to know beside the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpOptions {
    /// The port to dial.
    pub port: u16,
    /// The name in EHLO; nothing takes the name of this host, or the address literal of the connection where it has none that is fully
    /// qualified (RFC 5321 §4.1.4).
    pub helo_name: Option<String>,
    /// What may be dialled.
    pub dial: DialOptions,
    /// The deadlines.
    pub timeouts: SmtpTimeouts,
}

/// Probes addresses of mail hosts.
#[derive(Clone, Debug)]
pub struct SmtpProber {
    pub(super) tls: Arc<TlsClient>,
    dialer: Dialer,
    pub(super) options: SmtpOptions,
}

impl Default for SmtpTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            banner: Duration::from_secs(20),
            command: Duration::from_secs(15),
            tls: Duration::from_secs(15),
            total: Duration::from_secs(30),
        }
    }
}

impl Default for SmtpOptions {
    fn default() -> Self {
        Self { port: SMTP_PORT, helo_name: None, dial: DialOptions::default(), timeouts: SmtpTimeouts::default() }
    }
}

impl SmtpProber {
    /// A prober that shakes hands through `tls`.
    pub fn new(tls: Arc<TlsClient>, mut options: SmtpOptions) -> Self {
        // RFC 5321 §2.3.5: a name in EHLO is fully qualified, and mail hosts refuse bare words. A host that has no other is told by its
        // address.
        let own = || host_name().filter(|name| name.contains('.'));
        options.helo_name = options.helo_name.filter(|name| !name.is_empty()).or_else(own);
        Self { tls, dialer: Dialer::new(options.dial), options }
    }

    /// Shakes hands through `tls` from now on.
    pub(crate) fn set_tls(&mut self, tls: Arc<TlsClient>) {
        self.tls = tls;
    }

    /// Has one dialogue. Never fails: whatever happens is a fact in the observation, and the total deadline holds whatever the
    /// peer does. Dropping the future closes the connection.
    ///
    /// Where the handshake fails for want of something in common, a second connection asks what the server offers to others;
    /// it has the same deadlines again. What it shows is in `tls`, not completed: version, cipher suite and chain come from the
    /// clear part of a handshake, in which nobody proved to hold the key. `duration` and `times` are those of the first.
    pub async fn probe(&self, host: &MxHost, address: IpAddr) -> AddressObservation {
        let mut observation = self.first_look(host, address).await;
        if let SmtpOutcome::HandshakeFailed(failure) = &observation.outcome
            && others_may_succeed(failure)
        {
            observation.tls = self.offered_to_others(host, address).await;
        }
        observation
    }

    async fn first_look(&self, host: &MxHost, address: IpAddr) -> AddressObservation {
        let started = Instant::now();
        let mut pace = Pace::new(&self.options.timeouts, started);
        let conversation = match self.connect(address, &mut pace).await {
            Ok(tcp) => self.converse(host, tcp, &mut pace).await,
            Err(failure) => Conversation::unconnected(failure),
        };
        let Conversation { transcript, tls, farewell } = conversation;
        let observation = AddressObservation {
            host: host.clone(),
            address,
            at: now(),
            duration: started.elapsed(),
            times: pace.times,
            outcome: transcript.outcome.unwrap_or(NO_OUTCOME),
            banner: transcript.banner,
            capabilities: transcript.capabilities,
            tls,
            cleartext_after_starttls: transcript.cleartext_after_starttls,
            said: transcript.said,
        };
        say_farewell(farewell, &pace).await;
        observation
    }

    async fn connect(&self, address: IpAddr, pace: &mut Pace<'_>) -> Result<TcpStream, ConnectFailure> {
        let socket = SocketAddr::new(address, self.options.port);
        let connected = self.dialer.connect(socket, pace.deadline(Phase::Connect)).await;
        pace.finish(Phase::Connect);
        connected
    }

    /// A fresh connection up to the 220 to STARTTLS, or how the dialogue ended before; leave is taken then.
    pub(super) async fn reach_tls(&self, address: IpAddr, pace: &mut Pace<'_>) -> Result<TcpStream, SmtpOutcome> {
        let conversation = match self.connect(address, pace).await {
            Err(failure) => Conversation::unconnected(failure),
            Ok(mut tcp) => {
                let mut dialogue = Dialogue::new(&self.helo_name(&tcp));
                if talk(&mut dialogue, &mut tcp, pace).await {
                    return Ok(tcp);
                }
                Conversation::ended(dialogue, None, Stream::Clear(tcp))
            }
        };
        say_farewell(conversation.farewell, pace).await;
        Err(conversation.transcript.outcome.unwrap_or(NO_OUTCOME))
    }

    /// Ends a session inside TLS that served only for its handshake.
    pub(super) async fn leave(&self, stream: Encrypted, pace: &Pace<'_>) {
        say_farewell(Some((QUIT, Stream::Encrypted(Box::new(stream)))), pace).await;
    }

    async fn converse(&self, host: &MxHost, mut tcp: TcpStream, pace: &mut Pace<'_>) -> Conversation {
        let mut dialogue = Dialogue::new(&self.helo_name(&tcp));
        if !talk(&mut dialogue, &mut tcp, pace).await {
            return Conversation::ended(dialogue, None, Stream::Clear(tcp));
        }
        let greeting = dialogue.greeting_within_tls();
        let deadline = pace.deadline(Phase::Tls);
        let handshake = self.tls.handshake_saying(tcp, host.as_str(), &greeting, deadline).await;
        pace.finish(Phase::Tls);
        match handshake {
            Err(HandshakeFailure::Timeout) => dialogue.timed_out(),
            Err(HandshakeFailure::Failed { failure, not_tls_at_all }) => dialogue.tls_failed(failure, not_tls_at_all),
            Ok((mut stream, facts)) => {
                dialogue.tls_established();
                // What is to be sent now went along with the end of the handshake.
                let _ = dialogue.step();
                talk(&mut dialogue, &mut stream, pace).await;
                return Conversation::ended(dialogue, Some(facts), Stream::Encrypted(Box::new(stream)));
            }
        }
        Conversation { transcript: dialogue.into_transcript(), tls: None, farewell: None }
    }

    fn helo_name(&self, tcp: &TcpStream) -> String {
        if let Some(name) = &self.options.helo_name {
            return name.clone();
        }
        match tcp.local_addr().map(|address| address.ip().to_canonical()) {
            Ok(IpAddr::V4(address)) => format!("[{address}]"),
            Ok(IpAddr::V6(address)) => format!("[IPv6:{address}]"),
            Err(_) => "localhost".into(),
        }
    }
}

/// The name of this host, where it has a usable one.
pub fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname")).ok()?;
    MxHost::parse(&name).ok().map(|name| name.to_string())
}

/// A dialogue ends only with an outcome; this stands for one that does not.
const NO_OUTCOME: SmtpOutcome = SmtpOutcome::Timeout(Phase::Banner);

/// RFC 5321 §4.1.1.10: it may come at any time.
const QUIT: &[u8] = b"QUIT\r\n";

/// Whether the failure may come of what this program does not speak. A server that speaks no TLS, or lacks the key of its
/// certificate, fails everybody; one that was silent is not asked twice.
const fn others_may_succeed(failure: &TlsFailure) -> bool {
    matches!(failure, TlsFailure::Alert(_) | TlsFailure::Incompatible(_) | TlsFailure::Closed(_))
}

/// What came of a connection, and how to leave it.
struct Conversation {
    transcript: Transcript,
    tls: Option<TlsFacts>,
    farewell: Option<(&'static [u8], Stream)>,
}

enum Stream {
    Clear(TcpStream),
    Encrypted(Box<Encrypted>),
}

impl Conversation {
    fn unconnected(failure: ConnectFailure) -> Self {
        let outcome = match failure {
            ConnectFailure::Timeout => SmtpOutcome::Timeout(Phase::Connect),
            other => SmtpOutcome::ConnectFailed(other),
        };
        let transcript = Transcript { outcome: Some(outcome), ..Transcript::default() };
        Self { transcript, tls: None, farewell: None }
    }

    fn ended(dialogue: Dialogue, tls: Option<TlsFacts>, stream: Stream) -> Self {
        let farewell = dialogue.farewell().map(|command| (command, stream));
        Self { transcript: dialogue.into_transcript(), tls, farewell }
    }
}

/// Deadlines and times of the phases.
pub(super) struct Pace<'a> {
    timeouts: &'a SmtpTimeouts,
    overall: Instant,
    phase_began: Instant,
    times: PhaseTimes,
}

impl<'a> Pace<'a> {
    pub(super) fn new(timeouts: &'a SmtpTimeouts, started: Instant) -> Self {
        Self { timeouts, overall: started + timeouts.total, phase_began: started, times: PhaseTimes::default() }
    }

    /// The phase as a whole has to end then, however often a byte comes.
    pub(super) fn deadline(&self, phase: Phase) -> Instant {
        let limit = match phase {
            Phase::Connect => self.timeouts.connect,
            Phase::Banner => self.timeouts.banner,
            Phase::Ehlo | Phase::Starttls | Phase::EhloTls => self.timeouts.command,
            Phase::Tls => self.timeouts.tls,
        };
        self.overall.min(self.phase_began + limit)
    }

    fn finish(&mut self, phase: Phase) {
        let end = Instant::now();
        let took = Some(end.duration_since(self.phase_began));
        self.phase_began = end;
        match phase {
            Phase::Connect => self.times.connect = took,
            Phase::Banner => self.times.banner = took,
            Phase::Ehlo => self.times.ehlo = took,
            Phase::Starttls => self.times.starttls = took,
            Phase::Tls => self.times.tls = took,
            Phase::EhloTls => self.times.ehlo_tls = took,
        }
    }
}

/// Does what the dialogue says until it ends (false) or asks for TLS (true).
async fn talk<S>(dialogue: &mut Dialogue, stream: &mut S, pace: &mut Pace<'_>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = [0; READ_SIZE];
    // A server that closed has often said why before. So a failed write ends nothing: the next read finds the reply, or the end.
    let mut unsent = None;
    loop {
        let phase = dialogue.phase();
        let step = dialogue.step();
        if dialogue.phase() != phase || step == Step::End {
            pace.finish(phase);
        }
        let deadline = pace.deadline(dialogue.phase());
        match step {
            Step::Send(bytes) => match timeout_at(deadline, send(stream, &bytes)).await {
                Ok(sent) => unsent = sent.err().map(|error| fault(&error)),
                Err(_) => dialogue.timed_out(),
            },
            Step::Read => match timeout_at(deadline, stream.read(&mut buffer)).await {
                Ok(Ok(0)) => dialogue.broke(unsent.take().unwrap_or(ProtocolFault::Closed)),
                Ok(Ok(count)) => dialogue.receive(buffer.get(..count).unwrap_or_default()),
                Ok(Err(error)) => dialogue.broke(fault(&error)),
                Err(_) => dialogue.timed_out(),
            },
            Step::StartTls => return true,
            Step::End => return false,
        }
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    // Encrypted bytes wait in the TLS layer for this.
    stream.flush().await
}

async fn say_farewell(farewell: Option<(&'static [u8], Stream)>, pace: &Pace<'_>) {
    let Some((command, mut stream)) = farewell else { return };
    let deadline = pace.overall.min(Instant::now() + FAREWELL);
    // All is known: how the leave-taking goes changes nothing.
    let _ = timeout_at(deadline, take_leave(&mut stream, command)).await;
}

async fn take_leave(stream: &mut Stream, command: &[u8]) -> io::Result<()> {
    // The first byte of the answer is enough to know that QUIT arrived.
    match stream {
        Stream::Clear(tcp) => {
            send(tcp, command).await?;
            tcp.read_u8().await?;
            tcp.shutdown().await
        }
        Stream::Encrypted(tls) => {
            // QUIT, and that nothing follows it (RFC 8446 §6.1), in one packet.
            let (_, connection) = tls.get_mut();
            connection.writer().write_all(command)?;
            connection.send_close_notify();
            tls.flush().await?;
            tls.read_u8().await.map(drop)
        }
    }
}

fn fault(error: &io::Error) -> ProtocolFault {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ProtocolFault::Closed,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            ProtocolFault::Reset
        }
        _ => ProtocolFault::Transport(Octets::from(error.to_string().as_str()).to_string()),
    }
}
