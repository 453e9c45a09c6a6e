//! "Could not look" is not "is not there".

use std::time::Duration;

use smtptls_exporter::{
    facts::{ConnectFailure, ExtendedError, LookupFailure, LookupOutcome, SmtpOutcome},
    verdict::{Assessment, Code, Security, Severity, State, Subject},
};

use super::case::{
    A1, A2, DAY, DOMAIN, MINUTE, MX1, MX2, Monitor, World, addresses, codes, failed, find, ip, lookup, policy_body,
};

const STS: &str = "_mta-sts.example.com";

fn failures(assessment: &Assessment) -> Vec<(Subject, Severity)> {
    let failed = assessment.findings.iter().filter(|finding| finding.code == Code::DnsLookupFailed);
    failed.map(|finding| (finding.subject.clone(), finding.severity)).collect()
}

/// Nothing can be looked up.
fn dark(mut world: World) -> World {
    let fail = || LookupOutcome::Failed(LookupFailure::Timeout);
    world.domain.sts_record = lookup(STS, LookupOutcome::Failed(LookupFailure::Timeout));
    world.domain.tlsrpt_record = lookup("_smtp._tls.example.com", LookupOutcome::Failed(LookupFailure::Timeout));
    world.domain.mx = lookup(DOMAIN, LookupOutcome::Failed(LookupFailure::Timeout));
    world.domain.policy.addresses.ip4 = Some(lookup("mta-sts.example.com", fail()));
    world.domain.policy.addresses.ip6 = Some(lookup("mta-sts.example.com", fail()));
    world.domain.policy.fetches.clear();
    world.hosts.clear();
    world
}

#[test]
fn a_resolver_that_answers_nothing_is_this_side_s_matter() {
    let unhealthy = dark(World::good("enforce")).with(|world| world.domain.resolver_healthy = false);
    let known = dark(World::good("enforce")).with(|world| world.vantage.resolver_failing = true);
    for world in [unhealthy, known] {
        let seen = world.assess();
        assert_eq!(codes(&seen), ["vantage-limited"].into());
        assert_eq!((seen.delivery, seen.own_side), (State::Unknown, true));
        assert_eq!((seen.policy.fetch_success, seen.sts_record.present, seen.mx_records), (None, None, None));
        assert!(!seen.unseen.is_empty());
    }
}

#[test]
fn a_resolver_that_answers_nothing_takes_no_knowledge_away() {
    let mut monitor = Monitor::new();
    monitor.see(&World::good("enforce"));
    let world = dark(World::good("enforce")).with(|world| {
        world.domain.resolver_healthy = false;
        world.hosts = World::good("enforce").hosts;
    });
    for _ in 0..5 {
        let seen = monitor.later(MINUTE).see(&world);
        assert_eq!((seen.delivery, seen.own_side), (State::Protected, true));
        assert_eq!(codes(&seen), ["vantage-limited"].into());
        assert_eq!(seen.sts_record.present, Some(true));
    }
    assert_eq!(monitor.history.domain.mx.failures_in_a_row, 0, "they are not the domain's");
    // Older than its max_age, the policy tells nothing any more.
    assert_eq!(monitor.later(8 * DAY).see(&world).delivery, State::Unknown);
}

#[test]
fn failures_close_together_count_as_one() {
    let mut monitor = Monitor::new();
    monitor.see(&World::good("enforce"));
    let world = dark(World::good("enforce"));
    for _ in 0..10 {
        monitor.later(Duration::from_secs(5)).see(&world);
    }
    let domain = &monitor.history.domain;
    assert_eq!(
        (domain.mx.failures_in_a_row, domain.sts_record.failures_in_a_row, domain.policy_host_failures),
        (1, 1, 1),
        "in less than a minute"
    );
    monitor.later(MINUTE).see(&world);
    assert_eq!(monitor.history.domain.mx.failures_in_a_row, 2);
    monitor.now = monitor.now - DAY;
    monitor.see(&world);
    assert_eq!(monitor.history.domain.mx.failures_in_a_row, 3, "the clock was set back");
}

#[test]
fn servfail_stands_on_its_subject() {
    let failing = |change: fn(&mut World)| failures(&World::good("enforce").with(change).assess());
    let domain = || Subject::Domain(smtptls_exporter::terms::PolicyDomain::parse(DOMAIN).unwrap());
    let warning = |subject| vec![(subject, Severity::Warning)];
    assert_eq!(failing(|world| world.domain.sts_record = failed(STS)), warning(domain()));
    assert_eq!(failing(|world| world.domain.mx = failed(DOMAIN)), warning(domain()));
    assert_eq!(
        failing(|world| world.domain.tlsrpt_record = failed("_smtp._tls.example.com")),
        warning(Subject::TlsRpt("_smtp._tls.example.com".to_owned()))
    );
    assert_eq!(
        failing(|world| world.domain.policy.addresses.ip6 = Some(failed("mta-sts.example.com"))),
        warning(Subject::PolicyHost("mta-sts.example.com".to_owned()))
    );
    let host = World::good("enforce").host_lookup(MX1, |seen| seen.addresses.ip6 = Some(failed(MX1)));
    assert_eq!(failures(&host.assess()), warning(Subject::Mx(MX1.to_owned())));
    let implicit = World::good("enforce").implicit(&[A1]).with(|world| {
        world.domain.implicit = Some(addresses(DOMAIN, &[A1]));
        world.domain.implicit.as_mut().unwrap().ip6 = Some(failed(DOMAIN));
    });
    assert_eq!(failures(&implicit.assess()), warning(domain()));
}

