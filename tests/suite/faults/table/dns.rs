//! What a name server does.
//!
//! A lookup that fails where the resolver answers others is `dns-lookup-failed`. Without the record, or the policy, senders have nothing to
//! enforce: unprotected. SERVFAIL of the MX is what every sender sees: blocked; silence there says nothing of them: unknown. A sender that
//! applies DANE does not deliver where the secure addresses or the TLSA records cannot be looked up (RFC 7672 §2.1.2, §2.2): blocked.

use smtptls_exporter::verdict::State;

use super::super::cell::{Cell, Fault, Fault::*, Plan, Step::*};
use crate::world::dns::{Behaviour, RecordType, TcpFault};

/// The length prefix of DNS over TCP says at most this (RFC 7766 §8), in octets.
const MESSAGE: usize = 65_535;
/// More aliases than anybody follows.
const LONG_CHAIN: usize = 20;

const FAILED: &[&str] = &["dns-lookup-failed"];

pub(super) fn cells() -> Vec<Cell> {
    [datagrams(), records(), aliases(), connections()].into_iter().flatten().collect()
}

/// Over UDP.
fn datagrams() -> Vec<Cell> {
    let record = |fault, what, arrange| Cell::new(DnsRecord, fault, what, arrange).finds(FAILED, State::Unprotected);
    let mx = |fault, what, arrange| Cell::new(DnsMx, fault, what, arrange).finds(FAILED, State::Unknown);
    let host = |fault, what, arrange| Cell::new(DnsMailHost, fault, what, arrange).finds(FAILED, State::Blocked);
    let policy =
        |fault, what, arrange| Cell::new(DnsPolicyHost, fault, what, arrange).finds(FAILED, State::Unprotected);
    let tlsa =
        |fault, what, arrange| Cell::new(DnsTlsa, fault, what, arrange).finds(&["dane-lookup-failed"], State::Blocked);
    // Nobody needs the record to deliver.
    let reports = |fault, what, arrange| Cell::new(DnsReports, fault, what, arrange).finds(FAILED, State::Protected);
    vec![
        record(Stall, "says nothing", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.record, Behaviour::Silent));
        })
        .lookups(1),
        record(Flood, "500 answers with another id to each query", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.record, Behaviour::Strays(500)));
        })
        .lookups(1),
        record(Lie, "the right id, then nonsense", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.record, Behaviour::Garbage));
        })
        .as_("nonsense"),
        record(Lie, "SERVFAIL", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.record, Behaviour::ServFail));
        })
        .as_("servfail"),
        mx(Stall, "says nothing", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave_for(&names.domain, RecordType::MX, Behaviour::Silent));
        })
        .lookups(1),
        mx(Lie, "an answer with another id", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave_for(&names.domain, RecordType::MX, Behaviour::WrongId));
        })
        .as_("other-id")
        .lookups(1),
        mx(Lie, "an answer to another question", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave_for(&names.domain, RecordType::MX, Behaviour::WrongQuestion));
        })
        .as_("other-question")
        .lookups(1),
        mx(Lie, "SERVFAIL", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave_for(&names.domain, RecordType::MX, Behaviour::ServFail));
        })
        .as_("servfail")
        .finds(FAILED, State::Blocked),
        mx(Lie, "REFUSED", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave_for(&names.domain, RecordType::MX, Behaviour::Refused));
        })
        .as_("refused"),
        mx(Lie, "a referral, as of a server that does not resolve", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave_for(&names.domain, RecordType::MX, Behaviour::Referral));
        })
        .as_("referral"),
        host(Stall, "says nothing", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.mail_host, Behaviour::Silent));
        })
        .lookups(1),
        host(Lie, "an answer to another question", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.mail_host, Behaviour::WrongQuestion));
        })
        .as_("other-question")
        .lookups(1),
        host(Lie, "SERVFAIL", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.mail_host, Behaviour::ServFail));
        })
        .as_("servfail"),
        policy(Stall, "says nothing", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.policy_host, Behaviour::Silent));
        })
        .lookups(1),
        policy(Lie, "an answer with another id", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.policy_host, Behaviour::WrongId));
        })
        .as_("other-id")
        .lookups(1),
        policy(Lie, "the name does not exist", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.policy_host, Behaviour::NxDomain));
        })
        .as_("nxdomain")
        .finds(&["sts-policy-host-unresolvable"], State::Unprotected),
        tlsa(Stall, "says nothing", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.tlsa, Behaviour::Silent));
        })
        .lookups(2),
        tlsa(Lie, "the right id, then nonsense", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.tlsa, Behaviour::Garbage));
        })
        .as_("nonsense"),
        tlsa(Lie, "SERVFAIL", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.tlsa, Behaviour::ServFail));
        })
        .as_("servfail"),
        reports(Stall, "says nothing", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.reports, Behaviour::Silent));
        })
        .lookups(1),
        reports(Lie, "an answer to another question", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.reports, Behaviour::WrongQuestion));
        })
        .as_("other-question")
        .lookups(1),
    ]
}

