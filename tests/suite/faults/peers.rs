//! A mail host and a policy host at one address that do at each step what a cell says.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::ServerConfig;
use socket2::{Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, duplex, split},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::act::{Act, Counted, End, Tally, Then, drain, finish};

/// The send buffer of a peer, in octets. Small, so that what a peer could send is hardly more than what was read.
const SEND_BUFFER: usize = 16 << 10;
/// A TLS 1.3 record with a KeyUpdate message (RFC 8446 §4.6.3, §5.2), in octets.
const KEY_UPDATE: usize = 5 + 5 + 1 + 16;

/// How the handshake goes.
#[derive(Clone, Debug)]
pub(super) enum Handshake {
    /// As it should.
    Serve,
    /// Something else in the place of the server's first flight, once the ClientHello is there.
    Instead(Act),
    /// The flight is cut there.
    Cut(Place, Then),
    /// One octet of the flight, counted from its beginning, is another one.
    Garbled(usize),
    /// So many certificates are sent after those that are needed.
    Certificates(usize),
    /// So many session tickets are sent after it.
    Tickets(usize),
}

/// A place in the server's first flight.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// After the ServerHello.
    ServerHello,
    /// After so many octets, which lie within what follows the ServerHello.
    Octets(usize),
}

/// The dialogue of a mail host.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) greeting: Act,
    pub(super) ehlo: Act,
    pub(super) starttls: Act,
    pub(super) handshake: Handshake,
    pub(super) ehlo_tls: Act,
    pub(super) quit: Act,
}

/// What a policy host does.
#[derive(Clone, Debug)]
pub(super) struct Web {
    pub(super) handshake: Handshake,
    /// After the request.
    pub(super) answer: Act,
    /// In the place of an answer it changes its keys again and again, as fast as that goes.
    pub(super) changes_keys: bool,
}

/// Somebody who listens at one port; it ends when dropped.
pub(super) struct Listening {
    pub(super) tally: Arc<Tally>,
    task: JoinHandle<()>,
}

impl Mail {
    /// Without fault.
    pub(super) fn good() -> Self {
        Self {
            greeting: Act::say("220 mx.example ESMTP\r\n"),
            ehlo: Act::say("250-mx.example\r\n250-SIZE 1000000\r\n250 STARTTLS\r\n"),
            starttls: Act::say("220 2.0.0 go ahead\r\n"),
            handshake: Handshake::Serve,
            ehlo_tls: Act::say("250-mx.example\r\n250 SIZE 1000000\r\n"),
            quit: Act::new(b"221 bye\r\n", Then::Close),
        }
    }
}

impl Web {
    /// Without fault: this policy.
    pub(super) fn good(policy: &str) -> Self {
        let header = format!("Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n", policy.len());
        let answer = Act::new(format!("HTTP/1.1 200 OK\r\n{header}{policy}").as_bytes(), Then::Close);
        Self { handshake: Handshake::Serve, answer, changes_keys: false }
    }
}

impl Listening {
    pub(super) fn mail(at: (Ipv4Addr, u16), script: Mail, tls: Arc<ServerConfig>) -> Self {
        let script = Arc::new(script);
        Self::start(at, move |tcp, counted| {
            let (script, tls) = (Arc::clone(&script), Arc::clone(&tls));
            async move { converse(tcp, &script, tls, counted).await }
        })
    }

    pub(super) fn web(at: (Ipv4Addr, u16), script: Web, tls: Arc<ServerConfig>) -> Self {
        let script = Arc::new(script);
        Self::start(at, move |tcp, counted| {
            let (script, tls) = (Arc::clone(&script), Arc::clone(&tls));
            async move { answer(tcp, &script, tls, counted).await }
        })
    }