/// Every lookup, three times: a warning, a warning, an error; the last answer is shown meanwhile.
#[test]
fn the_third_failure_in_a_row_is_an_error() {
    let changes: [fn(World) -> World; 5] = [
        |world| world.with(|world| world.domain.sts_record = failed(STS)),
        |world| world.with(|world| world.domain.mx = lookup(DOMAIN, LookupOutcome::Failed(LookupFailure::Refused))),
        |world| world.with(|world| world.domain.tlsrpt_record = failed("_smtp._tls.example.com")),
        |world| world.with(|world| world.domain.policy.addresses.ip4 = Some(failed("mta-sts.example.com"))),
        |world| world.host_lookup(MX1, |seen| seen.addresses.ip4 = Some(failed(MX1))),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut monitor = Monitor::new();
        monitor.see(&World::good("enforce"));
        let world = change(World::good("enforce"));
        let mut severities = Vec::new();
        for _ in 0..4 {
            let seen = monitor.later(MINUTE).see(&world);
            let found = failures(&seen);
            assert_eq!(found.len(), 1, "{index}: {found:?}");
            severities.push(found[0].1);
            assert_eq!(seen.sts_record.present, Some(true), "{index}");
            assert_eq!((seen.mx_records, seen.tlsrpt.present), (Some(1), Some(true)), "{index}");
            assert_eq!(seen.mx.len(), 1, "{index}");
            assert_eq!(seen.mx[0].addresses.len(), 1, "{index}");
            assert!(!codes(&seen).contains("sts-record-missing") && !seen.own_side, "{index}");
        }
        use Severity::{Error, Warning};
        assert_eq!(severities, [Warning, Warning, Error, Error], "{index}");
        assert_eq!(failures(&monitor.later(MINUTE).see(&World::good("enforce"))), [], "{index}");
        assert_eq!(failures(&monitor.later(MINUTE).see(&world))[0].1, Warning, "{index}: it counts from the start");
    }
}

/// Two failures leave the record in force; from the third on, senders that hold nothing find none.
#[test]
fn a_record_that_cannot_be_looked_up_leaves_the_cached_policy() {
    let mut monitor = Monitor::new();
    monitor.see(&World::good("enforce"));
    let world = World::good("enforce").with(|world| world.domain.sts_record = failed(STS));
    let states: Vec<State> = (0..3).map(|_| monitor.later(MINUTE).see(&world).delivery).collect();
    assert_eq!(states, [State::Protected, State::Protected, State::Partial]);
    assert_eq!(world.assess().delivery, State::Unprotected, "without a history some deliver, in the open");
}

#[test]
fn nodata_nxdomain_and_no_answer_are_told_apart() {
    let record = |outcome| World::good("enforce").with(|world| world.domain.sts_record = lookup(STS, outcome)).assess();
    for absent in [LookupOutcome::NoData, LookupOutcome::NxDomain] {
        let seen = record(absent);
        assert_eq!((seen.sts_record.lookup_success, seen.sts_record.present), (true, Some(false)));
        assert!(find(&seen, Code::StsRecordMissing).is_some() && failures(&seen).is_empty());
    }
    for failure in [
        LookupFailure::ServFail,
        LookupFailure::Refused,
        LookupFailure::Timeout,
        LookupFailure::Rcode(4),
        LookupFailure::Malformed("short".to_owned()),
        LookupFailure::CnameChain,
    ] {
        let seen = record(LookupOutcome::Failed(failure.clone()));
        assert_eq!((seen.sts_record.lookup_success, seen.sts_record.present), (false, None), "{failure}");
        assert!(find(&seen, Code::StsRecordMissing).is_none());
        let finding = find(&seen, Code::DnsLookupFailed).unwrap();
        assert!(finding.detail.contains(&failure.to_string()) && finding.detail.contains("TXT"), "{}", finding.detail);
    }
    let mx = |outcome| codes(&World::bare().mx_outcome(outcome).assess());
    assert!(mx(LookupOutcome::NxDomain).contains("domain-nonexistent"));
    assert!(codes(&World::bare().implicit(&[]).assess()).contains("mx-none"));
    assert!(codes(&World::bare().implicit(&["192.0.2.3"]).assess()).contains("mx-implicit"));
    let timeout = World::bare().mx_outcome(LookupOutcome::Failed(LookupFailure::Timeout)).assess();
    assert_eq!(timeout.delivery, State::Unknown);
    assert!(!codes(&timeout).contains("mx-none") && !codes(&timeout).contains("domain-nonexistent"));
}

