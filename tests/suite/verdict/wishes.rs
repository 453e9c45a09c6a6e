//! What the operator wants, tolerates and owns.

use std::time::Duration;

use smtptls_exporter::{
    facts::{MxTarget, SmtpOutcome},
    terms::Timestamp,
    verdict::{Acceptance, Assessment, Code, Expectation, ExpectedMode, HostPattern, Severity},
};

use super::case::{A1, A2, DAY, DOMAIN, MINUTE, MX1, MX2, Monitor, NOW, World, addresses, codes, failed, find, host};

fn accept(code: Code, mx: Option<&str>, until: Option<Timestamp>) -> Acceptance {
    let reason = Some("ticket 12".to_owned());
    Acceptance { code: code.to_string(), domain: None, mx: mx.map(host), until, reason }
}

fn no_starttls(accepted: Acceptance) -> Assessment {
    let world = World::good("enforce").smtp(A1, SmtpOutcome::StarttlsNotOffered);
    world.with(|world| world.accept = vec![accepted]).assess()
}

#[test]
fn what_is_accepted_is_shown_and_does_not_count() {
    let code = Code::StarttlsNotOffered;
    for accepted in [accept(code, None, None), accept(code, Some(MX1), Some(NOW + MINUTE))] {
        let seen = no_starttls(accepted);
        assert_eq!(find(&seen, code).unwrap().accepted.as_deref(), Some("ticket 12"));
        assert_eq!((seen.count(Severity::Error), seen.worst(), seen.active().count()), (0, None, 0));
        assert_eq!(seen.delivery.as_str(), "blocked", "mail does not get through for that");
    }
    for other in [accept(code, Some(MX2), None), accept(code, None, Some(NOW)), accept(Code::MxCname, None, None)] {
        let seen = no_starttls(other);
        assert_eq!((seen.count(Severity::Error), seen.worst()), (1, Some(Severity::Error)));
    }
    let elsewhere = Acceptance { domain: "example.org".parse().ok(), ..accept(code, None, None) };
    assert_eq!(no_starttls(elsewhere).count(Severity::Error), 1);
    let without_reason = Acceptance { reason: None, ..accept(code, None, None) };
    assert!(find(&no_starttls(without_reason), code).unwrap().accepted.is_some());
}

#[test]
fn an_acceptance_of_a_host_covers_its_addresses_only() {
    let world = World::good("enforce").edit(MX1, "*.example.com").mx(MX2, &[A2]);
    let world = [A1, A2].into_iter().fold(world, |world, address| world.smtp(address, SmtpOutcome::StarttlsNotOffered));
    let seen = world.with(|world| world.accept = vec![accept(Code::StarttlsNotOffered, Some(MX1), None)]).assess();
    let active: Vec<&str> = seen.active().map(|finding| finding.subject.name()).collect();
    assert_eq!(active, [MX2]);
    assert!(!seen.findings.last().unwrap().is_active(), "what is accepted comes last");
}

#[test]
fn severities_of_the_configuration_win() {
    let world = World::good("testing").chain(A1, super::case::expired).with(|world| {
        world.severities.insert("certificate-expired".to_owned(), Severity::Info);
        world.severities.insert("sts-policy-mode-testing".to_owned(), Severity::Error);
    });
    let seen = world.assess();
    assert_eq!(find(&seen, Code::CertificateExpired).map(|finding| finding.severity), Some(Severity::Info));
    assert_eq!(seen.findings[0].code, Code::StsPolicyModeTesting);
    assert_eq!(seen.worst(), Some(Severity::Error));
}

#[test]
fn who_can_mend_it_is_told() {
    let foreign = "mx.provider.example";
    let world = World::good("enforce").edit(MX1, foreign).targets(vec![MxTarget::Host(host(foreign))]);
    let world = world.host(foreign, &[A2]).smtp(A2, SmtpOutcome::StarttlsNotOffered);
    let fix = |world: &World| find(&world.assess(), Code::StarttlsNotOffered).unwrap().fix.clone();
    assert!(fix(&world).starts_with("Ask your provider, who runs mx.provider.example."), "{}", fix(&world));
    let own = world.clone().with(|world| world.own_mx = vec![HostPattern::parse("*.provider.example").unwrap()]);
    assert!(!fix(&own).contains("provider"), "{}", fix(&own));
    let inside = World::good("enforce").smtp(A1, SmtpOutcome::StarttlsNotOffered);
    assert!(!fix(&inside).contains("provider"));
    let lookalike = "mx.notexample.com";
    let world = World::good("enforce").targets(vec![MxTarget::Host(host(lookalike))]).host(lookalike, &[]);
    let fix = find(&world.assess(), Code::MxUnresolvable).unwrap().fix.clone();
    assert!(fix.contains("provider") && fix.contains("out of the MX records of example.com"), "{fix}");
}

