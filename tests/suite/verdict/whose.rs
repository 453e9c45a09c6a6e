//! Who can mend a finding, and whether its words say the same.

use smtptls_exporter::{
    protocol::tls_rpt::ResultType,
    terms::PolicyDomain,
    verdict::{Assessment, Code, Finding, Fixer, HostPattern, Subject, TlsaStatus},
};

use super::{
    case::{A1, A2, DAY, DOMAIN, MX1, MX2, Monitor, NOW, World, expired, find, policy_body},
    codes::{Pair, pairs},
    pairs_dane::live,
    reports::{COMPLETE, daily, sts},
};

/// As a customer sees it: every mail host of the world is somebody else's.
const CUSTOMER: &str = "customer.example";

fn customer(mut world: World) -> World {
    world.domain.domain = PolicyDomain::parse(CUSTOMER).unwrap();
    world
}

fn judged(context: &str, pair: &Pair, change: fn(World) -> World) -> Assessment {
    let mut monitor = Monitor::new();
    if context == "unknown" {
        return monitor.see(&change((pair.raised)(World::good("enforce").status(404))));
    }
    monitor.now = NOW - 3 * DAY;
    monitor.see(&change(World::good(context)));
    monitor.later(3 * DAY).see(&change((pair.raised)(World::good(context))))
}

fn about(finding: &Finding) -> Option<&str> {
    match &finding.subject {
        Subject::Mx(name) => Some(name),
        Subject::MxAddress(host, _) => Some(host.as_str()),
        _ => None,
    }
}

