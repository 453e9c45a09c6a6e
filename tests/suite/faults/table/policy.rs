//! What a policy host does.
//!
//! Where the record announces a policy and no sender gets it, nothing is enforced by those that have none in their cache (RFC 8461 §3.3):
//! unprotected.

use smtptls_exporter::{net::MAX_BODY, verdict::State};

use super::super::{
    act::{Act, Then},
    cell::{Cell, Fault, Fault::*, Plan, Step, Step::*},
    peers::{Handshake, Place},
};

/// The largest handshake message that anybody takes, in octets: a certificate message with room for a hundred certificates.
const HANDSHAKE: usize = 65_535;
/// The largest header section, in octets: twice what common servers send at most.
const HEADER: usize = 16_384;
/// All that may come over one connection, in octets.
const CONNECTION: usize = 1 << 20;
/// Some octets into the certificate.
const WITHIN: usize = 400;

const SLOW: &[&str] = &["sts-policy-timeout"];
const NO_TLS: &[&str] = &["sts-policy-tls-failed"];
const NO_HTTP: &[&str] = &["sts-policy-http-status"];
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";

pub(super) fn cells() -> Vec<Cell> {
    [connect(), handshakes(), status(), header(), body()].into_iter().flatten().collect()
}

fn cell(
    step: Step,
    fault: Fault,
    what: &'static str,
    findings: &'static [&'static str],
    arrange: fn(&mut Plan),
) -> Cell {
    Cell::new(step, fault, what, arrange).finds(findings, State::Unprotected)
}

fn connect() -> Vec<Cell> {
    use super::super::cell::Port;
    vec![
        cell(PolicyConnect, Reset, "nobody listens", &["sts-policy-connect-failed"], |plan| plan.web = Port::Nobody),
        cell(PolicyConnect, Stall, "no connection is taken", SLOW, |plan| plan.web = Port::Deaf).probes(1),
    ]
}