#[test]
fn what_the_resolver_adds_is_told() {
    let world = World::good("enforce").with(|world| {
        world.domain.mx = failed(DOMAIN);
        world.domain.mx.extended_errors = vec![ExtendedError { code: 22, text: "no\x1b authority".into() }];
    });
    let seen = world.assess();
    let detail = &find(&seen, Code::DnsLookupFailed).unwrap().detail;
    assert!(detail.contains("extended error 22: no\\x1b authority"), "{detail}");
    assert_eq!((seen.dnssec.sts, seen.delivery), (Security::Insecure, State::Blocked));
}

/// A family that cannot be looked up does not hide the other one's new address, nor its own last one.
#[test]
fn the_families_of_a_host_are_remembered_apart() {
    let mut monitor = Monitor::new();
    monitor.see(&World::good("enforce").host(MX1, &[A1, "2001:db8::1"]));
    let moved = World::good("enforce").host(MX1, &[A2]).host_lookup(MX1, |seen| seen.addresses.ip6 = Some(failed(MX1)));
    let shown = |seen: &Assessment| seen.mx[0].addresses.iter().map(|a| a.path.address).collect::<Vec<_>>();
    let seen = monitor.later(MINUTE).see(&moved);
    assert_eq!(shown(&seen), [ip(A2), ip("2001:db8::1")]);
    let lost = World::good("enforce").host(MX1, &[]).host_lookup(MX1, |seen| {
        seen.addresses.ip4 = Some(failed(MX1));
        seen.addresses.ip6 = Some(failed(MX1));
    });
    let seen = monitor.later(MINUTE).see(&lost);
    assert_eq!(shown(&seen), [ip(A2), ip("2001:db8::1")]);
    assert_eq!(seen.senders.opportunistic.paths.open, 2, "by their last probes");
}

/// A policy host that this side cannot reach is not said to fail, and the last policy speaks for it.
#[test]
fn a_policy_host_out_of_reach_from_here_keeps_its_policy() {
    let world = World::good("enforce").fetched(|fetch| {
        fetch.response = None;
        fetch.tls = None;
        fetch.failure = Some(smtptls_exporter::facts::FetchFailure::Connect(ConnectFailure::NoRoute));
    });
    let seen = world.assess();
    assert_eq!((seen.delivery, seen.policy.fetch_success, seen.own_side), (State::Unknown, None, true));
    assert_eq!(seen.policy.result_type, None);
    assert_eq!(codes(&seen), ["vantage-limited"].into());
    let mut monitor = Monitor::new();
    monitor.see(&World::good("enforce"));
    assert_eq!(monitor.later(DAY).see(&world).delivery, State::Protected);
}

/// An address that was not probed yet is not down.
#[test]
fn what_was_not_probed_yet_is_not_judged() {
    let wide = World::good("enforce").body(&policy_body("enforce", &["*.example.com"]));
    let seen = wide.mx(MX2, &[A2]).with(|world| {
        world.hosts.values_mut().for_each(|facts| facts.addresses.retain(|address, _| *address != ip(A2)));
    });
    let seen = seen.assess();
    assert_eq!((seen.delivery, seen.senders.sts.paths.cannot_tell), (State::Protected, 1));
    assert_eq!(seen.unseen, ["1 mail host address: not probed yet"]);
    assert!(!seen.own_side);
    let unlooked = World::good("enforce").with(|world| world.hosts.clear()).assess();
    assert_eq!((unlooked.delivery, unlooked.own_side), (State::Unknown, false));
}

/// Without an MX record the lookups of the domain's own addresses decide; a failed one says nothing.
#[test]
fn an_implicit_host_that_cannot_be_looked_up_is_unknown() {
    let world =
        World::bare().implicit(&[]).with(|world| world.domain.implicit.as_mut().unwrap().ip4 = Some(failed(DOMAIN)));
    let seen = world.assess();
    assert_eq!(seen.delivery, State::Unknown);
    assert!(!codes(&seen).contains("mx-none"));
}

#[test]
fn a_probe_that_waits_is_no_older_than_it_is() {
    let mut monitor = Monitor::new();
    monitor.see(&World::good("enforce"));
    let observation = World::good("enforce").observation(monitor.now);
    monitor.later(Duration::from_secs(3600));
    let world = World::good("enforce").smtp(A1, SmtpOutcome::Done);
    let seen = monitor.judge(&world, &observation, &world.vantage);
    assert_eq!(seen.delivery, State::Protected);
}