/// What stands on somebody else's host is asked of them by name, unless it is no matter of the host.
#[test]
fn every_finding_on_a_hosted_mail_host_names_who_runs_it() {
    /// Mended in the domain's own records, in this monitor, or not at all.
    const OTHERWISE: [Code; 8] = [
        Code::MxInvalidTarget,
        Code::MxNotInPolicy,
        Code::MxNotInCachedPolicy,
        Code::MxAddressesSkipped,
        Code::SmtpRejected,
        Code::DnsDelegationDangling,
        Code::DaneRollover,
        Code::MxUnresolvable,
    ];
    let mut seen = 0;
    for pair in pairs() {
        for context in ["enforce", "testing", "none", "unknown"] {
            for finding in judged(context, pair, customer).findings {
                let Some(host) = about(&finding) else { continue };
                let hosted = finding.fix.contains("your provider") || finding.fix.contains("Your provider");
                if !OTHERWISE.contains(&finding.code) {
                    seen += 1;
                    assert!(hosted && finding.fix.contains(host), "{}: {}", finding.code, finding.fix);
                    assert_eq!(finding.fixer, Fixer::Provider, "{}", finding.code);
                }
                if hosted && finding.fixer == Fixer::Provider {
                    assert!(finding.fix.contains(host), "{}: {}", finding.code, finding.fix);
                }
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn nothing_on_an_own_host_speaks_of_a_provider() {
    for pair in pairs() {
        for finding in judged("enforce", pair, |world| world).findings {
            let own = about(&finding).is_some_and(|host| host.ends_with(DOMAIN));
            assert!(!own || finding.fixer != Fixer::Provider, "{}: {:?}", finding.code, finding.fixer);
            assert!(!own || !finding.fix.contains("your provider"), "{}: {}", finding.code, finding.fix);
        }
    }
}

#[test]
fn what_has_to_be_done_by_nobody_has_nobody_to_do_it() {
    for pair in pairs() {
        for context in ["enforce", "testing", "none"] {
            for finding in judged(context, pair, |world| world).findings {
                if finding.fix == "Nothing to do." {
                    assert_eq!(finding.fixer, Fixer::Nobody, "{}", finding.code);
                }
            }
        }
    }
}

#[test]
fn a_pattern_of_own_mx_makes_a_host_ours() {
    let world = customer(World::good("enforce")).chain(A1, expired);
    let fixer = |world: &World| find(&world.assess(), Code::CertificateExpired).unwrap().fixer;
    assert_eq!(fixer(&world), Fixer::Provider);
    let own = world.with(|world| world.own_mx = vec!["*.example.com".parse::<HostPattern>().unwrap()]);
    assert_eq!(fixer(&own), Fixer::You);
}

#[test]
fn who_has_no_other_host_is_told_of_testing_and_who_has_one_of_both_ways() {
    let fix = |world: World| find(&world.assess(), Code::CertificateExpired).unwrap().fix.clone();
    let alone = fix(customer(World::good("enforce")).chain(A1, expired));
    assert!(alone.contains("What you can do meanwhile: set the policy to mode testing"), "{alone}");
    let two = customer(World::good("enforce").body(&policy_body("enforce", &[MX1, MX2])).mx(MX2, &[A2]));
    let beside = fix(two.clone().chain(A1, expired));
    assert!(beside.contains("meanwhile: take it out of the MX records, or set the policy"), "{beside}");
    let both = fix(two.chain(A1, expired).chain(A2, expired));
    assert!(
        both.contains("meanwhile: set the policy") && !both.contains("take it out"),
        "the other is refused too: {both}"
    );
    let testing = fix(customer(World::good("testing")).chain(A1, expired));
    assert!(!testing.contains("meanwhile"), "nobody refuses it: {testing}");
}

/// Senders that apply DANE refuse it in testing too: the step would take protection away and bring no mail.
#[test]
fn testing_is_no_way_where_dane_refuses_as_well() {
    let fix = |world: World| find(&world.assess(), Code::CertificateExpired).unwrap().fix.clone();
    let alone = customer(World::good("enforce")).with_dane(&[live()]).chain(A1, expired);
    assert!(!fix(alone.clone()).contains("meanwhile"), "{}", fix(alone));
    let two = customer(World::good("enforce").body(&policy_body("enforce", &[MX1, MX2])).mx(MX2, &[A2]));
    let text = fix(two.with_dane(&[live()]).chain(A1, expired));
    assert!(text.ends_with("meanwhile: take it out of the MX records."), "{text}");
}

#[test]
fn whose_policy_is_served_elsewhere_has_it_set_there() {
    let world = hosted_policy(customer(World::good("enforce"))).chain(A1, expired);
    let fix = find(&world.assess(), Code::CertificateExpired).unwrap().fix.clone();
    assert!(fix.contains("meanwhile: have whoever serves the policy set it to mode testing"), "{fix}");
}

#[test]
fn only_findings_that_testing_helps_against_speak_of_it() {
    for code in Code::ALL {
        let Some(text) = code.hosted_elsewhere() else { continue };
        let refused = text.contains("set the policy to mode testing");
        // RFC 8461 §4.1: what makes a sender refuse a host that the policy lists.
        let by_policy = ["starttls-not-offered", "starttls-refused", "tls-handshake-failed", "tls-version-obsolete"]
            .contains(&code.as_str())
            || ["expired", "not-yet-valid", "name-mismatch", "untrusted"]
                .iter()
                .any(|fault| code.as_str() == format!("certificate-{fault}"));
        assert_eq!(refused, by_policy, "{code}: {text}");
    }
    for code in [Code::TlsLegacyAccepted, Code::CertificateWeak, Code::CertificateExpiring, Code::DaneRecordStale] {
        assert!(!code.hosted_elsewhere().unwrap().contains("While senders"), "{code}");
    }
    assert!(Code::DaneMismatch.hosted_elsewhere().unwrap().contains("mode testing does not help"));
}

#[test]
fn what_reports_tell_of_a_host_is_mended_by_who_runs_it() {
    let failing = sts(50, &[(ResultType::CertificateExpired, Some(MX1), 50)]);
    let world = World::good("enforce").told(&daily(COMPLETE - 20..=COMPLETE - 1, "google.com", &sts(100, &[])));
    let world = world.told(&daily(COMPLETE..=COMPLETE, "google.com", &failing));
    for code in [Code::ReportsFailing, Code::ReportsNewFailure] {
        let fixer = |world: &World| find(&Monitor::new().see(world), code).unwrap().fixer;
        assert_eq!(fixer(&world), Fixer::You, "{code}");
        assert_eq!(fixer(&customer(world.clone())), Fixer::Provider, "{code}");
    }
}

#[test]
fn whom_a_hosted_mail_host_lets_in_its_provider_says() {
    let pair = pairs().into_iter().find(|pair| pair.code == Code::SmtpRejected).unwrap();
    for (change, fixer) in [(customer as fn(World) -> World, Fixer::Provider), (|world| world, Fixer::You)] {
        let seen = judged("enforce", pair, change);
        assert_eq!(find(&seen, Code::SmtpRejected).unwrap().fixer, fixer);
    }
}

/// Nobody is told that mail is refused where no policy and no TLSA record makes a sender look.
#[test]
fn without_a_policy_no_sender_has_to_refuse() {
    let detail = |world: World| find(&world.assess(), Code::CertificateExpired).unwrap().detail.clone();
    let bare = World::good("enforce").no_record().no_policy_host().chain(A1, expired);
    assert!(detail(bare.clone()).ends_with("no sender has to refuse it while no policy is in force."));
    let enforced = detail(World::good("enforce").chain(A1, expired));
    assert!(enforced.ends_with("senders that enforce the policy do not deliver to it."), "{enforced}");
}

#[test]
fn a_host_outside_the_policy_can_also_leave_the_mx_records() {
    let fix = |world: World| find(&world.assess(), Code::MxNotInPolicy).unwrap().fix.clone();
    let listed = fix(World::good("enforce").mx(MX2, &[A2]));
    assert!(
        listed.contains(", or take the host out of the MX records of example.com. After the first, publish a new id:")
    );
}

/// The policy of many is served by somebody else, behind a CNAME, and so is the record.
fn hosted_policy(world: World) -> World {
    aliased_policy(world).with(|world| {
        world.domain.sts_record.cname = vec!["_mta-sts.provider.example".to_owned()];
    })
}

/// The file of many lies in a web space of their own that has another name.
fn aliased_policy(world: World) -> World {
    world.with(|world| {
        let addresses = &mut world.domain.policy.addresses;
        for lookup in addresses.ip4.iter_mut().chain(addresses.ip6.iter_mut()) {
            lookup.cname = vec!["policies.provider.example".to_owned()];
        }
    })
}

#[test]
fn a_policy_behind_an_alias_is_mended_where_it_leads() {
    for (world, code) in [
        (World::good("enforce").status(404), Code::StsPolicyHttpStatus),
        (World::good("enforce").edit("max_age: 604800", "max_age: 3600"), Code::StsPolicyMaxAgeShort),
        (World::good("enforce").mx(MX2, &[A2]), Code::MxNotInPolicy),
    ] {
        let own = find(&world.assess(), code).unwrap().clone();
        assert_eq!(own.fixer, Fixer::You, "{code}");
        assert!(!own.fix.contains("elsewhere"), "{}", own.fix);
        let hosted = find(&hosted_policy(world).assess(), code).unwrap().clone();
        assert_eq!(hosted.fixer, Fixer::Provider, "{code}");
        let told = "The policy is hosted elsewhere: mta-sts.example.com is an alias of policies.provider.example.";
        assert!(hosted.fix.starts_with(told), "{}", hosted.fix);
    }
    let aliased = aliased_policy(World::good("enforce").status(404)).assess();
    let aliased = find(&aliased, Code::StsPolicyHttpStatus).unwrap();
    assert_eq!(aliased.fixer, Fixer::You, "the record is the domain's own, and nothing tells whose the web space is");
    assert!(aliased.fix.contains("whoever publishes the file there, you or a provider"), "{}", aliased.fix);
    let within = World::good("enforce").status(404).with(|world| {
        let ip4 = world.domain.policy.addresses.ip4.as_mut().unwrap();
        ip4.cname = vec!["www.example.com".to_owned()];
    });
    assert_eq!(find(&within.assess(), Code::StsPolicyHttpStatus).unwrap().fixer, Fixer::You, "it is the domain's own");
}

/// Beside an alias no record may stand: a line for the alias itself could not be published.
#[test]
fn a_record_behind_an_alias_is_published_where_it_leads() {
    let world = World::good("enforce").mx(MX2, &[A2]).with(|world| {
        world.domain.sts_record.cname = vec!["_mta-sts.provider.example".to_owned()];
    });
    let finding = find(&world.assess(), Code::MxNotInPolicy).unwrap().clone();
    assert!(finding.fix.contains("have a new id published at _mta-sts.provider.example"), "{}", finding.fix);
    assert!(finding.fix.contains("\n_mta-sts.provider.example. TXT \"v=STSv1; id="), "{}", finding.fix);
    let invalid = World::good("enforce").records(&["v=STSv1; id=no-dashes;"]).with(|world| {
        world.domain.sts_record.cname = vec!["_mta-sts.provider.example".to_owned()];
    });
    let finding = find(&invalid.assess(), Code::StsRecordIdInvalid).unwrap().clone();
    assert_eq!(finding.fixer, Fixer::Provider);
    assert!(finding.fix.starts_with("The record is kept at _mta-sts.provider.example"), "{}", finding.fix);
}

#[test]
fn dane_at_providers_says_who_can_switch_it_on() {
    let exchange = "example-com.mail.protection.outlook.com";
    let world = |name: &str| World::good("enforce").with_dane(&[live()]).mx(name, &["192.0.2.9"]).tlsa(name, &[]);
    for (name, told) in [(exchange, true), ("mx.provider.example", false)] {
        let assessment = world(name).assess();
        assert!(assessment.mx.iter().any(|mx| mx.dane.status == TlsaStatus::Usable));
        let finding = find(&assessment, Code::DanePartial).unwrap();
        assert_eq!(finding.fixer, Fixer::Provider);
        assert!(finding.fix.contains(&format!("only they can publish TLSA records for {name}")), "{}", finding.fix);
        assert_eq!(finding.fix.contains("Enable-SmtpDaneInbound"), told, "{}", finding.fix);
    }
}
