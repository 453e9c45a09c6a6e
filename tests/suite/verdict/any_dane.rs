//! Any combination of what DNSSEC, TLSA records, certificates and surveys may say, and what holds of every judgement of it.

use std::sync::Arc;

use proptest::prelude::*;
use smtptls_exporter::{
    facts::{
        ChainFacts, DnssecSight, Handshake, Lookup, LookupFailure, LookupOutcome, Offer, Security, TlsFailure,
        TlsSurvey, TlsVersion, TlsaLookup, TlsaObservation, TlsaRecord,
    },
    terms::{MxHost, Octets},
    verdict::{Assessment, Check, Code, DaneWord, Outcome, Reach, Reason, SenderState, Severity, State, TlsaStatus},
};

use super::{
    case::{DAY, MX1, NOW, World, certificate, expired, host, lookup, records},
    signed::{
        bogus, chain_of, handshake, issued, issuer, leaf, namesake, old_leaf, own, signature, tlsa_name, trusted,
    },
};
use crate::dane::pki::stranger;

/// One number for each thing that may differ.
pub(crate) type DaneChoices = [usize; 9];

pub(crate) fn dane_choices() -> impl Strategy<Value = DaneChoices> {
    prop::array::uniform9(0_usize..10_000)
}

const SECURITIES: [Security; 3] = [Security::Secure, Security::Insecure, Security::Indeterminate];

fn record_sets() -> Vec<Vec<TlsaRecord>> {
    let short = TlsaRecord { data: Octets::from(vec![7; 5]), ..stranger([3, 1, 1]) };
    vec![
        vec![],
        vec![own([3, 1, 1], MX1)],
        vec![own([3, 0, 2], MX1), stranger([3, 1, 1])],
        vec![issued([2, 1, 1])],
        vec![issued([2, 0, 0]), own([3, 1, 1], MX1), own([3, 1, 1], MX1)],
        vec![stranger([3, 1, 1])],
        vec![stranger([1, 1, 1]), short.clone()],
        vec![short, own([3, 1, 1], MX1), stranger([3, 1, 1])],
        (0..80).map(|number| TlsaRecord { data: vec![number; 32].into(), ..stranger([3, 1, 1]) }).collect(),
    ]
}

fn tlsa(name: &str, choice: usize) -> Lookup<TlsaRecord> {
    let asked = tlsa_name(name);
    let sets = record_sets();
    let mut answer = match (choice / 100) % 6 {
        0 => return bogus(&asked),
        1 => return lookup(&asked, LookupOutcome::Failed(LookupFailure::ServFail)),
        _ => {
            let set = sets[choice % sets.len()].clone();
            if set.is_empty() { lookup(&asked, LookupOutcome::NoData) } else { records(&asked, set) }
        }
    };
    answer.security = SECURITIES[[0, 0, 0, 1, 2][choice / 10 % 5]];
    answer.message_bytes = choice;
    answer.signatures = Some(signature(NOW + DAY * u32::try_from(choice % 4).unwrap()));
    answer
}

fn chain(choice: usize, present: &ChainFacts) -> ChainFacts {
    match choice % 7 {
        0 => trusted(&[&leaf("mx.provider.example"), &issuer()]),
        1 => trusted(&[&namesake(), &issuer()]),
        2 => trusted(&[&old_leaf(), &issuer()]),
        3 => expired(chain_of(MX1)),
        4 => present.clone(),
        _ => chain_of(MX1),
    }
}

fn survey(choice: usize, name: &MxHost, address: std::net::IpAddr) -> TlsSurvey {
    let shown = |choice: usize| match choice % 4 {
        0 => Handshake::Failed(TlsFailure::Closed("reset".to_owned())),
        1 => Handshake::NotSeen("no answer in time".to_owned()),
        2 => Handshake::Done(handshake(certificate(&["x.example"]))),
        _ => Handshake::Done(handshake(chain_of(MX1))),
    };
    let offer = |choice: usize| match choice % 3 {
        0 => Offer::Accepted,
        1 => Offer::Refused,
        _ => Offer::NotSeen("no answer in time".to_owned()),
    };
    TlsSurvey {
        host: name.clone(),
        address,
        at: NOW,
        duration: None,
        tls10: offer(choice),
        tls11: offer(choice / 3),
        without_sni: shown(choice / 9),
        unknown_sni: shown(choice / 36),
        base_sni: choice.is_multiple_of(2).then(|| (host("mx.provider.example"), shown(choice / 144))),
    }
}

