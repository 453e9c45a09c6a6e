//! A policy host that does what a script says: many names on one address, chosen by SNI.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::pki::{self, Identity};

/// Between two bytes of a drip.
const PAUSE: Duration = Duration::from_millis(20);

/// What the peer does with a new connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AtAccept {
    /// Shakes hands.
    #[default]
    Tls,
    /// Says nothing.
    Hang,
    /// Speaks HTTP without TLS.
    ClearText,
    /// Ends the connection.
    Close,
    /// Resets the connection.
    Reset,
}

/// What is sent after a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// These bytes, then the end.
    Send(Vec<u8>),
    /// These bytes, then one again and again.
    Drip(Vec<u8>),
    /// These bytes, then nothing, the connection kept.
    Hang(Vec<u8>),
    /// The first bytes, then the others again and again, as fast as it goes.
    Flood(Vec<u8>, Vec<u8>),
    /// These bytes, then a reset.
    Reset(Vec<u8>),
}

/// One host name.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) identity: Identity,
    pub(crate) answer: Answer,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct SeenRequest {
    /// The SNI.
    pub(crate) server_name: Option<String>,
    /// The header section.
    pub(crate) head: String,
}

/// A running peer; it ends when dropped.
pub(crate) struct HttpsPeer {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    at_accept: Mutex<AtAccept>,
    sites: Mutex<HashMap<String, Site>>,
    connections: AtomicUsize,
    requests: Mutex<Vec<SeenRequest>>,
}

impl Answer {
    /// A whole answer with its length.
    pub(crate) fn status(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut bytes = head(status, headers);
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        Self::Send(bytes)
    }

    /// A policy as it should be served.
    pub(crate) fn policy(body: &str) -> Self {
        Self::status("200 OK", &[("Content-Type", "text/plain")], body.as_bytes())
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::status("301 Moved Permanently", &[("Location", location)], b"moved")
    }
}

/// A status line and header fields, the section not ended.
pub(crate) fn head(status: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes
}

impl HttpsPeer {
    /// On a free port of 127.0.0.1, with no sites.
    pub(crate) async fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, task }
    }

    /// Adds or replaces a site, from the next connection on.
    pub(crate) fn serve(&self, name: &str, identity: &Identity, answer: Answer) {
        let site = Site { identity: identity.clone(), answer };
        self.state.sites.lock().unwrap().insert(name.to_owned(), site);
    }

    /// From the next connection on.
    pub(crate) fn at_accept(&self, at_accept: AtAccept) {
        *self.state.at_accept.lock().unwrap() = at_accept;
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<SeenRequest> {
        self.state.requests.lock().unwrap().clone()
    }
}

impl Drop for HttpsPeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A name without a site gets an alert.
impl ResolvesServerCert for State {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let sites = self.sites.lock().unwrap();
        sites.get(hello.server_name()?).map(|site| site.identity.certified())
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let resolver: Arc<dyn ResolvesServerCert> = Arc::<State>::clone(&state);
    let acceptor = TlsAcceptor::from(pki::server(resolver, &[&TLS12, &TLS13]));
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        state.connections.fetch_add(1, Ordering::SeqCst);
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        // How a connection ends is the client's to tell.
        connections.spawn(async move { accept(tcp, &acceptor, &state).await });
        while connections.try_join_next().is_some() {}
    }
}

async fn accept(mut tcp: TcpStream, acceptor: &TlsAcceptor, state: &State) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let at_accept = *state.at_accept.lock().unwrap();
    match at_accept {
        AtAccept::Tls => answer(acceptor.accept(tcp).await?, state).await,
        AtAccept::Hang => {
            let mut buffer = [0; 1024];
            while tcp.read(&mut buffer).await? > 0 {}
            Ok(())
        }
        AtAccept::ClearText => {
            let mut buffer = [0; 1024];
            if tcp.read(&mut buffer).await? > 0 {
                tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
            }
            Ok(())
        }
        AtAccept::Close => Ok(()),
        AtAccept::Reset => SockRef::from(&tcp).set_linger(Some(Duration::ZERO)),
    }
}

async fn answer(mut tls: TlsStream<TcpStream>, state: &State) -> io::Result<()> {
    let server_name = tls.get_ref().1.server_name().map(str::to_owned);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tls.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    state.requests.lock().unwrap().push(SeenRequest { server_name: server_name.clone(), head });
    let site = server_name.and_then(|name| state.sites.lock().unwrap().get(&name).cloned());
    let Some(site) = site else { return Ok(()) };
    match site.answer {
        Answer::Send(bytes) => {
            say(&mut tls, &bytes).await?;
            tls.shutdown().await
        }
        Answer::Drip(bytes) => {
            say(&mut tls, &bytes).await?;
            loop {
                tokio::time::sleep(PAUSE).await;
                say(&mut tls, b"x").await?;
            }
        }
        Answer::Hang(bytes) => {
            say(&mut tls, &bytes).await?;
            let mut buffer = [0; 1024];
            while tls.read(&mut buffer).await? > 0 {}
            Ok(())
        }
        Answer::Flood(bytes, again) => {
            say(&mut tls, &bytes).await?;
            loop {
                say(&mut tls, &again).await?;
            }
        }
        Answer::Reset(bytes) => {
            say(&mut tls, &bytes).await?;
            SockRef::from(tls.get_ref().0).set_linger(Some(Duration::ZERO))
        }
    }
}

async fn say(tls: &mut TlsStream<TcpStream>, bytes: &[u8]) -> io::Result<()> {
    tls.write_all(bytes).await?;
    tls.flush().await
}
