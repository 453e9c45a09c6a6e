//! What each kind of sender does on a path: every combination of what the DNS and the server say, through the judgement and
//! through the tables of the definition.

use std::collections::BTreeSet;

use smtptls_exporter::{
    facts::{
        AddressLookup, ChainFacts, ConnectFailure, LookupFailure, LookupOutcome, Phase, Security, SmtpOutcome,
        TlsFailure, TlsVersion,
    },
    verdict::{Assessment, Outcome, PathCounts, Senders, State},
};

use super::{
    case::{A1, DOMAIN, MX1, World, lookup},
    signed::{bogus, chain_of, clear, issuer, namesake, own, tlsa_name, trusted},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addresses {
    Secure,
    Insecure,
    Indeterminate,
    Bogus,
    Fail,
    Absent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tlsa {
    Usable,
    Unusable,
    Insecure,
    Absent,
    Bogus,
    Fails,
    Indeterminate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mx {
    Secure,
    Insecure,
    Indeterminate,
    Bogus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Match,
    Mismatch,
    /// No STARTTLS.
    Clear,
    /// This monitor reads the clear part of the handshake of TLS 1.2, other senders finish it.
    OnlyOthers,
    OnlyOthersMismatch,
    /// The same of TLS 1.1, which nobody may use (RFC 8996).
    Obsolete,
    /// The handshake fails, whoever tries.
    Fails,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolver {
    Healthy,
    /// The control name did not validate.
    DnssecInDoubt,
    /// It answered nothing else either.
    InDoubt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contact {
    Up,
    Down,
    TurnsAway,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    mode: &'static str,
    addresses: Addresses,
    tlsa: Tlsa,
    mx: Mx,
    server: Server,
    resolver: Resolver,
    contact: Contact,
}

const ADDRESSES: [Addresses; 6] = [
    Addresses::Secure,
    Addresses::Insecure,
    Addresses::Indeterminate,
    Addresses::Bogus,
    Addresses::Fail,
    Addresses::Absent,
];
const TLSA: [Tlsa; 7] =
    [Tlsa::Usable, Tlsa::Unusable, Tlsa::Insecure, Tlsa::Absent, Tlsa::Bogus, Tlsa::Fails, Tlsa::Indeterminate];
const MX: [Mx; 4] = [Mx::Secure, Mx::Insecure, Mx::Indeterminate, Mx::Bogus];
const SERVERS: [Server; 7] = [
    Server::Match,
    Server::Mismatch,
    Server::Clear,
    Server::OnlyOthers,
    Server::OnlyOthersMismatch,
    Server::Obsolete,
    Server::Fails,
];
const RESOLVERS: [Resolver; 3] = [Resolver::Healthy, Resolver::DnssecInDoubt, Resolver::InDoubt];
const CONTACTS: [Contact; 3] = [Contact::Up, Contact::Down, Contact::TurnsAway];

/// What a path comes to for each kind; nothing where the domain has no path that is known of.
type Expected = Option<[Outcome; 4]>;

/// §1.1 to §1.3 as they stand.
fn reference(case: &Case) -> Expected {
    use Outcome::{CannotTell, Open, Refused, Secure};
    let healthy = case.resolver == Resolver::Healthy;
    if case.mx == Mx::Bogus {
        // "MX lookup bogus or SERVFAIL, own resolver healthy: refused on every path, for every kind"
        return healthy.then_some([Refused; 4]);
    }
    // What no table row stands for: whether an answer is secure was not seen.
    let doubt = |outcome| if healthy { outcome } else { CannotTell };
    let (opportunistic, sts, dane) = match case.addresses {
        // "A host without an address is one path that everybody is refused on."
        Addresses::Absent => return Some([Refused; 4]),
        // "address or TLSA lookup bogus or failing". No address is known, so nobody else's way can be told.
        Addresses::Bogus | Addresses::Fail => (CannotTell, CannotTell, doubt(Refused)),
        _ if case.contact == Contact::Down => return Some([Refused; 4]),
        _ if case.contact == Contact::TurnsAway => return Some([CannotTell; 4]),
        _ => (Open, of_sts(case), of_dane(case, healthy)),
    };
    let both = [sts, dane];
    let both = [Refused, Secure, CannotTell].into_iter().find(|wanted| both.contains(wanted)).unwrap_or(Open);
    Some([opportunistic, sts, dane, both])
}

fn tls_works(case: &Case) -> bool {
    matches!(case.server, Server::Match | Server::Mismatch | Server::OnlyOthers | Server::OnlyOthersMismatch)
}

/// "enforce: MX matches a pattern, STARTTLS done, certificate verified: secure; any of these fails: refused". Every certificate of
/// these cases is verified.
fn of_sts(case: &Case) -> Outcome {
    match case.mode {
        "enforce" if tls_works(case) => Outcome::Secure,
        "enforce" => Outcome::Refused,
        _ => Outcome::Open,
    }
}

fn of_dane(case: &Case, healthy: bool) -> Outcome {
    let secure_addresses = match case.addresses {
        Addresses::Secure => true,
        Addresses::Indeterminate => return Outcome::CannotTell,
        _ => false,
    };
    if !secure_addresses {
        return Outcome::Open;
    }
    match case.tlsa {
        Tlsa::Insecure | Tlsa::Absent => Outcome::Open,
        Tlsa::Indeterminate => Outcome::CannotTell,
        Tlsa::Bogus | Tlsa::Fails if healthy => Outcome::Refused,
        Tlsa::Bogus | Tlsa::Fails => Outcome::CannotTell,
        Tlsa::Unusable if tls_works(case) => Outcome::Open,
        Tlsa::Usable if matches!(case.server, Server::Match | Server::OnlyOthers) => match case.mx {
            Mx::Secure => Outcome::Secure,
            Mx::Insecure => Outcome::Open,
            Mx::Indeterminate | Mx::Bogus => Outcome::CannotTell,
        },
        Tlsa::Unusable | Tlsa::Usable => Outcome::Refused,
    }
}

fn world(case: &Case) -> World {
    let world = World::good(case.mode).signed();
    let world = match case.tlsa {
        Tlsa::Usable | Tlsa::Insecure | Tlsa::Indeterminate => world.tlsa(MX1, &[own([3, 1, 1], MX1)]),
        Tlsa::Unusable => world.tlsa(MX1, &[own([0, 1, 1], MX1)]),
        Tlsa::Absent => world.tlsa(MX1, &[]),
        Tlsa::Bogus => world.tlsa_lookup(MX1, bogus(&tlsa_name(MX1))),
        Tlsa::Fails => world.tlsa_lookup(MX1, lookup(&tlsa_name(MX1), LookupOutcome::Failed(LookupFailure::Timeout))),
    };
    let world = match case.tlsa {
        Tlsa::Insecure => world.edit_tlsa(MX1, |lookup| lookup.security = Security::Insecure),
        Tlsa::Indeterminate => world.edit_tlsa(MX1, |lookup| lookup.security = Security::Indeterminate),
        _ => world,
    };
    let both = |family: fn() -> smtptls_exporter::facts::Lookup<std::net::IpAddr>| AddressLookup {
        ip4: Some(family()),
        ip6: Some(family()),
    };
    let world = match case.addresses {
        Addresses::Secure => world,
        Addresses::Insecure => world.addresses_are(MX1, Security::Insecure),
        Addresses::Indeterminate => world.addresses_are(MX1, Security::Indeterminate),
        Addresses::Bogus => world.host_lookup(MX1, |seen| seen.addresses = both(|| bogus(MX1))),
        Addresses::Fail => world.host_lookup(MX1, |seen| {
            seen.addresses = both(|| lookup(MX1, LookupOutcome::Failed(LookupFailure::ServFail)));
        }),
        Addresses::Absent => {
            world.host_lookup(MX1, |seen| seen.addresses = both(|| lookup(MX1, LookupOutcome::NoData)))
        }
    };
    let world = match case.mx {
        Mx::Secure => world,
        Mx::Insecure => world.mx_is(Security::Insecure),
        Mx::Indeterminate => world.mx_is(Security::Indeterminate),
        Mx::Bogus => world.with(|world| world.domain.mx = bogus(DOMAIN)),
    };
    let world = match case.server {
        Server::Match | Server::OnlyOthers => world,
        _ => world.chain(A1, |_| other_key()),
    };
    let failed = || SmtpOutcome::HandshakeFailed(TlsFailure::Alert("handshake_failure".to_owned()));
    let only = |world: World, version| {
        world.at(A1, |probe| {
            let chain = (*probe.tls.as_ref().unwrap().chain).clone();
            probe.tls = Some(clear(version, "TLS_RSA_WITH_AES_128_CBC_SHA", chain));
            probe.outcome = failed();
        })
    };
    let world = match case.server {
        Server::Match | Server::Mismatch => world,
        Server::Clear => world.smtp(A1, SmtpOutcome::StarttlsNotOffered),
        Server::OnlyOthers | Server::OnlyOthersMismatch => only(world, TlsVersion::Tls12),
        Server::Obsolete => only(world.chain(A1, |_| chain_of(MX1)), TlsVersion::Tls11),
        Server::Fails => world.smtp(A1, failed()),
    };
    let world = match case.contact {
        Contact::Up => world,
        Contact::Down => world.smtp(A1, SmtpOutcome::ConnectFailed(ConnectFailure::Refused)),
        Contact::TurnsAway => {
            world.smtp(A1, SmtpOutcome::Rejected { phase: Phase::Ehlo, code: 550, text: "no".into() })
        }
    };
    world.with(|world| {
        let (resolver, dnssec) = (case.resolver != Resolver::InDoubt, case.resolver == Resolver::Healthy);
        (world.domain.resolver_healthy, world.domain.dnssec_healthy) = (resolver, dnssec);
        for facts in world.hosts.values_mut() {
            let seen = std::sync::Arc::make_mut(&mut facts.host);
            (seen.resolver_healthy, seen.dnssec_healthy) = (resolver, dnssec);
        }
    })
}

/// As good a certificate for the host, of another key.
fn other_key() -> ChainFacts {
    trusted(&[&namesake(), &issuer()])
}

fn paths(senders: &Senders) -> [PathCounts; 4] {
    [senders.opportunistic, senders.sts, senders.dane, senders.both].map(|kind| kind.paths)
}

fn assert_as_defined(case: &Case, seen: &Assessment) {
    let expected = reference(case);
    let counts = expected
        .map_or_else(|| [PathCounts::default(); 4], |kinds| kinds.map(|outcome| [outcome].into_iter().collect()));
    assert_eq!(paths(&seen.senders), counts, "{case:?}: {:#?}", seen.findings);
    // With one path the lines of §1.5 come down to this.
    let domain = match expected {
        None => State::Unknown,
        Some(kinds) if kinds.iter().all(|outcome| *outcome == Outcome::CannotTell) => State::Unknown,
        Some(kinds) if kinds.contains(&Outcome::Refused) => State::Blocked,
        Some([_, sts, dane, _]) if [sts, dane].contains(&Outcome::Secure) => State::Protected,
        Some([_, _, dane, _]) => {
            let published = case.addresses == Addresses::Secure && case.tlsa == Tlsa::Usable
                || matches!(case.addresses, Addresses::Secure) && case.tlsa == Tlsa::Indeterminate
                || case.addresses == Addresses::Indeterminate && PUBLISHED.contains(&case.tlsa);
            // Something enforces, and what it does could not be seen.
            if dane == Outcome::CannotTell && published { State::Unknown } else { State::Unprotected }
        }
    };
    assert_eq!(seen.delivery, domain, "{case:?}: {:#?}", seen.senders);
}

/// Where there are records in the zone.
const PUBLISHED: [Tlsa; 4] = [Tlsa::Usable, Tlsa::Unusable, Tlsa::Insecure, Tlsa::Indeterminate];

fn cases(mode: &'static str, resolvers: &[Resolver]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (addresses, tlsa) in ADDRESSES.into_iter().flat_map(|addresses| TLSA.map(|tlsa| (addresses, tlsa))) {
        for (mx, server) in MX.into_iter().flat_map(|mx| SERVERS.map(|server| (mx, server))) {
            for (resolver, contact) in
                resolvers.iter().flat_map(|resolver| CONTACTS.map(|contact| (*resolver, contact)))
            {
                // What the server does is not seen where nobody reaches it.
                if contact == Contact::Up || server == Server::Match {
                    cases.push(Case { mode, addresses, tlsa, mx, server, resolver, contact });
                }
            }
        }
    }
    cases
}

/// Judges all of them, and tells how many different results there were.
fn judge_all(cases: &[Case]) -> usize {
    let mut results = BTreeSet::new();
    for case in cases {
        assert_as_defined(case, &world(case).assess());
        results.insert(reference(case));
    }
    results.len()
}

#[test]
fn every_combination_under_a_policy_in_enforce() {
    // Nothing known; all refused; all cannot be told; nothing known of the host but DANE; and up: 2 of MTA-STS by 4 of DANE, of
    // which cleartext with a match is none.
    assert_eq!(judge_all(&cases("enforce", &RESOLVERS)), 11);
}

#[test]
fn every_combination_where_only_dane_enforces() {
    assert_eq!(judge_all(&cases("testing", &[Resolver::Healthy])), 7);
}
