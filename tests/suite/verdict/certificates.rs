//! Dates, chain and name of a certificate, each apart; and the bands near its end.

use std::time::Duration;

use smtptls_exporter::{
    facts::{ChainFacts, PathToRoot},
    verdict::{CertificateThreshold, Code, Severity, Share, State, Thresholds},
};

use super::case::{
    A1, DAY, MX1, Monitor, NOW, World, certificate, codes, ending, expired, find, not_yet_valid, untrusted,
};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

fn with_chain(mode: &str, chain: &ChainFacts) -> World {
    World::good(mode).chain(A1, |_| chain.clone())
}

fn expiring(mode: &str, left: Duration, life: Duration) -> Option<Severity> {
    let seen = with_chain(mode, &ending(certificate(&[MX1]), left, life)).assess();
    find(&seen, Code::CertificateExpiring).map(|finding| finding.severity)
}

#[test]
fn the_bands_of_the_usual_lifetimes() {
    // Lifetime, warning and error, in hours.
    for (life, warning, error) in [
        (398.0 * 24.0, 30.0 * 24.0, 72.0),
        (90.0 * 24.0, 22.5 * 24.0, 72.0),
        (47.0 * 24.0, 11.75 * 24.0, 72.0),
        (160.0, 40.0, 160.0 / 12.0),
    ] {
        let hours = |hours: f64| HOUR.mul_f64(hours);
        let at = |left| expiring("enforce", left, hours(life));
        assert_eq!(at(hours(warning)), None, "{life}");
        assert_eq!(at(hours(warning) - SECOND), Some(Severity::Warning), "{life}");
        assert_eq!(at(hours(error) + SECOND), Some(Severity::Warning), "{life}");
        assert_eq!(at(hours(error) - SECOND), Some(Severity::Error), "{life}");
    }
}

/// Where an expired certificate would be no error, one that is about to expire is none.
#[test]
fn near_its_end_is_an_error_only_in_enforce() {
    for mode in ["testing", "none"] {
        assert_eq!(expiring(mode, HOUR, 90 * DAY), Some(Severity::Warning), "{mode}");
    }
}

#[test]
fn an_intermediate_can_end_first() {
    let mut chain = certificate(&[MX1]);
    chain.path = PathToRoot::Trusted { not_after: NOW + 10 * DAY };
    let seen = with_chain("enforce", &chain).assess();
    let finding = find(&seen, Code::CertificateExpiring).unwrap();
    assert!(finding.detail.starts_with("An intermediate certificate") && finding.detail.contains("10 days"));
    assert_eq!(find(&with_chain("enforce", &certificate(&[MX1])).assess(), Code::CertificateExpiring), None);
}

#[test]
fn the_configuration_can_say_when() {
    let thresholds = Thresholds {
        certificate_warning: CertificateThreshold::Share(Share::percent(70)),
        certificate_error: CertificateThreshold::Left(61 * DAY),
        ..Thresholds::default()
    };
    let world = World::good("enforce").with(|world| world.thresholds = thresholds);
    assert_eq!(find(&world.assess(), Code::CertificateExpiring).map(|f| f.severity), Some(Severity::Error));
    let world = world.with(|world| world.thresholds.certificate_error = CertificateThreshold::Auto);
    assert_eq!(find(&world.assess(), Code::CertificateExpiring).map(|f| f.severity), Some(Severity::Warning));
}

#[test]
fn every_fault_is_said() {
    let chain = untrusted(expired(certificate(&["www.example.net"])), PathToRoot::SelfSigned);
    let world = with_chain("enforce", &chain).policy_chain(&chain);
    let seen = codes(&world.assess());
    for code in ["certificate-expired", "certificate-name-mismatch", "certificate-untrusted"] {
        assert!(seen.contains(code) && seen.contains(format!("sts-policy-{code}").as_str()), "{code}: {seen:?}");
    }
    assert!(!seen.contains("certificate-expiring") && !seen.contains("sts-policy-certificate-expiring"));
}

/// Peers' misbehaviour: the expiry of a certificate is lost once it has expired.
#[test]
fn an_expired_certificate_still_says_when() {
    let seen = with_chain("enforce", &untrusted(expired(certificate(&[MX1])), PathToRoot::SelfSigned)).assess();
    let kept = seen.mx[0].addresses[0].path.certificate.as_ref().unwrap();
    assert_eq!(kept.chain.leaf.not_after, NOW - 3 * DAY);
    assert!(!kept.in_dates && !kept.chain_valid && kept.name_match && !kept.verified());
    assert!(find(&seen, Code::CertificateExpired).unwrap().detail.contains("3 days ago (2026-11-20)"));
}

#[test]
fn the_dates_hold_to_the_second() {
    let mut chain = certificate(&[MX1]);
    (chain.leaf.not_before, chain.leaf.not_after) = (NOW, NOW);
    let seen = with_chain("enforce", &chain).assess();
    assert_eq!(seen.delivery, State::Protected);
    let late = Monitor { now: NOW + SECOND, ..Monitor::new() }.see(&with_chain("enforce", &chain));
    assert!(codes(&late).contains("certificate-expired"));
    let early = Monitor { now: NOW - SECOND, ..Monitor::new() }.see(&with_chain("enforce", &chain));
    assert!(codes(&early).contains("certificate-not-yet-valid") && !codes(&early).contains("certificate-expired"));
}

#[test]
fn not_yet_valid_is_not_expired() {
    let world = with_chain("enforce", &not_yet_valid(certificate(&[MX1])));
    let seen = world.clone().policy_chain(&not_yet_valid(certificate(&["mta-sts.example.com"]))).assess();
    let found = codes(&seen);
    assert!(found.contains("certificate-not-yet-valid") && found.contains("sts-policy-certificate-not-yet-valid"));
    assert!(!found.contains("certificate-expired") && !found.contains("certificate-untrusted"), "{found:?}");
    assert_eq!(world.assess().mx[0].addresses[0].path.result_type, Some("certificate-not-trusted"));
}

#[test]
fn why_a_chain_is_not_trusted_is_said() {
    for (path, word) in [
        (PathToRoot::SelfSigned, "self-signed"),
        (PathToRoot::MissingIntermediate, "intermediate"),
        (PathToRoot::UnknownCa, "CA"),
        (PathToRoot::IntermediateExpired, "outside its dates"),
        (PathToRoot::Refused("UnsupportedCriticalExtension".to_owned()), "UnsupportedCriticalExtension"),
    ] {
        let seen = with_chain("enforce", &untrusted(certificate(&[MX1]), path.clone())).assess();
        let finding = find(&seen, Code::CertificateUntrusted).unwrap();
        assert!(finding.detail.contains(word), "{}", finding.detail);
        assert_eq!(seen.delivery, State::Blocked, "{path:?}");
    }
}

/// Peers' misbehaviour: a certificate without a DNS name is taken by its common name.
#[test]
fn the_common_name_names_nothing() {
    let mut chain = certificate(&[]);
    chain.leaf.common_name = Some(MX1.to_owned());
    let seen = with_chain("enforce", &chain).assess();
    assert!(find(&seen, Code::CertificateNameMismatch).unwrap().detail.contains("no DNS name"));
    assert_eq!(seen.delivery, State::Blocked);
}
