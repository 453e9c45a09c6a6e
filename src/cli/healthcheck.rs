//! `healthcheck`: asks the monitor on this host whether it is alive.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::{FAILED, OK, args::Healthcheck, complain};
use crate::web::ListenAddress;

/// A monitor that is alive answers at once; container runtimes give up after a few seconds themselves.
const PATIENCE: Duration = Duration::from_secs(3);
/// A status line and the header that this program's own server sends fit in easily.
const MAX_ANSWER: u64 = 4096;

/// Asks, and returns 0 where the monitor is alive and 1 where it is not.
///
/// It dials this program's own server, not a peer: that is no probe and needs nothing of `net`.
pub(super) fn run(arguments: &Healthcheck) -> u8 {
    let address = reachable(arguments.listen.unwrap_or_default());
    let path = arguments.route_prefix.clone().unwrap_or_default().path_of("/-/healthy");
    match ask(address, &path) {
        Ok(line) if is_ok(&line) => OK,
        Ok(line) => complain(&format!("{address} answered {line:?}"), FAILED),
        Err(error) => complain(&format!("{address}: {error}"), FAILED),
    }
}

/// What listens at every address of the host is asked at its loopback address: a server at `[::]` takes IPv4 too, and one
/// without IPv6 takes only that.
fn reachable(listen: ListenAddress) -> SocketAddr {
    match listen {
        ListenAddress::Any { port } => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
        ListenAddress::One(one) if one.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) => {
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), one.port())
        }
        ListenAddress::One(one) if one.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            SocketAddr::new(Ipv6Addr::LOCALHOST.into(), one.port())
        }
        ListenAddress::One(one) => one,
    }
}

/// The status line of the answer.
fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 512];
    let mut source = stream.try_clone()?.take(MAX_ANSWER);
    while !answer.contains(&b'\n') {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match source.read(&mut buffer)? {
            0 => break,
            count => answer.extend(buffer.iter().take(count)),
        }
    }
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).trim_end().to_owned())
}

fn is_ok(line: &str) -> bool {
    let mut words = line.split(' ');
    words.next().is_some_and(|version| version.starts_with("HTTP/1.")) && words.next() == Some("200")
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    fn answer(text: &'static str) -> u8 {
        asked(None, "/-/healthy", text)
    }

    fn asked(prefix: Option<&str>, path: &str, text: &'static str) -> u8 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let line = format!("GET {path} HTTP/1.1\r\n");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // All of it: closing with something unread resets the connection.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            assert!(request.starts_with(line.as_bytes()));
            stream.write_all(text.as_bytes()).unwrap();
        });
        let route_prefix = prefix.map(|prefix| prefix.parse().unwrap());
        let status = run(&Healthcheck { listen: Some(ListenAddress::One(address)), route_prefix });
        server.join().unwrap();
        status
    }

    #[test]
    fn only_200_is_alive() {
        assert_eq!(answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), OK);
        assert_eq!(answer("HTTP/1.1 503 Service Unavailable\r\n\r\n"), FAILED);
        assert_eq!(answer("220 mail.example ESMTP\r\n"), FAILED);
        assert_eq!(answer(""), FAILED);
    }

    #[test]
    fn it_is_asked_below_its_prefix() {
        assert_eq!(asked(Some("/mail/"), "/mail/-/healthy", "HTTP/1.1 200 OK\r\n\r\n"), OK);
    }

    #[test]
    fn nobody_there_is_not_alive() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(run(&Healthcheck { listen: Some(ListenAddress::One(address)), ..Healthcheck::default() }), FAILED);
    }

    #[test]
    fn every_address_means_loopback() {
        for (listen, asked) in [
            (":10461", "127.0.0.1:10461"),
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("192.0.2.1:1", "192.0.2.1:1"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
