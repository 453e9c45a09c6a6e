//! `healthcheck`: asks the monitor on this host whether it is alive.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use super::{FAILED, OK, args::Healthcheck, complain};
use crate::{
    config::web,
    net::{OwnAnswer, ask_own_server},
    web::ListenAddress,
};

/// A monitor that is alive answers at once; container runtimes give up after a few seconds themselves.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks, and returns 0 where the monitor is alive and 1 where it is not.
///
/// No secret is needed: a monitor that has a web configuration and asks for a certificate or for a password is as alive as one that
/// answers. That file is a hint and no more. The monitor goes on with the last one that it could use: one that is broken or was
/// emptied meanwhile must not end it, so that it is asked with TLS and without.
pub(super) fn run(arguments: &Healthcheck) -> u8 {
    let forms = match arguments.web_config.as_deref().map(web::load) {
        None => &[false][..],
        Some(Ok(loaded)) if loaded.settings.tls.is_none() => &[false, true],
        Some(Ok(_)) => &[true, false],
        Some(Err(errors)) => {
            complain(&format!("the web configuration is not valid; the monitor is asked all the same\n\n{errors}"), OK);
            &[true, false]
        }
    };
    let guarded = arguments.web_config.is_some();
    let address = reachable(arguments.listen.unwrap_or_default());
    let path = arguments.route_prefix.clone().unwrap_or_default().path_of("/-/healthy");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let deadline = Instant::now() + PATIENCE;
    let mut said = Vec::new();
    for tls in forms {
        // Whoever speaks the other form says so at once; a silent one has taken all the time.
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let how = if *tls { " (TLS)" } else { "" };
        match ask_own_server(address, &request, *tls, left) {
            Ok(answer) if is_alive(&answer, guarded) => return OK,
            Ok(OwnAnswer::Line(line)) => said.push(format!("{address}{how} answered {line:?}")),
            Ok(OwnAnswer::CertificateWanted) => said.push(format!("{address}{how} wants a certificate")),
            Err(error) => said.push(format!("{address}{how}: {error}")),
        }
    }
    complain(&said.join("; "), FAILED)
}

/// `guarded`: the monitor may ask for a password or a certificate, or take no more requests for now.
fn is_alive(answer: &OwnAnswer, guarded: bool) -> bool {
    match answer {
        OwnAnswer::Line(line) => match status(line) {
            Some("200") => true,
            Some("401" | "429") => guarded,
            _ => false,
        },
        OwnAnswer::CertificateWanted => guarded,
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

fn status(line: &str) -> Option<&str> {
    let mut words = line.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

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
        let status =
            run(&Healthcheck { listen: Some(ListenAddress::One(address)), route_prefix, ..Healthcheck::default() });
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
    fn who_asks_for_a_password_or_a_certificate_is_alive_where_there_is_a_web_configuration() {
        let line = |line: &str| OwnAnswer::Line(line.to_owned());
        for (answer, guarded_alive, open_alive) in [
            (line("HTTP/1.1 200 OK"), true, true),
            (line("HTTP/1.1 401 Unauthorized"), true, false),
            (line("HTTP/1.1 429 Too Many Requests"), true, false),
            (line("HTTP/1.1 500 Internal Server Error"), false, false),
            (line("401"), false, false),
            (OwnAnswer::CertificateWanted, true, false),
        ] {
            assert_eq!((is_alive(&answer, true), is_alive(&answer, false)), (guarded_alive, open_alive), "{answer:?}");
        }
    }

    /// A server that answers clear requests with this, and closes the connection of whoever speaks otherwise; and what came of it
    /// with a web configuration of this text, of none where there is no text.
    fn with_file(text: Option<&str>, answer: &'static str) -> u8 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        // Ends with the process: how often it is asked is what the test is about.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 1024];
                let count = stream.read(&mut request).unwrap();
                let answer =
                    if request[..count].starts_with(b"GET ") { answer } else { "HTTP/1.1 400 Bad Request\r\n\r\n" };
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        run(&Healthcheck {
            listen: Some(ListenAddress::One(address)),
            web_config: Some(path),
            ..Healthcheck::default()
        })
    }

    #[test]
    fn a_web_configuration_that_broke_after_the_start_does_not_end_a_monitor_that_goes_on() {
        let key = "tls_server_config: {cert_file: a, key_file: b}\n";
        for text in [None, Some(""), Some("user: {}\n"), Some("basic_auth_users: {ann: geheim}\n"), Some(key)] {
            assert_eq!(with_file(text, "HTTP/1.1 200 OK\r\n\r\n"), OK, "{text:?}");
            assert_eq!(with_file(text, "HTTP/1.1 401 Unauthorized\r\n\r\n"), OK, "{text:?}");
            assert_eq!(with_file(text, "HTTP/1.1 503 Service Unavailable\r\n\r\n"), FAILED, "{text:?}");
        }
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
