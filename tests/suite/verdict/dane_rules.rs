//! The rules on DANE and DNSSEC near their edges.

use std::time::Duration;

use smtptls_exporter::{
    facts::{
        DnssecSight, Handshake, LookupFailure, LookupOutcome, Offer, Security, SmtpOutcome, TlsFailure, TlsaLookup,
        TlsaObservation,
    },
    verdict::{Assessment, Code, DaneWord, Finding, Severity, State},
};

use super::{
    case::{A1, A2, DAY, DOMAIN, MINUTE, MX1, MX2, Monitor, NOW, World, codes, failed, find, host, lookup, records},
    pairs_tls::A3,
    signed::{bogus, chain_of, handshake, issued, issuer, leaf, namesake, own, signature, tlsa_name, trusted},
};
use crate::dane::pki::{record, stranger};

const PROVIDER: &str = "mx.provider.example";

fn live() -> World {
    World::bare().with_dane(&[own([3, 1, 1], MX1)])
}

fn found(seen: &Assessment, code: Code) -> &Finding {
    find(seen, code).unwrap_or_else(|| panic!("no {code}: {:#?}", seen.findings))
}

/// RFC 7672 §3.2.2: the names of the certificate that is valid for the mail domain count for every handshake with the host.
#[test]
fn a_certificate_for_the_mail_domain_depends_on_no_server_name() {
    let chain = || trusted(&[&leaf(DOMAIN), &issuer()]);
    let world = World::bare().with_dane(&[issued([2, 1, 1])]).chain(A1, |_| chain()).survey(MX1, A1, |survey| {
        survey.without_sni = Handshake::Done(handshake(chain()));
        survey.unknown_sni = Handshake::Done(handshake(chain()));
    });
    let seen = world.assess();
    assert_eq!((seen.delivery, find(&seen, Code::TlsSniDependent)), (State::Protected, None));
    // With insecure MX records the domain's name counts for nothing.
    let seen = world.mx_is(Security::Insecure).assess();
    assert_eq!(seen.delivery, State::Blocked);
    assert_eq!(found(&seen, Code::DaneChainInvalid).result_type, Some("certificate-host-mismatch"));
}

/// DAN-20: "no TLSA record matches without SNI or with an unknown name".
#[test]
fn a_match_that_hangs_on_the_server_name() {
    let other = || Handshake::Done(handshake(trusted(&[&namesake(), &issuer()])));
    for change in [
        (|survey, other| survey_of(survey, 0, other)) as fn(&mut smtptls_exporter::facts::TlsSurvey, Handshake),
        |survey, other| survey_of(survey, 1, other),
    ] {
        let seen = live().survey(MX1, A1, |survey| change(survey, other())).assess();
        assert_eq!(found(&seen, Code::TlsSniDependent).severity, Severity::Error);
        assert_eq!(seen.delivery, State::Protected, "senders that apply DANE do send the name");
    }
    let seen = live().survey(MX1, A1, |_| ()).assess();
    assert_eq!(find(&seen, Code::TlsSniDependent), None);
    // Where nothing matches, that is the finding.
    let seen = World::bare().with_dane(&[stranger([3, 1, 1])]).survey(MX1, A1, |survey| survey_of(survey, 0, other()));
    assert_eq!(find(&seen.assess(), Code::TlsSniDependent), None);
}

fn survey_of(survey: &mut smtptls_exporter::facts::TlsSurvey, which: usize, handshake: Handshake) {
    if which == 0 { survey.without_sni = handshake } else { survey.unknown_sni = handshake }
}