/// Answers that are right, and far too many.
fn records() -> Vec<Cell> {
    vec![
        // REC-04: none of them begins as the record does.
        Cell::new(DnsRecord, Flood, "200 other TXT records, 30 kB of them", |plan| {
            plan.dns = Some(|dns, names, _| {
                let texts: Vec<String> = (0..200).map(|number| format!("{number:0>150}")).collect();
                dns.txt(&names.record, &texts.iter().map(String::as_str).collect::<Vec<_>>());
            });
        })
        .as_("records")
        .finds(&["sts-policy-unused"], State::Unprotected),
        // The first of them is the real one; the others up to the cap are looked at, and do not exist.
        Cell::new(DnsMx, Flood, "200 MX records, of which only one leads to a host", |plan| {
            plan.dns = Some(|dns, names, _| {
                let others: Vec<String> = (0..199).map(|number| format!("m{number}.{}", names.domain)).collect();
                let mut records = vec![(10, names.mail_host.as_str())];
                records.extend(others.iter().map(|name| (20, name.as_str())));
                dns.mx(&names.domain, &records);
            });
        })
        .finds(&["dns-delegation-dangling", "mx-not-in-policy", "mx-unresolvable"], State::Partial),
        Cell::new(DnsMailHost, Flood, "100 addresses, of which only one is a host", |plan| {
            plan.dns = Some(|dns, names, address| {
                let mut all = vec![address.to_string()];
                // Nobody listens there.
                all.extend((1..100).map(|number| format!("127.255.{number}.1")));
                dns.a(&names.mail_host, &all.iter().map(String::as_str).collect::<Vec<_>>());
            });
        })
        .finds(&["smtp-connect-failed"], State::Partial),
        Cell::new(DnsTlsa, Flood, "300 records, none for the certificate", |plan| {
            plan.dns = Some(|dns, names, _| {
                let data: Vec<[u8; 32]> =
                    (0..300_u16).map(|number| [u8::try_from(number % 251).unwrap(); 32]).collect();
                let records: Vec<(u8, u8, u8, &[u8])> = data.iter().map(|data| (3, 1, 1, &data[..])).collect();
                dns.tlsa(&names.tlsa, &records);
            });
        })
        .finds(&["dane-answer-large", "dane-mismatch"], State::Blocked),
    ]
}

fn aliases() -> Vec<Cell> {
    vec![
        Cell::new(DnsAlias, Lie, "`_mta-sts` is an alias that leads back to itself", |plan| {
            plan.dns = Some(|dns, names, _| {
                let other = format!("loop.{}", names.domain);
                dns.remove(&names.record);
                dns.cname(&names.record, &other);
                dns.cname(&other, &names.record);
            });
        })
        .as_("record-loop")
        .finds(FAILED, State::Unprotected),
        Cell::new(DnsAlias, Flood, "the policy host is the first of a chain of 20 aliases", |plan| {
            plan.dns = Some(|dns, names, address| {
                let link = |number: usize| format!("link{number}.{}", names.domain);
                dns.remove(&names.policy_host);
                dns.cname(&names.policy_host, &link(1));
                for number in 1..LONG_CHAIN {
                    dns.cname(&link(number), &link(number + 1));
                }
                dns.a(&link(LONG_CHAIN), &[&address.to_string()]);
            });
        })
        .as_("policy-host-chain")
        .finds(FAILED, State::Unprotected),
        Cell::new(DnsAlias, Lie, "the policy host is an alias of a name that does not exist", |plan| {
            plan.dns = Some(|dns, names, _| {
                dns.remove(&names.policy_host);
                dns.cname(&names.policy_host, "gone.test");
            });
        })
        .as_("policy-host-dangling")
        .finds(&["dns-delegation-dangling", "sts-policy-host-unresolvable"], State::Unprotected),
    ]
}