fn expecting(world: World, expectation: Expectation) -> Vec<(&'static str, bool)> {
    let seen = world.expect(expectation).assess();
    let unmet = seen.expectations.iter().any(|(_, met)| !met);
    assert_eq!(find(&seen, Code::ExpectationNotMet).is_some(), unmet);
    seen.expectations
}

fn unknown_mx() -> World {
    World::good("enforce").with(|world| {
        world.domain.mx = super::case::lookup(
            DOMAIN,
            smtptls_exporter::facts::LookupOutcome::Failed(smtptls_exporter::facts::LookupFailure::Timeout),
        );
    })
}

/// The policy host cannot be seen from here.
fn unknown_policy() -> World {
    World::good("enforce").with(|world| {
        world.domain.policy.addresses = addresses("mta-sts.example.com", &[]);
        world.domain.policy.addresses.ip4 = Some(failed("mta-sts.example.com"));
        world.domain.policy.fetches.clear();
        world.domain.resolver_healthy = false;
    })
}

#[test]
fn the_mode() {
    let mode = |mode| Expectation { mode: Some(mode), ..Expectation::default() };
    assert_eq!(expecting(World::good("enforce"), mode(ExpectedMode::Enforce)), [("mode", true)]);
    assert_eq!(expecting(World::good("testing"), mode(ExpectedMode::Enforce)), [("mode", false)]);
    assert_eq!(expecting(World::good("none"), mode(ExpectedMode::None)), [("mode", true)]);
    assert_eq!(expecting(World::good("enforce").no_record(), mode(ExpectedMode::Enforce)), [("mode", false)]);
    assert_eq!(expecting(World::good("enforce").status(404), mode(ExpectedMode::Enforce)), [("mode", false)]);
    assert_eq!(expecting(unknown_policy(), mode(ExpectedMode::Enforce)), []);
}

#[test]
fn the_least_max_age() {
    let least =
        |days: u64| Expectation { min_max_age: Some(Duration::from_secs(days * 86_400)), ..Expectation::default() };
    assert_eq!(expecting(World::good("enforce"), least(7)), [("min_max_age", true)]);
    assert_eq!(expecting(World::good("enforce"), least(8)), [("min_max_age", false)]);
    assert_eq!(expecting(World::bare(), least(1)), [("min_max_age", false)]);
    assert_eq!(expecting(unknown_policy(), least(8)), []);
}

#[test]
fn the_mail_hosts() {
    let hosts = |names: &[&str]| Expectation {
        mx: Some(names.iter().map(|name| host(name)).collect()),
        ..Expectation::default()
    };
    assert_eq!(expecting(World::good("enforce"), hosts(&[MX1])), [("mx", true)]);
    assert_eq!(expecting(World::good("enforce"), hosts(&[MX1, MX2])), [("mx", false)]);
    assert_eq!(expecting(World::good("enforce").mx(MX2, &[A2]), hosts(&[MX1])), [("mx", false)]);
    assert_eq!(expecting(World::good("enforce").mx(MX2, &[A2]), hosts(&[MX2, MX1])), [("mx", true)], "in any order");
    assert_eq!(expecting(World::good("enforce").targets(vec![MxTarget::Null]), hosts(&[MX1])), [("mx", false)]);
    let invalid = vec![MxTarget::Host(host(MX1)), MxTarget::Invalid("*".to_owned())];
    assert_eq!(expecting(World::good("enforce").targets(invalid), hosts(&[MX1])), [("mx", false)]);
    assert_eq!(expecting(World::good("enforce").implicit(&[A1]), hosts(&[DOMAIN])), [("mx", true)]);
    assert_eq!(expecting(unknown_mx(), hosts(&[MX1])), []);
    // Hosts beyond the cap are there all the same.
    let capped = World::good("enforce").mx(MX2, &[A2]).with(|world| {
        world.hosts.remove(&host(MX2));
        world.skipped_hosts = 1;
    });
    assert_eq!(expecting(capped, hosts(&[MX1, MX2])), [("mx", true)]);
}