/// A host that is an alias, all of it signed: the records stand at the name that it leads to, which is what senders ask the
/// server for (RFC 7672 §2.2.3, §8.1).
fn alias(by_base: Option<Handshake>) -> World {
    let found = [own([3, 1, 1], PROVIDER)];
    let world = World::bare().signed().host_lookup(MX1, |seen| {
        let families = [&mut seen.addresses.ip4, &mut seen.addresses.ip6];
        families.into_iter().flatten().for_each(|lookup| lookup.cname = vec![PROVIDER.to_owned()]);
        let mut answer = records(&tlsa_name(PROVIDER), found.to_vec());
        answer.security = Security::Secure;
        let lookups = vec![TlsaLookup { base: host(PROVIDER), lookup: answer }];
        seen.tlsa = Some(TlsaObservation { alias: None, lookups });
    });
    match by_base {
        None => world,
        Some(shown) => world.survey(MX1, A1, |survey| survey.base_sni = Some((host(PROVIDER), shown.clone()))),
    }
}

#[test]
fn what_the_server_presents_for_the_base_domain_counts() {
    let seen = alias(Some(Handshake::Done(handshake(chain_of(PROVIDER))))).assess();
    assert_eq!((seen.delivery, seen.senders.dane.state), (State::Protected, State::Protected), "{:#?}", seen.findings);
    assert_eq!(find(&seen, Code::DaneMismatch), None);
    // As far as it was asked for.
    let seen = alias(None).assess();
    assert!(found(&seen, Code::DaneMismatch).detail.contains(PROVIDER));
    let seen = alias(Some(Handshake::NotSeen("no answer in time".to_owned()))).assess();
    assert_eq!(seen.delivery, State::Blocked);
}

/// DAN-20: senders that apply DANE ask by the base domain. A server that breaks off then takes no mail from them.
#[test]
fn a_handshake_that_fails_for_the_base_domain() {
    let failure = Handshake::Failed(TlsFailure::Alert("unrecognized_name".to_owned()));
    let good = alias(Some(failure)).chain(A1, |_| chain_of(PROVIDER));
    let seen = good.assess();
    assert_eq!((seen.delivery, seen.mx[0].addresses[0].dane_word), (State::Blocked, Some(DaneWord::Failed)));
    let finding = found(&seen, Code::TlsSniDependent);
    assert!(finding.detail.contains(PROVIDER), "{}", finding.detail);
}

/// The catalogue: some hosts have usable records and some have none, whether they answer or not. Who steers mail there answers in
/// their place.
#[test]
fn a_host_that_is_down_is_as_uncovered_as_another() {
    let two = |world: World| world.mx(MX2, &[A2]).with_dane(&[own([3, 1, 1], MX1)]);
    let down = SmtpOutcome::ConnectFailed(smtptls_exporter::facts::ConnectFailure::Refused);
    assert!(find(&two(World::bare()).smtp(A2, down).assess(), Code::DanePartial).is_some());
    // What cannot be told is not called missing.
    let seen = two(World::bare()).addresses_are(MX2, Security::Indeterminate).assess();
    assert_eq!(find(&seen, Code::DanePartial), None);
    let seen = two(World::bare()).tlsa(MX2, &[stranger([1, 1, 1])]).assess();
    assert!(find(&seen, Code::DanePartial).is_some(), "none of its records is usable");
    let seen = two(World::bare()).tlsa(MX2, &[issued([2, 1, 1])]).assess();
    assert_eq!(find(&seen, Code::DanePartial), None);
}

/// "warning; info where the hosts are outside the domain".
#[test]
fn unsigned_mx_records_weigh_less_before_foreign_hosts() {
    let target = smtptls_exporter::facts::MxTarget::Host(host(PROVIDER));
    let foreign = World::bare().targets(vec![target]).host(PROVIDER, &[A1]).signed().mx_is(Security::Insecure);
    let foreign = foreign.tlsa(PROVIDER, &[own([3, 1, 1], PROVIDER)]);
    let seen = foreign.clone().assess();
    assert_eq!(found(&seen, Code::DaneMxInsecure).severity, Severity::Info, "{:#?}", seen.findings);
    assert_eq!(find(&foreign.mx_is(Security::Secure).assess(), Code::DaneMxInsecure), None);
}