/// Over TCP, after an answer over UDP that does not fit.
fn connections() -> Vec<Cell> {
    let mx = |fault: Fault, what: &'static str, arrange: fn(&mut Plan)| {
        Cell::new(DnsTcp, fault, what, arrange).finds(FAILED, State::Unknown)
    };
    vec![
        mx(Reset, "MX: reset after the query", |plan| {
            plan.dns = Some(|dns, names, _| {
                dns.behave_for(&names.domain, RecordType::MX, Behaviour::Tcp(TcpFault::Reset));
            });
        }),
        mx(Close, "MX: the end after the query", |plan| {
            plan.dns = Some(|dns, names, _| {
                dns.behave_for(&names.domain, RecordType::MX, Behaviour::Tcp(TcpFault::Close));
            });
        }),
        mx(Close, "MX: the end within the answer", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave_for(&names.domain, RecordType::MX, Behaviour::CutTcp));
        })
        .as_("within"),
        mx(Stall, "MX: nothing after the query", |plan| {
            plan.dns = Some(|dns, names, _| {
                dns.behave_for(&names.domain, RecordType::MX, Behaviour::Tcp(TcpFault::Stall));
            });
        })
        .lookups(1),
        mx(Drip, "MX: an octet of the answer now and then", |plan| {
            plan.dns = Some(|dns, names, _| {
                let pause = std::time::Duration::from_millis(300);
                dns.behave_for(&names.domain, RecordType::MX, Behaviour::DripTcp(pause));
            });
        })
        .lookups(1),
        // What follows an answer is nobody's question (RFC 7766 §6.2.1).
        mx(Flood, "MX: the answer, then nonsense without end", |plan| {
            plan.dns = Some(|dns, names, _| {
                dns.behave_for(&names.domain, RecordType::MX, Behaviour::Tcp(TcpFault::Flood));
            });
        })
        .finds(&[], State::Protected)
        .takes(MESSAGE),
        mx(Lie, "MX: a length of 65535, less than that, and the end", |plan| {
            plan.dns = Some(|dns, names, _| {
                dns.behave_for(&names.domain, RecordType::MX, Behaviour::Tcp(TcpFault::TooLong));
            });
        })
        .as_("length"),
        mx(Lie, "MX: a length of 0", |plan| {
            plan.dns = Some(|dns, names, _| {
                dns.behave_for(&names.domain, RecordType::MX, Behaviour::Tcp(TcpFault::Empty));
            });
        })
        .as_("empty"),
        mx(Lie, "MX: that the answer does not fit, over TCP too", |plan| {
            plan.dns = Some(|dns, names, _| {
                dns.behave_for(&names.domain, RecordType::MX, Behaviour::Tcp(TcpFault::Truncated));
            });
        })
        .as_("truncated"),
        mx(Lie, "TXT of `_mta-sts`: an answer to another question", |plan| {
            plan.dns = Some(|dns, names, _| {
                dns.behave(&names.record, Behaviour::Tcp(TcpFault::OtherQuestion));
            });
        })
        .as_("other-question")
        .finds(FAILED, State::Unprotected),
        mx(Reset, "TLSA: reset after the query", |plan| {
            plan.dns = Some(|dns, names, _| dns.behave(&names.tlsa, Behaviour::Tcp(TcpFault::Reset)));
        })
        .as_("tlsa")
        .finds(&["dane-lookup-failed"], State::Blocked),
    ]
}
