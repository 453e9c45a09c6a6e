//! What other programs of the field get wrong, and this one must not. The whole list, with the tests
//! of each, is in `misbehaviours/table.rs`.

use smtptls_exporter::{
    facts::{ConnectFailure, MxTarget, SmtpOutcome, TlsFailure},
    verdict::{Code, State},
};

use super::case::{A1, DOMAIN, MX1, Monitor, World, certificate, codes, find, policy_body};

/// No host, so all hosts are verified.
#[test]
fn nothing_to_look_at_is_not_all_in_order() {
    let refused = SmtpOutcome::ConnectFailed(ConnectFailure::Refused);
    for (world, state) in [
        (World::good("enforce").implicit(&[]), State::Blocked),
        (World::good("enforce").targets(vec![MxTarget::Null]), State::NoMail),
        (World::good("enforce").smtp(A1, refused), State::Blocked),
        (World::good("enforce").with(|world| world.hosts.clear()), State::Unknown),
        (World::good("enforce").targets(vec![MxTarget::Invalid("*".to_owned())]), State::Blocked),
    ] {
        assert_eq!(world.assess().delivery, state);
    }
}

/// A timeout is read as "there is none": the last good value stays.
#[test]
fn a_timeout_is_not_missing() {
    let mut monitor = Monitor::new();
    monitor.see(&World::good("enforce"));
    let failing = World::good("enforce").with(|world| {
        let timeout = smtptls_exporter::facts::LookupOutcome::Failed(smtptls_exporter::facts::LookupFailure::Timeout);
        world.domain.sts_record = super::case::lookup("_mta-sts.example.com", timeout);
    });
    let seen = monitor.see(&failing);
    assert_eq!(codes(&seen), ["dns-lookup-failed"].into());
    assert_eq!((seen.sts_record.usable, seen.sts_record.lookup_success), (Some(true), false));
}

/// A wildcard without an anchor, or for many labels.
#[test]
fn a_wildcard_of_the_policy_covers_one_label() {
    for (host, covered) in [
        ("mx.example.net", true),
        ("a.b.example.net", false),
        ("example.net", false),
        ("mx.notexample.net", false),
        ("mx.example.net.evil.example", false),
    ] {
        let world = World::good("enforce").body(&policy_body("enforce", &["*.example.net"]));
        let world = world.targets(vec![MxTarget::Host(super::case::host(host))]).host(host, &["192.0.2.7"]);
        let seen = world.assess();
        assert_eq!(seen.mx[0].in_policy, Some(covered), "{host}");
        assert_eq!(find(&seen, Code::MxNotInPolicy).is_none(), covered, "{host}");
        assert_eq!(seen.delivery == State::Protected, covered, "{host}");
    }
}

/// Several records are shown as fine.
#[test]
fn two_records_are_none() {
    let seen = World::good("enforce").records(&["v=STSv1; id=1;", "v=STSv1; id=2;"]).assess();
    assert_eq!(
        (seen.sts_record.present, seen.sts_record.usable, seen.delivery),
        (Some(true), Some(false), State::Unprotected)
    );
    assert!(find(&seen, Code::StsRecordMultiple).unwrap().detail.starts_with("2 TXT records"));
}

/// Another case, or a longer word, is taken for the version.
#[test]
fn the_version_is_exact() {
    for text in ["v=stsv1; id=1;", "v=STSv1x; id=1;", "v=STSv2; id=1;"] {
        let seen = World::good("enforce").records(&[text]).assess();
        assert_eq!(seen.sts_record.usable, Some(false), "{text}");
        assert!(find(&seen, Code::StsRecordInvalid).is_some(), "{text}: {:?}", codes(&seen));
    }
}

/// "No STARTTLS" and "bad certificate" are one answer.
#[test]
fn what_fails_has_its_own_word() {
    let code = |world: World| world.assess().findings[0].code;
    let smtp = |outcome| World::good("enforce").smtp(A1, outcome);
    assert_eq!(code(smtp(SmtpOutcome::StarttlsNotOffered)), Code::StarttlsNotOffered);
    assert_eq!(code(smtp(SmtpOutcome::StarttlsRefused { code: 454, text: "x".into() })), Code::StarttlsRefused);
    assert_eq!(
        code(smtp(SmtpOutcome::HandshakeFailed(TlsFailure::Closed("EOF".to_owned())))),
        Code::TlsHandshakeFailed
    );
    assert_eq!(code(World::good("enforce").chain(A1, |_| certificate(&["x.example"]))), Code::CertificateNameMismatch);
}

/// Only the first address is looked at, and the verdict turns with the order of the answer.
#[test]
fn every_address_counts_in_any_order() {
    for bad in [A1, "2001:db8::1"] {
        let world = World::good("enforce").host(MX1, &[A1, "2001:db8::1"]).smtp(bad, SmtpOutcome::StarttlsNotOffered);
        let seen = world.assess();
        assert_eq!(seen.delivery, State::Partial, "{bad}");
        let finding = find(&seen, Code::StarttlsNotOffered).unwrap();
        assert_eq!(finding.subject.address().map(|address| address.to_string()).as_deref(), Some(bad));
    }
}

/// The name that is checked is the one in the MX record: not the target of a CNAME, not the domain, not the pattern.
#[test]
fn the_name_in_the_mx_record_is_the_one_that_counts() {
    for (name, good) in [(MX1, true), ("mail.provider.example", false), (DOMAIN, false), ("*.example.com", true)] {
        let world = World::good("enforce").chain(A1, |_| certificate(&[name])).host_lookup(MX1, |seen| {
            seen.addresses.ip4.as_mut().unwrap().cname = vec!["mail.provider.example".to_owned()];
        });
        assert_eq!(world.assess().delivery == State::Protected, good, "{name}");
    }
}

/// Without an MX record "no MX" is all that is said, and the host that gets the mail is not tested.
#[test]
fn the_implicit_host_is_judged() {
    let world = World::good("enforce").edit(MX1, DOMAIN).implicit(&[A1]);
    let seen = world.clone().assess();
    assert_eq!((seen.delivery, seen.mx.len(), seen.mx[0].implicit), (State::Protected, 1, true));
    let seen = world.smtp(A1, SmtpOutcome::StarttlsNotOffered).assess();
    assert_eq!(seen.delivery, State::Blocked);
    assert!(find(&seen, Code::StarttlsNotOffered).is_some());
    let uncovered = World::good("enforce").implicit(&[A1]).assess();
    assert_eq!(uncovered.delivery, State::Blocked);
    let finding = find(&uncovered, Code::MxNotInPolicy).unwrap();
    assert!(finding.detail.starts_with("Mail goes to example.com itself"), "{}", finding.detail);
}

/// A peer's text reaches people without its control characters.
#[test]
fn a_peer_s_text_is_harmless() {
    let text = "\x1b[2Jgo\r\naway\0";
    let outcome = SmtpOutcome::StarttlsRefused { code: 454, text: text.into() };
    let record = format!("v=STSv1; id=1; {text}=x");
    let seen = World::good("enforce").smtp(A1, outcome).records(&[record.as_str()]).assess();
    assert!(seen.findings.len() >= 2);
    for finding in &seen.findings {
        // A fix may have a line of its own for what is to be published.
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!finding.detail.contains(char::is_control) && !finding.fix.contains(control), "{finding:?}");
    }
}