/// "error under 1 day"; "left < min(2 d, a quarter of its validity)".
#[test]
fn the_bands_of_signatures() {
    let ends = |left: Duration, validity: Duration| {
        let mut facts = signature(NOW + left);
        facts.inception = facts.expires - validity;
        let seen = World::good("enforce").signed().with(|world| world.domain.mx.signatures = Some(facts)).assess();
        find(&seen, Code::DnssecSignatureExpiring).map(|finding| finding.severity)
    };
    let second = Duration::from_secs(1);
    let hour = 60 * MINUTE;
    for (left, validity, expected) in [
        (2 * DAY, 14 * DAY, None),
        (2 * DAY - second, 14 * DAY, Some(Severity::Warning)),
        (DAY, 14 * DAY, Some(Severity::Warning)),
        (DAY - second, 14 * DAY, Some(Severity::Error)),
        // Signed for two days at a time.
        (12 * hour, 2 * DAY, None),
        (12 * hour - second, 2 * DAY, Some(Severity::Error)),
        (Duration::ZERO, 14 * DAY, Some(Severity::Error)),
    ] {
        assert_eq!(ends(left, validity), expected, "{left:?} of {validity:?}");
    }
}

/// The signatures of every answer on the way count, and one zone is told once.
#[test]
fn signatures_of_hosts_and_of_their_records() {
    let soon = |covers: &str| {
        let mut facts = signature(NOW + DAY);
        facts.covers = covers.to_owned();
        facts.weak = Some(format!("{covers} is signed with algorithm 5"));
        Some(facts)
    };
    let subjects = |world: World, code: Code| -> Vec<String> {
        let findings = world.assess().findings;
        findings.iter().filter(|found| found.code == code).map(|found| found.subject.name().to_owned()).collect()
    };
    for code in [Code::DnssecSignatureExpiring, Code::DnssecAlgorithmWeak] {
        let addresses =
            live().host_lookup(MX1, |seen| seen.addresses.ip4.as_mut().unwrap().signatures = soon("a DNSKEY"));
        assert_eq!(subjects(addresses, code), [MX1]);
        let tlsa = live().edit_tlsa(MX1, |lookup| lookup.signatures = soon("a DNSKEY"));
        assert_eq!(subjects(tlsa.clone(), code), [MX1]);
        let both = tlsa.with(|world| world.domain.mx.signatures = soon("a DNSKEY"));
        assert_eq!(subjects(both.clone(), code), [DOMAIN]);
        let two = both.with(|world| world.domain.mx.signatures = soon("b DNSKEY"));
        assert_eq!(subjects(two, code), [DOMAIN, MX1]);
    }
}

/// "SERVFAIL, own resolver healthy": another name was answered, and the control name validated.
#[test]
fn servfail_for_the_mx_while_nothing_validates() {
    let servfail = || live().with(|world| world.domain.mx = failed(DOMAIN));
    assert_eq!(servfail().assess().delivery, State::Blocked);
    let doubt = servfail().with(|world| world.domain.dnssec_healthy = false);
    assert_eq!(doubt.assess().delivery, State::Unknown);
    // Where DNSSEC is not looked at there is no control name, and the one sign is enough.
    let off = servfail().with(|world| {
        world.domain.dnssec_healthy = false;
        world.vantage.dnssec = DnssecSight::Off;
    });
    assert_eq!(off.assess().delivery, State::Blocked);
}

