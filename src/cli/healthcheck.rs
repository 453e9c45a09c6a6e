//! `healthcheck`: asks the monitor on this host whether it is alive.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use super::{FAILED, OK, USAGE, args::Healthcheck, complain};
use crate::{
    config::web::{self, WebSettings},
    net::{OwnAnswer, ask_own_server},
    web::ListenAddress,
};

/// A monitor that is alive answers at once; container runtimes give up after a few seconds themselves.
const PATIENCE: Duration = Duration::from_secs(3);
/// Asks, and returns 0 where the monitor is alive, 1 where it is not, and 2 where the web configuration cannot be read.
///
/// No secret is needed: a monitor that asks for a certificate or for a password is as alive as one that answers, where its web
/// configuration says that it does so.
pub(super) fn run(arguments: &Healthcheck) -> u8 {
    let web = match arguments.web_config.as_deref().map(web::load).transpose() {
        Ok(web) => web.map(|loaded| loaded.settings).unwrap_or_default(),
        Err(errors) => return complain(&format!("the web configuration is not valid\n\n{errors}"), USAGE),
    };
    let address = reachable(arguments.listen.unwrap_or_default());
    let path = arguments.route_prefix.clone().unwrap_or_default().path_of("/-/healthy");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    match ask_own_server(address, &request, web.tls.is_some(), PATIENCE) {
        Ok(answer) if is_alive(&answer, &web) => OK,
        Ok(OwnAnswer::Line(line)) => complain(&format!("{address} answered {line:?}"), FAILED),
        Ok(OwnAnswer::CertificateWanted) => complain(&format!("{address} wants a certificate"), FAILED),
        Err(error) => complain(&format!("{address}: {error}"), FAILED),
    }
}

fn is_alive(answer: &OwnAnswer, web: &WebSettings) -> bool {
    match answer {
        OwnAnswer::Line(line) => match status(line) {
            Some("200") => true,
            Some("401") => !web.users.is_empty(),
            Some("429") => web.rate_limit.is_some(),
            _ => false,
        },
        OwnAnswer::CertificateWanted => web.tls.as_ref().is_some_and(|tls| tls.client_certificates.mandatory()),
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
    fn who_asks_for_what_its_configuration_says_is_alive() {
        let hash = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";
        let text = format!("basic_auth_users: {{ann: '{hash}'}}\nrate_limit: {{interval: 1s, burst: 1}}\n");
        let guarded = web::parse("web.yml", &text).unwrap().settings;
        let open = WebSettings::default();
        let line = |line: &str| OwnAnswer::Line(line.to_owned());
        for (answer, guarded_alive, open_alive) in [
            (line("HTTP/1.1 200 OK"), true, true),
            (line("HTTP/1.1 401 Unauthorized"), true, false),
            (line("HTTP/1.1 429 Too Many Requests"), true, false),
            (line("HTTP/1.1 500 Internal Server Error"), false, false),
            (line("401"), false, false),
            (OwnAnswer::CertificateWanted, false, false),
        ] {
            assert_eq!(
                (is_alive(&answer, &guarded), is_alive(&answer, &open)),
                (guarded_alive, open_alive),
                "{answer:?}"
            );
        }
        let broken = Healthcheck { web_config: Some("/nowhere/web.yml".into()), ..Healthcheck::default() };
        assert_eq!(run(&broken), USAGE);
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
