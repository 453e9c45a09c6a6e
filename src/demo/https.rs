//! The policy hosts: many names on one address, told apart by SNI.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{picture::Answer, stage::Stage};

/// The only path (RFC 8461 §3.3).
const PATH: &str = "/.well-known/mta-sts.txt";
/// The longest wait for the handshake, and for a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest header of a request.
const HEAD_MOST: usize = 8192;
/// After a failed accept: there is no sense in trying again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, acceptor: TlsAcceptor, stage: Arc<Stage>) {
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                let (acceptor, stage) = (acceptor.clone(), Arc::clone(&stage));
                // How a connection ends is the client's to tell.
                tokio::spawn(async move { answer(tcp, &acceptor, &stage).await });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn answer(tcp: TcpStream, acceptor: &TlsAcceptor, stage: &Stage) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut tls = timeout(PATIENCE, acceptor.accept(tcp)).await??;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_MOST {
        let read = timeout(PATIENCE, tls.read_buf(&mut head)).await??;
        if read == 0 {
            return Ok(());
        }
    }
    let site = tls.get_ref().1.server_name().and_then(|name| stage.site(name));
    let head = String::from_utf8_lossy(&head);
    let mut request = head.split(' ');
    let response = match (request.next(), request.next(), site.map(|site| site.answer)) {
        (Some("GET"), Some(PATH), Some(Answer::Policy(body))) => response("200 OK", "", &body),
        (Some("GET"), Some(PATH), Some(Answer::Redirect(place))) => {
            response("301 Moved Permanently", &format!("Location: {place}\r\n"), "moved\n")
        }
        _ => response("404 Not Found", "", "There is nothing here.\n"),
    };
    tls.write_all(response.as_bytes()).await?;
    tls.shutdown().await
}

fn response(status: &str, header: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