/// A TLSA lookup that fails is the zone's fault at once; an address lookup when it lasts.
#[test]
fn what_fails_once_and_what_lasts() {
    let fails = || lookup(&tlsa_name(MX1), LookupOutcome::Failed(LookupFailure::ServFail));
    let mut monitor = Monitor::new();
    assert_eq!(monitor.see(&live()).delivery, State::Protected);
    let seen = monitor.later(10 * MINUTE).see(&live().tlsa_lookup(MX1, fails()));
    assert_eq!(seen.delivery, State::Blocked);
    assert_eq!(found(&seen, Code::DaneLookupFailed).result_type, Some("dnssec-invalid"));

    let mut monitor = Monitor::new();
    monitor.see(&live());
    let broken = live().host_lookup(MX1, |seen| {
        seen.addresses.ip4 = Some(failed(MX1));
        seen.addresses.ip6 = Some(failed(MX1));
        seen.tlsa = None;
    });
    let delivery: Vec<State> = (0..3).map(|_| monitor.later(10 * MINUTE).see(&broken).delivery).collect();
    assert_eq!(delivery, [State::Protected, State::Protected, State::Blocked]);
}

/// Half an answer is asked no further questions: what was known of the records stands, as the addresses do.
#[test]
fn one_family_that_fails_takes_no_records_away() {
    let mut monitor = Monitor::new();
    monitor.see(&live());
    let half = live().host_lookup(MX1, |seen| {
        seen.addresses.ip6 = Some(failed(MX1));
        seen.tlsa = None;
    });
    for _ in 0..2 {
        let seen = monitor.later(10 * MINUTE).see(&half);
        assert_eq!((seen.delivery, seen.senders.dane.state), (State::Protected, State::Protected));
    }
    let seen = monitor.later(10 * MINUTE).see(&half);
    assert_eq!(seen.delivery, State::Blocked, "RFC 7672 §2.1.1, when it lasts");
}

/// Where nothing of DNSSEC is seen, nothing of DANE is said.
#[test]
fn without_sight_there_is_no_finding_of_dane() {
    for (sight, unseen) in [(DnssecSight::Off, 0), (DnssecSight::Blind, 1)] {
        let world = World::good("enforce").with(|world| {
            world.vantage.dnssec = sight;
            world.domain.dnssec_healthy = false;
            world.domain.mx.security = Security::Indeterminate;
        });
        let world =
            world.addresses_are(MX1, Security::Indeterminate).host_lookup(MX1, |seen| seen.dnssec_healthy = false);
        let seen = world.assess();
        let said: Vec<_> =
            codes(&seen).into_iter().filter(|code| code.contains("dane") || code.contains("dnssec")).collect();
        assert_eq!(said, Vec::<&str>::new(), "{sight:?}");
        assert_eq!((seen.delivery, seen.unseen.len()), (State::Protected, unseen), "{sight:?}: {:?}", seen.unseen);
        assert_eq!(find(&seen, Code::VantageLimited).is_some(), unseen > 0, "{sight:?}");
    }
}

/// MXT-14: "verified, STARTTLS, lowest TLS version, DANE".
#[test]
fn addresses_of_one_host_differ() {
    let two = || World::bare().host(MX1, &[A1, A3]).with_dane(&[own([3, 1, 1], MX1)]);
    assert_eq!(find(&two().assess(), Code::AddressesDiverge), None);
    let other = |world: World| world.chain(A3, |_| trusted(&[&namesake(), &issuer()]));
    let seen = other(two()).assess();
    assert!(found(&seen, Code::AddressesDiverge).detail.contains("TLSA"), "{:#?}", seen.findings);
    assert_eq!((seen.delivery, seen.senders.dane.paths.refused), (State::Partial, 1));
    // Two keys, each with its record.
    let records = [own([3, 1, 1], MX1), record([3, 1, 1], &namesake())];
    assert_eq!(find(&other(two()).tlsa(MX1, &records).assess(), Code::AddressesDiverge), None);
    let seen = two().chain(A3, super::case::expired).assess();
    assert!(found(&seen, Code::AddressesDiverge).detail.contains("verified"));
    let old = |address| move |world: World| world.survey(MX1, address, |survey| survey.tls10 = Offer::Accepted);
    let seen = old(A3)(two().survey(MX1, A1, |_| ())).assess();
    assert!(found(&seen, Code::AddressesDiverge).detail.contains("1.0"));
    assert_eq!(find(&old(A3)(old(A1)(two())).assess(), Code::AddressesDiverge), None);
    assert_eq!(find(&old(A3)(two()).assess(), Code::AddressesDiverge), None, "the other one was not looked at");
}