/// The world with DANE in it as it may come. Where nothing of DNSSEC is seen, every answer says so.
pub(crate) fn with_dane(world: World, choices: &DaneChoices) -> World {
    let [sight, mx, addresses, records, certificates, surveys, health, others, signatures] = *choices;
    let sight = [DnssecSight::Validating, DnssecSight::Validating, DnssecSight::Off, DnssecSight::Blind][sight % 4];
    let seeing = sight == DnssecSight::Validating;
    let healthy = seeing && health % 4 > 0;
    world.with(|world| {
        world.vantage.dnssec = sight;
        world.domain.dnssec_healthy = healthy;
        let of = |choice: usize| if seeing { SECURITIES[choice % 3] } else { Security::Indeterminate };
        world.domain.mx.security = of(mx);
        world.domain.sts_record.security = of(mx / 3);
        world.domain.tlsrpt_record.security = of(mx / 9);
        if seeing && mx % 8 == 7 {
            world.domain.mx = bogus("example.com");
        }
        world.domain.mx.signatures = seeing.then(|| signature(NOW + DAY * u32::try_from(signatures % 4).unwrap()));
        for (place, (name, facts)) in world.hosts.iter_mut().enumerate() {
            let shift = 7_usize.pow(u32::try_from(place).unwrap());
            let seen = Arc::make_mut(&mut facts.host);
            seen.dnssec_healthy = healthy;
            let base = if seeing && others / shift % 5 == 0 { host("mx.provider.example") } else { name.clone() };
            for lookup in [&mut seen.addresses.ip4, &mut seen.addresses.ip6].into_iter().flatten() {
                lookup.security = of(addresses / shift);
                if base != *name {
                    lookup.cname = vec![base.to_string()];
                }
                if seeing && addresses / shift % 9 == 8 {
                    *lookup = bogus(name.as_str());
                }
            }
            let mut answer = tlsa(base.as_str(), records / shift);
            if !seeing {
                if answer.failure().is_some() {
                    answer = lookup(&tlsa_name(name.as_str()), LookupOutcome::NoData);
                }
                answer.security = Security::Indeterminate;
                answer.signatures = None;
            }
            let lookups = vec![TlsaLookup { base, lookup: answer }];
            seen.tlsa = (sight != DnssecSight::Off).then_some(TlsaObservation { alias: None, lookups });
            for (address, probe) in &mut facts.addresses {
                if let Some(tls) = &mut Arc::make_mut(probe).tls {
                    tls.chain = Arc::new(chain(certificates / shift, &tls.chain));
                    if certificates / shift % 11 == 10 {
                        (tls.completed, tls.version) =
                            (false, [TlsVersion::Tls12, TlsVersion::Tls10][certificates % 2]);
                    }
                }
                if surveys % 5 > 0 {
                    facts.surveys.insert(*address, Arc::new(survey(surveys / shift, name, *address)));
                }
            }
        }
    })
}

