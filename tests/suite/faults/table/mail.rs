//! What a mail host does.
//!
//! The policy is in enforce, and there is one host: where it is down, or gives no TLS, no sender that enforces the policy has a path:
//! blocked. A timeout counts, because other hosts answer. Whoever turns this client away says nothing of others: unknown.

use smtptls_exporter::verdict::State;

use super::super::{
    act::{Act, Then},
    cell::{Cell, Fault, Fault::*, Plan, Port, Step, Step::*},
    peers::{Handshake, Place},
};

/// The longest line that is taken, in octets: four times what RFC 5321 §4.5.3.1.5 allows.
const LINE: usize = 2048;
/// The most lines of a reply.
const LINES: usize = 128;
/// The largest handshake message that anybody takes, in octets.
const HANDSHAKE: usize = 65_535;
/// Some octets into the certificate.
const WITHIN: usize = 400;

const SLOW: &[&str] = &["smtp-timeout"];
const NO_SMTP: &[&str] = &["smtp-protocol-error"];
const NO_TLS: &[&str] = &["tls-handshake-failed"];

pub(super) fn cells() -> Vec<Cell> {
    let replies = [replies(Greeting), replies(Ehlo), replies(Starttls), replies(EhloTls)];
    [connect(), replies.into_iter().flatten().collect(), lies(), handshakes(), quit()].into_iter().flatten().collect()
}

fn cell(
    step: Step,
    fault: Fault,
    what: &'static str,
    findings: &'static [&'static str],
    arrange: fn(&mut Plan),
) -> Cell {
    Cell::new(step, fault, what, arrange).finds(findings, State::Blocked)
}

fn connect() -> Vec<Cell> {
    vec![
        cell(MailConnect, Reset, "nobody listens", &["smtp-connect-failed"], |plan| plan.mail = Port::Nobody),
        cell(MailConnect, Stall, "no connection is taken", SLOW, |plan| plan.mail = Port::Deaf).probes(1),
    ]
}

/// The reply of this step.
fn reply(plan: &mut Plan, step: Step) -> &mut Act {
    let mail = plan.mail();
    match step {
        Greeting => &mut mail.greeting,
        Ehlo => &mut mail.ehlo,
        Starttls => &mut mail.starttls,
        EhloTls => &mut mail.ehlo_tls,
        other => panic!("{other:?} is no reply"),
    }
}

/// What can be done in the place of any reply, for one of them.
fn replies(step: Step) -> Vec<Cell> {
    /// The arrangement is a plain function: the step is a parameter that the compiler knows.
    macro_rules! at {
        ($act:expr) => {
            match step {
                Greeting => |plan: &mut Plan| *reply(plan, Greeting) = $act,
                Ehlo => |plan: &mut Plan| *reply(plan, Ehlo) = $act,
                Starttls => |plan: &mut Plan| *reply(plan, Starttls) = $act,
                _ => |plan: &mut Plan| *reply(plan, EhloTls) = $act,
            }
        };
    }
    vec![
        cell(step, Reset, "reset within the reply", NO_SMTP, at!(Act::new(b"2", Then::Reset))),
        cell(step, Close, "the end within the reply", NO_SMTP, at!(Act::new(b"2", Then::Close))),
        cell(step, Stall, "nothing", SLOW, at!(Act::just(Then::Stall))).probes(1),
        cell(step, Drip, "an octet of a line now and then", SLOW, at!(Act::new(b"2", Then::Drip(b'2')))).probes(1),
        cell(step, Flood, "a line without end", NO_SMTP, at!(Act::flood(b"2", b"2"))).as_("line").takes(LINE),
        cell(step, Flood, "lines of one reply without end", NO_SMTP, at!(Act::flood(b"", b"250-x\r\n")))
            .as_("lines")
            .takes(LINES * LINE),
        // RFC 5321 §4.2.1: the lines of a reply have one code.
        cell(step, Lie, "a reply with two codes", NO_SMTP, at!(Act::say("220-mx\r\n250 mx\r\n"))).as_("codes"),
        cell(step, Lie, "no SMTP at all", NO_SMTP, at!(Act::say("SSH-2.0-OpenSSH_9.2\r\n"))).as_("no-smtp"),
    ]
}

/// Replies that are well-formed and wrong.
fn lies() -> Vec<Cell> {
    vec![
        cell(Greeting, Lie, "554", &["smtp-rejected"], |plan| plan.mail().greeting = Act::say("554 no\r\n"))
            .as_("rejects")
            .finds(&["smtp-rejected"], State::Unknown),
        cell(Ehlo, Lie, "421", &["smtp-rejected"], |plan| plan.mail().ehlo = Act::say("421 busy\r\n"))
            .as_("rejects")
            .finds(&["smtp-rejected"], State::Unknown),
        cell(Ehlo, Lie, "no word of STARTTLS", &["starttls-not-offered"], |plan| {
            plan.mail().ehlo = Act::say("250-mx.example\r\n250 SIZE 1000000\r\n");
        })
        .as_("no-starttls"),
        cell(Starttls, Lie, "454", &["starttls-refused"], |plan| plan.mail().starttls = Act::say("454 not now\r\n"))
            .as_("refuses"),
        // TLS goes on all the same: what came in clear is thrown away.
        cell(Starttls, Lie, "more text in clear after the 220", &["starttls-injection"], |plan| {
            plan.mail().starttls = Act::say("220 go ahead\r\n250-mx.example\r\n250 STARTTLS\r\n");
        })
        .as_("injects")
        .finds(&["starttls-injection"], State::Protected),
        cell(EhloTls, Flood, "20,000 session tickets before the reply", NO_SMTP, |plan| {
            plan.mail().handshake = Handshake::Tickets(20_000);
        })
        .as_("tickets"),
        cell(EhloTls, Lie, "554", NO_SMTP, |plan| plan.mail().ehlo_tls = Act::say("554 no\r\n")).as_("rejects"),
    ]
}

