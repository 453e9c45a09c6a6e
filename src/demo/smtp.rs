//! The mail hosts: as much of SMTP as a monitor asks for. They take no mail.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    DemoError,
    authority::Authority,
    picture::{MailHost, Mood},
    stage::Stage,
    tls,
};

/// The longest wait for the next command.
const IDLE: Duration = Duration::from_secs(30);
/// The longest command line, its end among it (RFC 5321 §4.5.3.1.4).
const LINE_MOST: usize = 512;
/// After a failed accept or bind: there is no sense in trying again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// How a mail host behaves.
#[derive(Debug)]
pub(super) struct Manner {
    mood: Mood,
    greeting: Vec<u8>,
    /// The answers to EHLO before and after STARTTLS.
    ehlo: [Vec<u8>; 2],
    tls: Option<Arc<ServerConfig>>,
}

impl Manner {
    pub(super) fn new(host: &MailHost, authority: &Authority) -> Result<Self, DemoError> {
        let tls = match &host.certificate {
            Some(certificate) => Some(tls::server(Arc::new(tls::Always(authority.issue(certificate)?)))?),
            None => None,
        };
        let code = if host.mood == Mood::Rejects { 554 } else { 220 };
        let mut lines = host.ehlo.clone();
        let within = reply(250, &lines);
        if tls.is_some() {
            lines.push("STARTTLS".to_owned());
        }
        Ok(Self {
            mood: host.mood,
            greeting: reply(code, std::slice::from_ref(&host.banner)),
            ehlo: [reply(250, &lines), within],
            tls,
        })
    }
}

/// A reply of several lines (RFC 5321 §4.2.1).
fn reply(code: u16, lines: &[String]) -> Vec<u8> {
    let last = lines.len().saturating_sub(1);
    let line = |(place, text): (usize, &String)| format!("{code}{}{text}\r\n", if place == last { ' ' } else { '-' });
    lines.iter().enumerate().map(line).collect::<String>().into_bytes()
}

/// Serves the mail host at an address, for ever. While it is down nobody listens there.
pub(super) async fn serve(first: TcpListener, at: Ipv4Addr, stage: Arc<Stage>) {
    let address = SocketAddr::from((at, stage.addresses.smtp_port));
    let mut changes = stage.changes();
    let mut listener = Some(first);
    let is_down = || stage.host(at).is_some_and(|host| host.mood == Mood::Down);
    loop {
        if is_down() {
            listener = None;
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        }
        let open = match listener.take() {
            Some(open) => open,
            None => match TcpListener::bind(address).await {
                Ok(open) => open,
                Err(error) => {
                    tracing::warn!(%address, %error, "a mail host cannot come back yet");
                    sleep(PAUSE).await;
                    continue;
                }
            },
        };
        accept(&open, at, &stage, &mut changes).await;
        listener = Some(open);
    }
}

/// Takes connections until something changes.
async fn accept(listener: &TcpListener, at: Ipv4Addr, stage: &Arc<Stage>, changes: &mut watch::Receiver<()>) {
    loop {
        tokio::select! {
            _ = changes.changed() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if let Some(manner) = stage.host(at) {
                        // How a connection ends is the client's to tell.
                        tokio::spawn(async move { converse(stream, &manner).await });
                    }
                }
                Err(_) => sleep(PAUSE).await,
            },
        }
    }
}

async fn converse(mut tcp: TcpStream, manner: &Manner) -> io::Result<()> {
    // Else every second write waits for an acknowledgement that the client delays.
    tcp.set_nodelay(true)?;
    tcp.write_all(&manner.greeting).await?;
    if manner.mood == Mood::Rejects {
        return tcp.shutdown().await;
    }
    let [clear, within] = &manner.ehlo;
    if !dialogue(&mut tcp, clear, manner.tls.is_some()).await? {
        return tcp.shutdown().await;
    }
    let Some(config) = &manner.tls else { return Ok(()) };
    let mut tls = timeout(IDLE, TlsAcceptor::from(Arc::clone(config)).accept(tcp)).await??;
    dialogue(&mut tls, within, false).await?;
    tls.shutdown().await
}

/// Answers commands; true where TLS is to begin, false at the end.
async fn dialogue<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, ehlo: &[u8], starttls: bool) -> io::Result<bool> {
    while let Some(verb) = timeout(IDLE, command(stream)).await?? {
        let (answer, next): (&[u8], Option<bool>) = match verb.as_str() {
            "EHLO" => (ehlo, None),
            "STARTTLS" if starttls => (b"220 2.0.0 Ready to start TLS\r\n", Some(true)),
            "NOOP" | "RSET" => (b"250 2.0.0 Ok\r\n", None),
            "QUIT" => (b"221 2.0.0 Bye\r\n", Some(false)),
            _ => (b"502 5.5.1 This host of a demonstration takes no mail\r\n", None),
        };
        stream.write_all(answer).await?;
        stream.flush().await?;
        if let Some(next) = next {
            return Ok(next);
        }
    }
    Ok(false)
}

/// The verb of the next command in upper case; nothing at the end, and after a line that is too long.
async fn command<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    while line.len() < LINE_MOST {
        match stream.read_u8().await {
            Ok(b'\n') => {
                let text = String::from_utf8_lossy(&line);
                return Ok(Some(text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase()));
            }
            Ok(byte) => line.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