#[test]
fn the_issuer() {
    let issuer = |text: &str| Expectation { issuer: Some(text.to_owned()), ..Expectation::default() };
    assert_eq!(expecting(World::good("enforce"), issuer("Let's Encrypt")), [("issuer", true)]);
    assert_eq!(expecting(World::good("enforce"), issuer("Another CA")), [("issuer", false)]);
    assert_eq!(expecting(World::good("enforce").smtp(A1, SmtpOutcome::StarttlsNotOffered), issuer("Another CA")), []);
}

#[test]
fn whether_it_takes_mail() {
    let mail = |mail| Expectation { mail: Some(mail), ..Expectation::default() };
    assert_eq!(expecting(World::good("enforce"), mail(true)), [("mail", true)]);
    assert_eq!(expecting(World::good("enforce"), mail(false)), [("mail", false)]);
    let null = || World::bare().targets(vec![MxTarget::Null]);
    assert_eq!(expecting(null(), mail(false)), [("mail", true)]);
    assert_eq!(expecting(null(), mail(true)), [("mail", false)]);
    assert_eq!(expecting(World::bare().implicit(&[]), mail(false)), [("mail", true)]);
    assert_eq!(expecting(unknown_mx(), mail(true)), []);
}

#[test]
fn all_differences_are_in_one_finding() {
    let expectation = Expectation {
        mode: Some(ExpectedMode::Enforce),
        min_max_age: Some(Duration::from_secs(30 * 86_400)),
        mx: Some(vec![host(MX2)]),
        ..Expectation::default()
    };
    let seen = World::good("testing").expect(expectation).assess();
    let detail = &find(&seen, Code::ExpectationNotMet).unwrap().detail;
    for part in ["mode testing", "604800", "2592000", "mx1.example.com", "mx2.example.com"] {
        assert!(detail.contains(part), "{part} in {detail}");
    }
}

/// Who takes no mail is not told to publish what would be a mistake there.
#[test]
fn a_domain_without_mail_needs_neither_policy_nor_reports() {
    let seen = super::pairs_domain::no_tlsrpt(World::bare().targets(vec![MxTarget::Null])).assess();
    assert_eq!(codes(&seen), ["mx-null"].into());
}

/// A record that was there is asked for again, not a first policy in testing.
#[test]
fn a_record_that_is_gone_is_asked_for_again() {
    let mut monitor = Monitor::new();
    monitor.see(&World::good("enforce"));
    let seen = monitor.later(MINUTE).see(&World::good("enforce").no_record());
    let finding = find(&seen, Code::StsRecordMissing).unwrap();
    assert!(
        finding.fix.contains("publish the record again:\n_mta-sts.example.com. TXT \"v=STSv1; id="),
        "{}",
        finding.fix
    );
}

/// The order of a withdrawal is: mode none, record, host. The host stays for as long as somebody may know the record.
#[test]
fn a_policy_without_a_record_is_unused_only_after_a_while() {
    let mut monitor = Monitor::new();
    monitor.see(&World::good("enforce"));
    let gone = World::good("enforce").no_record();
    assert_eq!(find(&monitor.later(DAY).see(&gone), Code::StsPolicyUnused), None);
    // The TTL of the record is five minutes.
    assert!(find(&monitor.later(5 * MINUTE).see(&gone), Code::StsPolicyUnused).is_some());
    assert!(find(&gone.assess(), Code::StsPolicyUnused).is_some(), "and where the record was never seen");
}

/// A name inside the domain is broken when it does not exist, and nobody else can take it.
#[test]
fn only_foreign_names_can_be_taken_over() {
    let detail = |name: &str| {
        let world = World::good("enforce").targets(vec![MxTarget::Host(host(name))]).host(name, &[]);
        let world = world.host_lookup(name, |seen| {
            seen.addresses.ip4 = Some(super::case::lookup(name, smtptls_exporter::facts::LookupOutcome::NxDomain));
        });
        find(&world.assess(), Code::DnsDelegationDangling).unwrap().detail.clone()
    };
    assert!(detail("mx.lapsed.example").contains("Whoever can register that name"));
    assert!(!detail(MX2).contains("Whoever"));
}