fn handshakes() -> Vec<Cell> {
    let hello = |fault, what, findings, arrange| cell(MailHello, fault, what, findings, arrange);
    let flight = |fault, what, findings, arrange| cell(MailFlight, fault, what, findings, arrange);
    vec![
        hello(Reset, "reset after the ClientHello", NO_TLS, |plan| {
            plan.mail().handshake = Handshake::Instead(Act::just(Then::Reset));
        }),
        hello(Close, "the end after the ClientHello", NO_TLS, |plan| {
            plan.mail().handshake = Handshake::Instead(Act::just(Then::Close));
        }),
        hello(Stall, "nothing after the ClientHello", SLOW, |plan| {
            plan.mail().handshake = Handshake::Instead(Act::just(Then::Stall));
        })
        .probes(1),
        hello(Drip, "an octet of a record now and then", SLOW, |plan| {
            plan.mail().handshake =
                Handshake::Instead(Act::new(b"\x16\x03\x03\x40\x00\x02\x00\x3f\x00", Then::Drip(3)));
        })
        .probes(1),
        hello(Flood, "warning alerts without end", NO_TLS, |plan| {
            plan.mail().handshake = Handshake::Instead(Act::flood(b"", b"\x15\x03\x03\x00\x02\x01\x5a"));
        })
        .as_("alerts")
        .takes(HANDSHAKE),
        hello(Flood, "records without content, without end", NO_TLS, |plan| {
            plan.mail().handshake = Handshake::Instead(Act::flood(b"", b"\x16\x03\x03\x00\x00"));
        })
        .as_("empty")
        .takes(HANDSHAKE),
        hello(Lie, "text in clear", &["starttls-injection", "tls-handshake-failed"], |plan| {
            plan.mail().handshake = Handshake::Instead(Act::new(b"250 mx.example\r\n", Then::Stall));
        })
        .as_("clear-text"),
        hello(Lie, "a record of nonsense", NO_TLS, |plan| {
            plan.mail().handshake =
                Handshake::Instead(Act::new(b"\x16\x03\x03\x00\x08\xde\xad\xbe\xef\0\0\0\0", Then::Stall));
        })
        .as_("nonsense"),
        hello(Lie, "an alert of the kind that ends it", NO_TLS, |plan| {
            plan.mail().handshake = Handshake::Instead(Act::new(b"\x15\x03\x03\x00\x02\x02\x28", Then::Close));
        })
        .as_("alert"),
        flight(Reset, "reset within the certificate", NO_TLS, |plan| {
            plan.mail().handshake = Handshake::Cut(Place::Octets(WITHIN), Then::Reset);
        }),
        flight(Close, "the end after the ServerHello", NO_TLS, |plan| {
            plan.mail().handshake = Handshake::Cut(Place::ServerHello, Then::Close);
        }),
        flight(Stall, "nothing after half a certificate", SLOW, |plan| {
            plan.mail().handshake = Handshake::Cut(Place::Octets(WITHIN), Then::Stall);
        })
        .probes(1),
        flight(Drip, "an octet now and then, from half a certificate on", SLOW, |plan| {
            plan.mail().handshake = Handshake::Cut(Place::Octets(WITHIN), Then::Drip(0));
        })
        .probes(1),
        flight(Flood, "ChangeCipherSpec without end", NO_TLS, |plan| {
            let again = b"\x14\x03\x03\x00\x01\x01".repeat(700);
            plan.mail().handshake = Handshake::Cut(Place::ServerHello, Then::Flood(again));
        })
        .as_("change-cipher-spec")
        .takes(HANDSHAKE),
        flight(Flood, "500 certificates, 200 kB of them", NO_TLS, |plan| {
            plan.mail().handshake = Handshake::Certificates(500);
        })
        .as_("certificates")
        .takes(HANDSHAKE),
        Cell::new(MailFlight, Flood, "80 certificates more than are needed", |plan| {
            plan.mail().handshake = Handshake::Certificates(80);
        })
        .as_("long-chain")
        .takes(HANDSHAKE),
        flight(Lie, "one octet of the certificate is another one", NO_TLS, |plan| {
            plan.mail().handshake = Handshake::Garbled(WITHIN);
        }),
    ]
}

/// All is known by then: how the leave-taking goes changes nothing.
fn quit() -> Vec<Cell> {
    let quit = |fault, what, arrange| Cell::new(Quit, fault, what, arrange);
    vec![
        quit(Reset, "reset", |plan| plan.mail().quit = Act::just(Then::Reset)),
        quit(Close, "the end without a word", |plan| plan.mail().quit = Act::just(Then::Close)),
        quit(Stall, "nothing", |plan| plan.mail().quit = Act::just(Then::Stall)),
        quit(Drip, "an octet of a line now and then", |plan| plan.mail().quit = Act::new(b"2", Then::Drip(b'2'))),
        quit(Flood, "lines without end", |plan| plan.mail().quit = Act::flood(b"", b"221-x\r\n")).takes(LINE),
        quit(Lie, "500", |plan| plan.mail().quit = Act::new(b"500 what?\r\n", Then::Close)),
    ]
}
