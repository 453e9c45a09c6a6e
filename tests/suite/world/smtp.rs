//! A mail host that does what a script says.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::pki::Identity;

/// Between two bytes of a drip, and two packets of a reply in pieces.
const PAUSE: Duration = Duration::from_millis(20);

/// What the peer does at one point of the dialogue.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Sends these bytes.
    Say(Vec<u8>),
    /// Sends the first bytes, and the second ones in a packet of their own.
    SayInTwo(Vec<u8>, Vec<u8>),
    /// Says nothing and keeps the connection.
    Hang,
    /// Sends the first bytes, then one byte again and again, never a line end.
    Drip(Vec<u8>),
    /// One line without end, as fast as it goes.
    FloodLine,
    /// Continuation lines without end, as fast as it goes.
    FloodLines,
    /// Ends the connection.
    Close,
    /// Resets the connection.
    Reset,
}

/// What the peer does when the handshake should come.
#[derive(Clone, Debug)]
pub(crate) enum TlsAct {
    /// Shakes hands.
    Serve(Arc<ServerConfig>),
    /// As [`Act`], in the place of a handshake.
    Instead(Act),
}

/// A whole dialogue.
#[derive(Clone, Debug)]
pub(crate) struct SmtpScript {
    pub(crate) banner: Act,
    pub(crate) ehlo: Act,
    pub(crate) starttls: Act,
    pub(crate) tls: TlsAct,
    pub(crate) ehlo_tls: Act,
    pub(crate) quit: Act,
}

/// A running peer; it ends when dropped.
pub(crate) struct SmtpPeer {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    script: Mutex<SmtpScript>,
    connections: AtomicUsize,
    accepted_at: Mutex<Vec<Instant>>,
    commands: Mutex<Vec<String>>,
}

impl Act {
    pub(crate) fn say(text: &str) -> Self {
        Self::Say(text.as_bytes().to_vec())
    }
}

impl SmtpScript {
    /// A mail host as it should be, with TLS 1.2 and 1.3.
    pub(crate) fn good(identity: &Identity) -> Self {
        Self::with_versions(identity, &[&TLS12, &TLS13])
    }

    pub(crate) fn with_versions(identity: &Identity, versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self {
            banner: Act::say("220 mx.example ESMTP\r\n"),
            ehlo: Act::say("250-mx.example\r\n250-SIZE 1000000\r\n250-STARTTLS\r\n250 8BITMIME\r\n"),
            starttls: Act::say("220 2.0.0 go ahead\r\n"),
            tls: TlsAct::Serve(identity.server(versions)),
            ehlo_tls: Act::say("250-mx.example\r\n250 8BITMIME\r\n"),
            quit: Act::say("221 bye\r\n"),
        }
    }
}

impl SmtpPeer {
    /// On a free port of 127.0.0.1.
    pub(crate) async fn start(script: SmtpScript) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), script).await
    }

    pub(crate) async fn start_at(address: SocketAddr, script: SmtpScript) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Mutex::new(script),
            connections: AtomicUsize::new(0),
            accepted_at: Mutex::default(),
            commands: Mutex::default(),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, task }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// From the next connection on.
    pub(crate) fn set_script(&self, script: SmtpScript) {
        *self.state.script.lock().unwrap() = script;
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// When each connection came.
    pub(crate) fn accepted_at(&self) -> Vec<Instant> {
        self.state.accepted_at.lock().unwrap().clone()
    }

    /// Every line that came, without its end.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.state.commands.lock().unwrap().clone()
    }
}

impl Drop for SmtpPeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        state.connections.fetch_add(1, Ordering::SeqCst);
        state.accepted_at.lock().unwrap().push(Instant::now());
        let state = Arc::clone(&state);
        // How a connection ends is the client's to tell.
        connections.spawn(async move { converse(stream, &state).await });
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(mut tcp: TcpStream, state: &State) -> io::Result<()> {
    // Else every second write waits for an acknowledgement that the client delays.
    tcp.set_nodelay(true)?;
    let script = state.script.lock().unwrap().clone();
    let reset = |tcp: &TcpStream| SockRef::from(tcp).set_linger(Some(Duration::ZERO));
    if !act(&mut tcp, &script.banner).await? {
        return if matches!(script.banner, Act::Reset) { reset(&tcp) } else { Ok(()) };
    }
    loop {
        let Some(command) = read_command(&mut tcp, state).await? else { return Ok(()) };
        let answer = match command.as_str() {
            "EHLO" => &script.ehlo,
            "STARTTLS" => &script.starttls,
            "QUIT" => &script.quit,
            _ => &Act::Close,
        };
        if !act(&mut tcp, answer).await? {
            return if matches!(answer, Act::Reset) { reset(&tcp) } else { Ok(()) };
        }
        match command.as_str() {
            "STARTTLS" if promises_tls(answer) => break,
            "QUIT" => return Ok(()),
            _ => {}
        }
    }
    let config = match script.tls {
        TlsAct::Serve(config) => config,
        TlsAct::Instead(instead) => return refuse_tls(tcp, &instead).await,
    };
    let mut tls = TlsAcceptor::from(config).accept(tcp).await?;
    while let Some(command) = read_command(&mut tls, state).await? {
        let answer = if command == "EHLO" { &script.ehlo_tls } else { &script.quit };
        if !act(&mut tls, answer).await? {
            return if matches!(answer, Act::Reset) { reset(tls.get_ref().0) } else { Ok(()) };
        }
        if command == "QUIT" {
            return tls.shutdown().await;
        }
    }
    Ok(())
}

/// Does something else once the ClientHello is there: to end a connection with unread bytes would reset it.
async fn refuse_tls(mut tcp: TcpStream, instead: &Act) -> io::Result<()> {
    let mut hello = [0; 4096];
    let _length = tcp.read(&mut hello).await?;
    if act(&mut tcp, instead).await? {
        return drain(&mut tcp).await;
    }
    if matches!(instead, Act::Reset) { SockRef::from(&tcp).set_linger(Some(Duration::ZERO)) } else { Ok(()) }
}

fn promises_tls(answer: &Act) -> bool {
    matches!(answer, Act::Say(bytes) | Act::SayInTwo(bytes, _) if bytes.starts_with(b"220"))
}

/// Does it; false where nothing can follow.
async fn act<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, act: &Act) -> io::Result<bool> {
    match act {
        Act::Say(bytes) => say(stream, bytes).await?,
        Act::SayInTwo(first, second) => {
            say(stream, first).await?;
            tokio::time::sleep(PAUSE).await;
            say(stream, second).await?;
        }
        Act::Hang => drain(stream).await?,
        Act::Drip(first) => {
            say(stream, first).await?;
            loop {
                tokio::time::sleep(PAUSE).await;
                say(stream, b"x").await?;
            }
        }
        Act::FloodLine => loop {
            say(stream, &[b'x'; 4096]).await?;
        },
        Act::FloodLines => loop {
            say(stream, "250-x\r\n".repeat(500).as_bytes()).await?;
        },
        Act::Close | Act::Reset => return Ok(false),
    }
    Ok(!matches!(act, Act::Hang))
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Reads until the client goes.
async fn drain<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// The next command's verb in upper case; nothing at the end.
async fn read_command<S: AsyncRead + Unpin>(stream: &mut S, state: &State) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await {
            Ok(b'\n') => break,
            Ok(byte) => line.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    state.commands.lock().unwrap().push(line.clone());
    Ok(line.split_whitespace().next().map(str::to_ascii_uppercase))
}