/// What holds of every assessment, as to its kinds of sender.
pub(crate) fn assert_kinds(world: &World, seen: &Assessment) {
    let senders = &seen.senders;
    let kinds = [senders.opportunistic, senders.sts, senders.dane, senders.both];
    assert!(kinds.iter().all(|kind| kind.paths.total() == senders.opportunistic.paths.total()), "the same paths");
    assert_eq!(senders.opportunistic.paths.secure, 0, "no checks, no proof");
    // A path that is open to others, and of which DANE cannot be told, is no proof that none is left.
    let mut addresses = seen.mx.iter().flat_map(|mx| &mx.addresses);
    let unseen = addresses.any(|one| (one.opportunistic, one.dane) == (Outcome::Open, Outcome::CannotTell));
    for (kind, unseen) in [(senders.opportunistic, false), (senders.dane, unseen)] {
        let takes_none = kind.state == State::NoMail;
        let counted = SenderState::from_paths(kind.paths).state;
        let unseen = unseen && kind.paths.cannot_tell > 0;
        let counted = if counted == State::Blocked && unseen { State::Unknown } else { counted };
        assert!(takes_none || kind.state == counted, "one view: the counts decide: {kind:?}");
    }
    assert!(senders.both.paths.refused >= senders.dane.paths.refused, "{senders:?}");
    let blocked = kinds.iter().any(|kind| kind.state == State::Blocked);
    let secure = |kind: &SenderState| kind.paths.secure > 0 || kind.reason == Reason::ViewsDiffer;
    match seen.delivery {
        State::NoMail => assert!(kinds.iter().all(|kind| kind.paths.total() == 0)),
        State::Unknown => {
            let unseen = [senders.sts, senders.dane].iter().any(|kind| kind.state == State::Unknown);
            let in_doubt = seen.mx.iter().any(|mx| mx.dane.status == TlsaStatus::Indeterminate);
            assert!(!blocked && (unseen || in_doubt), "{senders:?}");
        }
        State::Blocked => assert!(blocked),
        State::Protected => {
            assert!([senders.sts, senders.dane].iter().any(|kind| kind.state == State::Protected), "{senders:?}");
            assert!(kinds.iter().all(|kind| kind.paths.refused == 0), "{senders:?}");
        }
        State::Partial => assert!(!blocked && kinds.iter().any(secure), "{senders:?}"),
        State::Unprotected => assert!(!blocked && !kinds.iter().any(secure), "{senders:?}"),
    }
    assert_dane(world, seen);
}

fn assert_dane(world: &World, seen: &Assessment) {
    let dane = seen.senders.dane.paths;
    if world.vantage.dnssec != DnssecSight::Validating {
        let told = seen.findings.iter().map(|finding| finding.code.as_str());
        let told: Vec<_> = told.filter(|code| code.starts_with("dane-") || code.starts_with("dnssec-")).collect();
        assert!(told.is_empty(), "nothing was seen of it: {told:?}");
        assert_eq!(dane.secure, 0);
    }
    for finding in seen.findings.iter().filter(|finding| finding.severity == Severity::Error) {
        match finding.code {
            // Whoever does not reach the host cannot tell what others do there.
            Code::DaneLookupFailed => assert!(dane.refused + dane.cannot_tell > 0, "{finding:?}"),
            code if code.row().check == Check::Dane => assert!(dane.refused > 0, "{finding:?}: {dane:?}"),
            _ => {}
        }
    }
    assert!(dane.secure == 0 || seen.mx.iter().any(|mx| mx.dane.status == TlsaStatus::Usable));
    // Where DANE is not asked for, no probe is needed to say so; else the word is that of an address that was seen.
    for address in seen.mx.iter().flat_map(|mx| &mx.addresses) {
        if address.path.reach != Reach::Up {
            let expected: &[Option<DaneWord>] = match address.path.reach {
                Reach::Down => &[None, Some(DaneWord::NotApplicable), Some(DaneWord::Failed)],
                _ => &[None, Some(DaneWord::NotApplicable)],
            };
            assert!(expected.contains(&address.dane_word), "{:?} {:?}", address.dane_word, address.path.reach);
            continue;
        }
        let expected: &[Outcome] = match address.dane_word {
            Some(DaneWord::Match) => &[Outcome::Secure, Outcome::Open, Outcome::CannotTell],
            Some(DaneWord::Mismatch | DaneWord::Failed) => &[Outcome::Refused],
            Some(DaneWord::EncryptOnly | DaneWord::NotApplicable) => &[Outcome::Open],
            None => &[Outcome::CannotTell],
        };
        assert!(expected.contains(&address.dane), "{:?} {:?}", address.dane_word, address.dane);
    }
}