    fn start<F>(at: (Ipv4Addr, u16), serve: impl Fn(TcpStream, Counted) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = listen(at).unwrap_or_else(|error| panic!("{at:?}: {error}"));
        let tally = Arc::new(Tally::default());
        let counts = Arc::clone(&tally);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                // How a connection ends is the client's to tell.
                connections.spawn(serve(tcp, counts.accept()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { tally, task }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listen(at: (Ipv4Addr, u16)) -> io::Result<TcpListener> {
    /// So many connections may wait to be taken: more than the copies of a domain.
    const BACKLOG: i32 = 64;
    let socket = Socket::new(socket2::Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    // What is accepted inherits it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(&SocketAddr::from(at).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

async fn converse(mut tcp: TcpStream, script: &Mail, tls: Arc<ServerConfig>, mut counted: Counted) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut end = script.greeting.perform(&mut tcp, &mut counted).await?;
    while end == End::GoOn {
        let Some(command) = read_command(&mut tcp).await? else { return Ok(()) };
        let act = match command.as_str() {
            "EHLO" => &script.ehlo,
            "STARTTLS" => &script.starttls,
            _ => &script.quit,
        };
        end = act.perform(&mut tcp, &mut counted).await?;
        if command == "STARTTLS" && end == End::GoOn && act.first.starts_with(b"220 ") {
            break;
        }
    }
    if end != End::GoOn {
        return finish(&tcp, end);
    }
    let Some(mut stream) = shake_hands(tcp, &script.handshake, tls, &mut counted).await? else { return Ok(()) };
    while let Some(command) = read_command(&mut stream).await? {
        let act = if command == "EHLO" { &script.ehlo_tls } else { &script.quit };
        let end = act.perform(&mut stream, &mut counted).await?;
        if end == End::Close {
            return stream.shutdown().await;
        }
        if end == End::Reset {
            return finish(stream.get_ref().0, end);
        }
    }
    Ok(())
}

async fn answer(tcp: TcpStream, script: &Web, tls: Arc<ServerConfig>, mut counted: Counted) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let Some(mut stream) = shake_hands(tcp, &script.handshake, tls, &mut counted).await? else { return Ok(()) };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if script.changes_keys {
        loop {
            stream.get_mut().1.refresh_traffic_keys().map_err(io::Error::other)?;
            stream.flush().await?;
            counted.note(KEY_UPDATE);
        }
    }
    match script.answer.perform(&mut stream, &mut counted).await? {
        End::Close => stream.shutdown().await,
        end => finish(stream.get_ref().0, end),
    }
}

/// The stream within TLS; nothing where the fault of the handshake was shown.
async fn shake_hands(
    mut tcp: TcpStream,
    handshake: &Handshake,
    tls: Arc<ServerConfig>,
    counted: &mut Counted,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let acceptor = TlsAcceptor::from(tls);
    match handshake {
        Handshake::Serve | Handshake::Certificates(_) | Handshake::Tickets(_) => acceptor.accept(tcp).await.map(Some),
        Handshake::Instead(act) => {
            // To end a connection with unread octets would reset it.
            let mut hello = [0; 4096];
            let _length = tcp.read(&mut hello).await?;
            let end = act.perform(&mut tcp, counted).await?;
            if end == End::GoOn {
                drain(&mut tcp).await?;
            }
            finish(&tcp, end).map(|()| None)
        }
        Handshake::Cut(place, then) => {
            let flight = first_flight(&mut tcp, acceptor).await?;
            let length = match place {
                // The headers of the record and of the message, and what the latter says (RFC 8446 §4, §5.1).
                Place::ServerHello => 5 + 4 + usize::from(u16::from_be_bytes([flight[7], flight[8]])),
                Place::Octets(octets) => *octets,
            };
            assert!(length < flight.len(), "{length} of {}", flight.len());
            let end = Act::new(&flight[..length], then.clone()).perform(&mut tcp, counted).await?;
            finish(&tcp, end).map(|()| None)
        }
        Handshake::Garbled(at) => {
            let mut flight = first_flight(&mut tcp, acceptor).await?;
            flight[*at] ^= 0x55;
            counted.send(&mut tcp, &flight).await?;
            drain(&mut tcp).await.map(|()| None)
        }
    }
}

/// What a server without fault would send on the ClientHello: all of it, for it says nothing more before the client does.
async fn first_flight(tcp: &mut TcpStream, acceptor: TlsAcceptor) -> io::Result<Vec<u8>> {
    /// Far more than a flight takes; the server writes all of it without waiting for a reader.
    const ROOM: usize = 1 << 20;
    /// By then the server has said all.
    const SAID: Duration = Duration::from_millis(200);
    let mut hello = vec![0; 8192];
    let length = tcp.read(&mut hello).await?;
    let (near, far) = duplex(ROOM);
    let (mut from, mut to) = split(near);
    to.write_all(&hello[..length]).await?;
    let mut flight = Vec::new();
    let handshake = acceptor.accept(far);
    tokio::select! {
        _ = handshake => {}
        () = async {
            let mut buffer = [0; 4096];
            while let Ok(Ok(count)) = tokio::time::timeout(SAID, from.read(&mut buffer)).await {
                flight.extend_from_slice(&buffer[..count]);
            }
        } => {}
    }
    assert!(flight.len() > 500 && flight[0] == 0x16, "a flight with a certificate: {} octets", flight.len());
    Ok(flight)
}

/// The next command's verb in upper case; nothing at the end.
async fn read_command<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await {
            Ok(b'\n') => break,
            Ok(octet) => line.push(octet),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    Ok(Some(line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase()))
}