fn handshakes() -> Vec<Cell> {
    let hello = |fault, what, findings, arrange| cell(PolicyHello, fault, what, findings, arrange);
    let flight = |fault, what, findings, arrange| cell(PolicyFlight, fault, what, findings, arrange);
    vec![
        hello(Reset, "reset after the ClientHello", NO_TLS, |plan| {
            plan.web().handshake = Handshake::Instead(Act::just(Then::Reset));
        }),
        hello(Close, "the end after the ClientHello", NO_TLS, |plan| {
            plan.web().handshake = Handshake::Instead(Act::just(Then::Close));
        }),
        hello(Stall, "nothing after the ClientHello", SLOW, |plan| {
            plan.web().handshake = Handshake::Instead(Act::just(Then::Stall));
        })
        .probes(1),
        hello(Drip, "an octet of a record now and then", SLOW, |plan| {
            plan.web().handshake = Handshake::Instead(Act::new(b"\x16\x03\x03\x40\x00\x02\x00\x3f\x00", Then::Drip(3)));
        })
        .probes(1),
        hello(Flood, "warning alerts without end", NO_TLS, |plan| {
            plan.web().handshake = Handshake::Instead(Act::flood(b"", b"\x15\x03\x03\x00\x02\x01\x5a"));
        })
        .as_("alerts")
        .takes(HANDSHAKE),
        hello(Flood, "a handshake message of 16 MB in records of 16 kB", NO_TLS, |plan| {
            let record = [&b"\x16\x03\x03\x40\x00"[..], &[0x55; 0x4000]].concat();
            let first = [&b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff"[..], &[0x55; 0x4000 - 4]].concat();
            plan.web().handshake = Handshake::Instead(Act::flood(&first, &record));
        })
        .as_("message")
        .takes(HANDSHAKE),
        hello(Lie, "HTTP in clear", NO_TLS, |plan| {
            plan.web().handshake = Handshake::Instead(Act::new(b"HTTP/1.1 400 Bad Request\r\n\r\n", Then::Close));
        })
        .as_("clear-text"),
        hello(Lie, "a record of nonsense", NO_TLS, |plan| {
            plan.web().handshake =
                Handshake::Instead(Act::new(b"\x16\x03\x03\x00\x08\xde\xad\xbe\xef\0\0\0\0", Then::Stall));
        })
        .as_("nonsense"),
        flight(Reset, "reset within the certificate", NO_TLS, |plan| {
            plan.web().handshake = Handshake::Cut(Place::Octets(WITHIN), Then::Reset);
        }),
        flight(Close, "the end after the ServerHello", NO_TLS, |plan| {
            plan.web().handshake = Handshake::Cut(Place::ServerHello, Then::Close);
        }),
        flight(Stall, "nothing after half a certificate", SLOW, |plan| {
            plan.web().handshake = Handshake::Cut(Place::Octets(WITHIN), Then::Stall);
        })
        .probes(1),
        flight(Drip, "an octet now and then, from half a certificate on", SLOW, |plan| {
            plan.web().handshake = Handshake::Cut(Place::Octets(WITHIN), Then::Drip(0));
        })
        .probes(1),
        flight(Flood, "ChangeCipherSpec without end", NO_TLS, |plan| {
            let again = b"\x14\x03\x03\x00\x01\x01".repeat(700);
            plan.web().handshake = Handshake::Cut(Place::ServerHello, Then::Flood(again));
        })
        .as_("change-cipher-spec")
        .takes(HANDSHAKE),
        flight(Flood, "500 certificates, 200 kB of them", NO_TLS, |plan| {
            plan.web().handshake = Handshake::Certificates(500);
        })
        .as_("certificates")
        .takes(HANDSHAKE),
        // Real chains have two to four; the path to the root is among the first.
        Cell::new(PolicyFlight, Flood, "80 certificates more than are needed", |plan| {
            plan.web().handshake = Handshake::Certificates(80);
        })
        .as_("long-chain")
        .takes(HANDSHAKE),
        flight(Lie, "one octet of the certificate is another one", NO_TLS, |plan| {
            plan.web().handshake = Handshake::Garbled(WITHIN);
        }),
    ]
}

fn status() -> Vec<Cell> {
    let status = |fault, what, findings, arrange| cell(PolicyStatus, fault, what, findings, arrange);
    vec![
        status(Reset, "reset after the request", NO_HTTP, |plan| plan.web().answer = Act::just(Then::Reset)),
        status(Close, "the end after the request", NO_HTTP, |plan| plan.web().answer = Act::just(Then::Close)),
        status(Stall, "nothing after the request", SLOW, |plan| plan.web().answer = Act::just(Then::Stall)).probes(1),
        status(Drip, "an octet of the status line now and then", SLOW, |plan| {
            plan.web().answer = Act::new(b"HTTP/1.1 200 ", Then::Drip(b'x'));
        })
        .probes(1),
        status(Flood, "a status line without end", NO_HTTP, |plan| {
            plan.web().answer = Act::flood(b"HTTP/1.1 200 ", b"x");
        })
        .as_("line")
        .takes(HEADER),
        // RFC 9110 §15.2 lets a server send several; nobody has to read them for ever.
        status(Flood, "100 Continue without end", NO_HTTP, |plan| {
            plan.web().answer = Act::flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n");
        })
        .as_("continue")
        .takes(CONNECTION),
        status(Flood, "20,000 session tickets before the answer", NO_HTTP, |plan| {
            plan.web().handshake = Handshake::Tickets(20_000);
        })
        .as_("tickets"),
        status(Flood, "keys of TLS changed without end", NO_HTTP, |plan| plan.web().changes_keys = true)
            .as_("keys")
            .takes(CONNECTION),
        status(Lie, "a redirect", &["sts-policy-redirect"], |plan| {
            plan.web().answer = Act::new(
                b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://www.example/\r\nContent-Length: 0\r\n\r\n",
                Then::Close,
            );
        })
        .as_("redirect"),
        status(Lie, "status 503", NO_HTTP, |plan| {
            plan.web().answer = Act::new(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", Then::Close);
        })
        .as_("busy"),
        status(Lie, "the greeting of a mail host", NO_HTTP, |plan| {
            plan.web().answer = Act::new(b"220 mx.example ESMTP\r\n\r\n", Then::Close);
        })
        .as_("smtp"),
    ]
}

fn header() -> Vec<Cell> {
    let header = |fault, what, findings, arrange| cell(PolicyHeader, fault, what, findings, arrange);
    vec![
        header(Reset, "reset within the header", NO_HTTP, |plan| {
            plan.web().answer = Act::new(OK.as_bytes(), Then::Reset);
        }),
        header(Close, "the end within the header", NO_HTTP, |plan| {
            plan.web().answer = Act::new(OK.as_bytes(), Then::Close);
        }),
        header(Stall, "nothing after half a header", SLOW, |plan| {
            plan.web().answer = Act::new(OK.as_bytes(), Then::Stall);
        })
        .probes(1),
        header(Drip, "an octet of a field now and then", SLOW, |plan| {
            plan.web().answer = Act::new(format!("{OK}X-Padding: ").as_bytes(), Then::Drip(b'x'));
        })
        .probes(1),
        header(Flood, "fields without end", NO_HTTP, |plan| {
            plan.web().answer = Act::flood(OK.as_bytes(), b"X-Padding: x\r\n");
        })
        .as_("fields")
        .takes(HEADER),
        header(Flood, "one field without end", NO_HTTP, |plan| {
            plan.web().answer = Act::flood(format!("{OK}X-Padding: ").as_bytes(), b"x");
        })
        .as_("field")
        .takes(HEADER),
        header(Lie, "two lengths", NO_HTTP, |plan| {
            plan.web().answer =
                Act::new(format!("{OK}Content-Length: 3\r\nContent-Length: 30\r\n\r\nabc").as_bytes(), Then::Close);
        })
        .as_("lengths"),
        header(Lie, "a line that is no field", NO_HTTP, |plan| {
            plan.web().answer = Act::new(format!("{OK}no field\r\n\r\n").as_bytes(), Then::Close);
        })
        .as_("no-field"),
        header(Lie, "another media type", &["sts-policy-media-type"], |plan| {
            let body = plan.policy.clone();
            let header =
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n", body.len());
            plan.web().answer = Act::new(format!("{header}{body}").as_bytes(), Then::Close);
        })
        .as_("media-type"),
    ]
}

fn body() -> Vec<Cell> {
    let body = |fault, what, findings, arrange| cell(PolicyBody, fault, what, findings, arrange);
    vec![
        body(Reset, "reset within the policy", NO_HTTP, |plan| {
            plan.web().answer =
                Act::new(format!("{OK}Content-Length: 90\r\n\r\nversion: STSv1\n").as_bytes(), Then::Reset);
        }),
        body(Close, "the end before the length is reached", NO_HTTP, |plan| {
            plan.web().answer =
                Act::new(format!("{OK}Content-Length: 90\r\n\r\nversion: STSv1\n").as_bytes(), Then::Close);
        }),
        body(Stall, "nothing after half a policy", SLOW, |plan| {
            plan.web().answer =
                Act::new(format!("{OK}Content-Length: 90\r\n\r\nversion: STSv1\n").as_bytes(), Then::Stall);
        })
        .probes(1),
        body(Drip, "an octet of a policy without length now and then", SLOW, |plan| {
            plan.web().answer = Act::new(format!("{OK}\r\nversion: STSv1\n").as_bytes(), Then::Drip(b'm'));
        })
        .probes(1),
        body(Flood, "a policy without end", &["sts-policy-too-large"], |plan| {
            plan.web().answer = Act::flood(format!("{OK}\r\n").as_bytes(), b"mx: mx.example\n");
        })
        .as_("policy")
        .takes(MAX_BODY),
        body(Flood, "chunks of 16 octets without end", &["sts-policy-too-large"], |plan| {
            plan.web().answer = Act::flood(
                format!("{OK}Transfer-Encoding: chunked\r\n\r\n").as_bytes(),
                b"10\r\nmx: mx.example\r\n\r\n",
            );
        })
        .as_("chunks")
        .takes(2 * MAX_BODY),
        body(Flood, "the extension of a chunk without end", NO_HTTP, |plan| {
            plan.web().answer = Act::flood(format!("{OK}Transfer-Encoding: chunked\r\n\r\n1;").as_bytes(), b"x");
        })
        .as_("extension")
        .takes(HEADER),
        body(Lie, "a length shorter than the policy", &["sts-policy-invalid"], |plan| {
            let policy = plan.policy.clone();
            plan.web().answer = Act::new(format!("{OK}Content-Length: 30\r\n\r\n{policy}").as_bytes(), Then::Close);
        })
        .as_("short"),
        body(Lie, "a chunk whose length is no number", NO_HTTP, |plan| {
            plan.web().answer =
                Act::new(format!("{OK}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n").as_bytes(), Then::Close);
        })
        .as_("chunk"),
    ]
}