/// Each reason for an answer that is too large, at its edge.
#[test]
fn large_answers() {
    let large = |world: World| find(&world.assess(), Code::DaneAnswerLarge).is_some();
    let bytes = |bytes: usize| live().edit_tlsa(MX1, move |lookup| lookup.message_bytes = bytes);
    assert!(!large(bytes(1232)) && large(bytes(1233)));
    assert!(large(World::bare().with_dane(&[own([3, 1, 0], MX1)])), "Full(0)");
    assert!(!large(World::bare().with_dane(&[own([3, 1, 2], MX1)])));
}

/// A private suffix is a warning, a registry an error, and a provider's own name for its customers is fine.
#[test]
fn how_wide_a_pattern_is() {
    let severity = |pattern: &str| {
        let seen = World::good("testing").edit(MX1, pattern).assess();
        find(&seen, Code::StsPolicyWildcardWide).map(|finding| finding.severity)
    };
    assert_eq!(severity("*.co.uk"), Some(Severity::Error));
    assert_eq!(severity("*.github.io"), Some(Severity::Warning));
    assert_eq!(severity("*.example.com"), None);
    assert_eq!(severity("*.protection.outlook.com"), None);
}

/// A digest that is withdrawn, on what a signature is needed for.
#[test]
fn weak_signatures() {
    let signed = |algorithm: &str| {
        let seen = World::bare().chain(A1, |mut chain| {
            chain.leaf.signature_algorithm = algorithm.to_owned();
            chain
        });
        find(&seen.assess(), Code::CertificateWeak).is_some()
    };
    for weak in ["sha1WithRSAEncryption", "ecdsa-with-SHA1", "md5WithRSAEncryption"] {
        assert!(signed(weak), "{weak}");
    }
    for good in ["sha256WithRSAEncryption", "ecdsa-with-SHA384", "ed25519"] {
        assert!(!signed(good), "{good}");
    }
}

/// The bogus answer of the domain itself, of its records and of the policy host: each on its own subject.
#[test]
fn each_bogus_answer_has_its_subject() {
    let world = World::good("enforce").signed().with(|world| {
        world.domain.sts_record = bogus("_mta-sts.example.com");
        world.domain.tlsrpt_record = bogus("_smtp._tls.example.com");
        world.domain.policy.addresses.ip4 = Some(bogus("mta-sts.example.com"));
    });
    let subjects = |seen: &Assessment| -> Vec<String> {
        let bogus = seen.findings.iter().filter(|found| found.code == Code::DnssecBogus);
        bogus.map(|found| found.subject.name().to_owned()).collect()
    };
    // One zone in trouble is one finding, which names all that it spoils.
    let seen = world.clone().assess();
    assert_eq!(subjects(&seen), [DOMAIN], "{:#?}", seen.findings);
    let detail = &find(&seen, Code::DnssecBogus).unwrap().detail;
    for name in ["_mta-sts.example.com", "mta-sts.example.com", "_smtp._tls.example.com"] {
        assert!(detail.contains(name), "{detail}");
    }
    // Different troubles stand where they are.
    let because = |why: &str| LookupFailure::Bogus(why.to_owned());
    let seen = world
        .with(|world| {
            world.domain.tlsrpt_record.outcome = LookupOutcome::Failed(because("the signature has ended"));
            let host = world.domain.policy.addresses.ip4.as_mut().unwrap();
            host.outcome = LookupOutcome::Failed(because("there is no key"));
        })
        .assess();
    assert_eq!(subjects(&seen), [DOMAIN, "mta-sts.example.com", "_smtp._tls.example.com"], "{:#?}", seen.findings);
}
