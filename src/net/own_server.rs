//! A question to the web server of this program on this host.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Error, StreamOwned, crypto::aws_lc_rs::default_provider,
};
use rustls_pki_types::ServerName;

use super::tls_client::SignatureOnly;

/// A status line and the header that this program's own server sends fit in easily.
const MAX_ANSWER: u64 = 4096;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnAnswer {
    /// The first line of the answer.
    Line(String),
    /// The server wants a certificate of whoever asks.
    CertificateWanted,
}

/// Sends a request, and reads the first line of the answer within `patience`.
///
/// With TLS the certificate is not judged: what is asked is whether the own server is alive, and nothing secret is sent.
///
/// # Errors
/// Nobody is there, or the answer does not come in time.
pub fn ask_own_server(address: SocketAddr, request: &str, tls: bool, patience: Duration) -> io::Result<OwnAnswer> {
    let deadline = Instant::now() + patience;
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_write_timeout(Some(patience))?;
    if !tls {
        let timed = stream.try_clone()?;
        return first_line(stream, &timed, request, deadline).map(OwnAnswer::Line);
    }
    let timed = stream.try_clone()?;
    let connection = ClientConnection::new(config()?, ServerName::from(address.ip())).map_err(io::Error::other)?;
    match first_line(StreamOwned::new(connection, stream), &timed, request, deadline) {
        Err(error) if wants_certificate(&error) => Ok(OwnAnswer::CertificateWanted),
        answer => answer.map(OwnAnswer::Line),
    }
}

fn config() -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(default_provider());
    let verifier = SignatureOnly::of_any_key(&provider);
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn wants_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(inner, Some(Error::AlertReceived(AlertDescription::CertificateRequired)))
}

fn first_line<S: Read + Write>(
    mut stream: S,
    timed: &TcpStream,
    request: &str,
    deadline: Instant,
) -> io::Result<String> {
    timed.set_read_timeout(Some(left(deadline)?))?;
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    let mut buffer = [0; 512];
    let mut source = stream.take(MAX_ANSWER);
    while !answer.contains(&b'\n') {
        timed.set_read_timeout(Some(left(deadline)?))?;
        match source.read(&mut buffer)? {
            0 => break,
            count => answer.extend(buffer.iter().take(count)),
        }
    }
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).trim_end().to_owned())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
