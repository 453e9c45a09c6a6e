use super::*;
use crate::verdict::Code;
use crate::{
    config::parse,
    facts::{
        AddressLookup, Asked, ConnectFailure, DnssecSight, Handshake, Lookup, LookupFailure, LookupOutcome, MxRecord,
        MxTarget, Offer, PhaseTimes, Security, TlsFailure, TlsSurvey, TlsaLookup, TlsaObservation, TlsaRecord,
    },
    terms::Octets,
};

mod apart;
mod at_rest;
mod counters;
mod keeping;
mod parents;
mod policies;
mod returning;
mod suspended;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const MINUTE: Duration = Duration::from_secs(60);

fn settings(text: &str) -> Arc<Settings> {
    Arc::new(parse("test.yml", text).unwrap_or_else(|errors| panic!("{errors}")).settings)
}

fn fleet(text: &str) -> Fleet {
    Fleet::new(settings(text), DnssecSight::Off)
}

fn domain(name: &str) -> PolicyDomain {
    name.parse().unwrap()
}

fn host(name: &str) -> MxHost {
    name.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn lookup<T>(name: &str, outcome: LookupOutcome<T>) -> Lookup<T> {
    Lookup {
        name: name.into(),
        at: NOW,
        outcome,
        cname: vec![],
        security: Security::Insecure,
        signatures: None,
        message_bytes: 0,
        extended_errors: vec![],
        asked: Asked::default(),
    }
}

fn found<T>(records: Vec<T>) -> LookupOutcome<T> {
    if records.is_empty() { LookupOutcome::NoData } else { LookupOutcome::Records { records, ttl: 300 } }
}

fn addresses(name: &str, of: &[&str]) -> AddressLookup {
    let all = of.iter().map(|text| ip(text)).collect();
    AddressLookup { ip4: Some(lookup(name, found(all))), ip6: None }
}

fn seen(name: &str, mx: LookupOutcome<MxRecord>, sts: LookupOutcome<Vec<Octets>>) -> DomainObservation {
    DomainObservation {
        domain: domain(name),
        started_at: NOW,
        duration: Duration::from_millis(5),
        sts_record: lookup(name, sts),
        tlsrpt_record: lookup(name, LookupOutcome::NoData),
        mx: lookup(name, mx),
        implicit: None,
        policy: PolicyHostObservation {
            host: format!("mta-sts.{name}"),
            addresses: addresses("mta-sts", &[]),
            resolve: Duration::ZERO,
            fetches: vec![],
            skipped: 0,
        },
        rua: vec![],
        resolver_healthy: true,
        dnssec_healthy: true,
    }
}

/// Looks at a domain with these MX hosts.
fn look(fleet: &mut Fleet, name: &str, mx: &[&str]) -> Wanted {
    let records = mx.iter().map(|name| MxRecord { preference: 10, target: MxTarget::Host(host(name)) }).collect();
    let hosts = mx.iter().map(|name| host(name)).collect();
    fleet.domain_seen(seen(name, found(records), LookupOutcome::NoData), (hosts, 0))
}

fn look_up(fleet: &mut Fleet, name: &str, of: &[&str], now: Timestamp) -> Wanted {
    let observation = HostObservation {
        host: host(name),
        at: now,
        addresses: addresses(name, of),
        tlsa: None,
        resolver_healthy: true,
        dnssec_healthy: true,
    };
    fleet.host_seen(observation, Some(20), now)
}

fn probe(fleet: &mut Fleet, name: &str, address: &str, outcome: SmtpOutcome) -> Wanted {
    probe_at(NOW, fleet, name, address, outcome)
}

fn probe_at(at: Timestamp, fleet: &mut Fleet, name: &str, address: &str, outcome: SmtpOutcome) -> Wanted {
    fleet.address_seen(AddressObservation {
        host: host(name),
        address: ip(address),
        at,
        duration: Duration::from_millis(5),
        times: PhaseTimes::default(),
        outcome,
        banner: None,
        capabilities: None,
        tls: None,
        cleartext_after_starttls: false,
        said: Vec::new(),
    })
}

const TWO: &str = "domains: [a.example, b.example]";

#[test]
fn a_host_that_comes_back_goes_on_with_what_was_known() {
    let mut fleet = fleet("domains: [a.example]");
    let (name, address) = (host("mx.a.example"), ip("192.0.2.1"));
    look(&mut fleet, "a.example", &["mx.a.example"]);
    look_up(&mut fleet, "mx.a.example", &["192.0.2.1"], NOW);
    probe(&mut fleet, "mx.a.example", "192.0.2.1", SmtpOutcome::Done);
    assert_eq!(fleet.counts(), [1, 1, 1]);
    look(&mut fleet, "a.example", &["mx.b.example"]);
    assert_eq!(fleet.counts(), [1, 1, 0]);
    assert!(fleet.refresh(NOW).unwrap().host(&name).is_none());
    let wanted = look(&mut fleet, "a.example", &["mx.a.example"]);
    assert_eq!(wanted.now, [Target::Host(name.clone()), Target::Address(name.clone(), address)]);
    assert_eq!(fleet.counts(), [1, 1, 1]);
    assert!(fleet.hosts[&name].history.addresses.contains_key(&address));
    let shown = fleet.refresh(NOW).unwrap();
    assert!(shown.host(&name).is_some_and(|state| state.domains == 1 && state.paths.len() == 1));
}

#[test]
fn a_shared_host_is_wanted_once_and_goes_with_its_last_domain() {
    let mut fleet = fleet(TWO);
    assert_eq!(look(&mut fleet, "a.example", &["mx.p.example"]).now, [Target::Host(host("mx.p.example"))]);
    assert_eq!(look(&mut fleet, "b.example", &["mx.p.example"]).now, []);
    look_up(&mut fleet, "mx.p.example", &["192.0.2.1"], NOW);
    let snapshot = fleet.refresh(NOW).unwrap();
    let shared = snapshot.host(&host("mx.p.example")).unwrap();
    assert_eq!((shared.domains, shared.paths.len()), (2, 1));

    assert_eq!(look(&mut fleet, "a.example", &["mx.a.example"]).never, []);
    let gone = look(&mut fleet, "b.example", &["mx.a.example"]).never;
    assert_eq!(gone, [Target::Address(host("mx.p.example"), ip("192.0.2.1")), Target::Host(host("mx.p.example"))]);
    assert!(!fleet.refresh(NOW).unwrap().hosts.contains("mx.p.example"));
}

#[test]
fn an_address_that_went_during_its_probe_is_not_probed_again() {
    let mut fleet = fleet("domains: [a.example]");
    look(&mut fleet, "a.example", &["mx.a.example"]);
    look_up(&mut fleet, "mx.a.example", &["192.0.2.1"], NOW);
    assert!(probe(&mut fleet, "mx.a.example", "192.0.2.1", SmtpOutcome::Done).again.is_some());
    look_up(&mut fleet, "mx.a.example", &["192.0.2.2"], NOW);
    assert_eq!(probe(&mut fleet, "mx.a.example", "192.0.2.1", SmtpOutcome::Done).again, None);
}

#[test]
fn a_list_that_could_not_be_looked_up_stays() {
    let mut fleet = fleet(TWO);
    look(&mut fleet, "a.example", &["mx.p.example"]);
    let failed = seen("a.example", LookupOutcome::Failed(LookupFailure::Timeout), LookupOutcome::NoData);
    let wanted = fleet.domain_seen(failed, (vec![], 0));
    assert_eq!(wanted.never, []);
    let snapshot = fleet.refresh(NOW).unwrap();
    assert!(snapshot.hosts.contains("mx.p.example"));
    let assessment = snapshot.state(&domain("a.example")).unwrap().assessment.clone().unwrap();
    assert!(!assessment.mx_lookup_success && assessment.mx.len() == 1);
}

#[test]
fn failures_are_looked_at_sooner_with_back_off() {
    let mut fleet = fleet(TWO);
    let again = |wanted: Wanted| wanted.again.unwrap().as_secs();
    assert_eq!(again(look(&mut fleet, "a.example", &["mx.p.example"])), 600);
    let failed = || seen("a.example", LookupOutcome::Failed(LookupFailure::ServFail), LookupOutcome::NoData);
    let waits: Vec<u64> = (0..6).map(|_| again(fleet.domain_seen(failed(), (vec![], 0)))).collect();
    assert_eq!(waits, [60, 120, 240, 480, 600, 600]);
    assert_eq!(again(look(&mut fleet, "a.example", &["mx.p.example"])), 600);

    look_up(&mut fleet, "mx.p.example", &["192.0.2.1"], NOW);
    let mut now = NOW;
    let mut at = |outcome| {
        now = now + MINUTE;
        again(probe_at(now, &mut fleet, "mx.p.example", "192.0.2.1", outcome))
    };
    let refused = || SmtpOutcome::ConnectFailed(ConnectFailure::Refused);
    assert_eq!([at(refused()), at(refused()), at(refused())], [60, 120, 240]);
    assert_eq!(at(SmtpOutcome::Done), 1800);
    // Whom this monitor annoys is not asked more often for it; nor is anybody for this side's own trouble.
    let turned_away = SmtpOutcome::Rejected { phase: crate::facts::Phase::Banner, code: 554, text: "no".into() };
    assert_eq!(at(turned_away), 1800);
    assert_eq!(at(SmtpOutcome::ConnectFailed(ConnectFailure::NoRoute)), 1800);
}

#[test]
fn a_policy_host_that_failed_is_left_in_peace() {
    use crate::facts::{FetchFailure, FetchPhase, FetchTimes, PolicyFetch};
    let mut fleet = fleet(TWO);
    let name = domain("a.example");
    assert!(fleet.kept_policy(&name, NOW).is_none());
    let record = || found(vec![vec![Octets::from("v=STSv1; id=1")]]);
    let mut observation = seen("a.example", LookupOutcome::NoData, record());
    observation.policy.fetches.push(PolicyFetch {
        address: ip("192.0.2.9"),
        at: NOW,
        times: FetchTimes::default(),
        tls: None,
        response: None,
        failure: Some(FetchFailure::Timeout(FetchPhase::Connect)),
    });
    let wanted = fleet.domain_seen(observation, (vec![], 0));
    assert_eq!(wanted.again, Some(5 * MINUTE), "RFC 8461 §3.3");
    assert!(fleet.kept_policy(&name, NOW + MINUTE).is_some());
    assert!(fleet.kept_policy(&name, NOW + 5 * MINUTE).is_none());
    assert!(fleet.kept_policy(&name, NOW - 60 * MINUTE).is_none(), "a clock that was set back leaves nobody unasked");
    // Without a record nobody misses the policy.
    fleet.domain_seen(seen("a.example", LookupOutcome::NoData, LookupOutcome::NoData), (vec![], 0));
    assert!(fleet.kept_policy(&name, NOW).is_none());
}

#[test]
fn an_address_that_worked_stays_a_day_and_one_that_failed_goes_at_once() {
    let mut fleet = fleet(TWO);
    look(&mut fleet, "a.example", &["mx.p.example"]);
    let new = look_up(&mut fleet, "mx.p.example", &["192.0.2.1", "192.0.2.2"], NOW).now;
    assert_eq!(new.len(), 2);
    probe(&mut fleet, "mx.p.example", "192.0.2.1", SmtpOutcome::Done);
    probe(&mut fleet, "mx.p.example", "192.0.2.2", SmtpOutcome::ConnectFailed(ConnectFailure::Refused));

    let wanted = look_up(&mut fleet, "mx.p.example", &["192.0.2.3"], NOW);
    assert_eq!(wanted.now, [Target::Address(host("mx.p.example"), ip("192.0.2.3"))]);
    assert_eq!(wanted.never.len(), 2, "neither is probed any more");
    let shown = |fleet: &mut Fleet, now| -> Vec<IpAddr> {
        let snapshot = fleet.refresh(now).unwrap();
        snapshot.host(&host("mx.p.example")).unwrap().paths.iter().map(|path| path.address).collect()
    };
    assert_eq!(shown(&mut fleet, NOW), [ip("192.0.2.1"), ip("192.0.2.3")]);
    // It is no path of the domain meanwhile.
    let state = fleet.snapshot.state(&domain("a.example")).unwrap();
    assert_eq!(state.assessment.as_ref().unwrap().mx[0].addresses.len(), 1);

    look_up(&mut fleet, "mx.p.example", &["192.0.2.3"], NOW + UNLISTED_KEPT);
    assert_eq!(shown(&mut fleet, NOW + UNLISTED_KEPT), [ip("192.0.2.3")]);
}

#[test]
fn new_settings_touch_only_what_changed() {
    let mut fleet = fleet(TWO);
    look(&mut fleet, "a.example", &["mx.p.example"]);
    look(&mut fleet, "b.example", &["mx.b.example"]);
    fleet.refresh(NOW);
    let wanted = fleet.configure(settings("domains: [a.example, c.example]"), DnssecSight::Off);
    assert_eq!(wanted.now, [Target::Domain(domain("c.example"))]);
    assert_eq!(wanted.never, [Target::Host(host("mx.b.example")), Target::Domain(domain("b.example"))]);
    let snapshot = fleet.refresh(NOW).unwrap();
    assert!(snapshot.state(&domain("a.example")).unwrap().assessment.is_some());
    assert!(snapshot.state(&domain("c.example")).unwrap().assessment.is_none());
    assert_eq!(snapshot.domains.len(), 2);
    assert!(fleet.refresh(NOW).is_none(), "nothing changed since");
}

#[test]
fn states_that_did_not_change_are_shared_between_snapshots() {
    let mut fleet = fleet(TWO);
    look(&mut fleet, "a.example", &["mx.a.example"]);
    look(&mut fleet, "b.example", &["mx.b.example"]);
    let before = fleet.refresh(NOW).unwrap();
    look(&mut fleet, "a.example", &["mx.a.example"]);
    let after = fleet.refresh(NOW).unwrap();
    let same = |name: &str| Arc::ptr_eq(before.domains.get(name).unwrap(), after.domains.get(name).unwrap());
    assert!(!same("a.example") && same("b.example"));
}

#[test]
fn dead_networks_are_this_side_only_when_they_are_three_and_nobody_answers() {
    let mut fleet = fleet(TWO);
    look(&mut fleet, "a.example", &["mx.a.example"]);
    look_up(&mut fleet, "mx.a.example", &["192.0.2.1", "198.51.100.1", "203.0.113.1"], NOW);
    let timeout = || SmtpOutcome::Timeout(crate::facts::Phase::Connect);
    let blocked = |fleet: &mut Fleet| fleet.refresh(NOW).unwrap().vantage.smtp_blocked;
    probe(&mut fleet, "mx.a.example", "192.0.2.1", timeout());
    probe(&mut fleet, "mx.a.example", "198.51.100.1", timeout());
    assert!(!blocked(&mut fleet));
    probe(&mut fleet, "mx.a.example", "203.0.113.1", timeout());
    assert!(blocked(&mut fleet));
    probe(&mut fleet, "mx.a.example", "203.0.113.1", SmtpOutcome::Done);
    assert!(!blocked(&mut fleet));
}

fn shut() -> SmtpOutcome {
    SmtpOutcome::Timeout(crate::facts::Phase::Connect)
}

/// Five hosts in five networks, all of which answered.
fn five_that_answered(fleet: &mut Fleet) {
    look(fleet, "a.example", &["mx.a.example"]);
    let addresses = ["192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "198.18.0.1"];
    look_up(fleet, "mx.a.example", &addresses, NOW);
    for address in addresses {
        assert_eq!(probe(fleet, "mx.a.example", address, SmtpOutcome::Done).now, []);
    }
}

#[test]
fn who_answered_last_is_asked_at_once_where_port_25_may_be_shut_off() {
    let mut fleet = fleet(TWO);
    five_that_answered(&mut fleet);
    let at = |address: &str| Target::Address(host("mx.a.example"), ip(address));
    let blocked = |fleet: &mut Fleet| fleet.refresh(NOW).unwrap().vantage.smtp_blocked;
    assert_eq!(probe(&mut fleet, "mx.a.example", "192.0.2.1", shut()).now, []);
    assert_eq!(probe(&mut fleet, "mx.a.example", "198.51.100.1", shut()).now, []);
    let asked = probe(&mut fleet, "mx.a.example", "203.0.113.1", shut()).now;
    assert_eq!(asked.len(), 2);
    assert!(asked.contains(&at("192.88.99.1")) && asked.contains(&at("198.18.0.1")), "{asked:?}");
    assert!(!blocked(&mut fleet), "nobody who was asked has failed yet");
    assert_eq!(probe(&mut fleet, "mx.a.example", "192.88.99.1", shut()).now, []);
    assert!(!blocked(&mut fleet), "one host may fail on its own");
    probe(&mut fleet, "mx.a.example", "198.18.0.1", shut());
    assert!(blocked(&mut fleet));
    probe(&mut fleet, "mx.a.example", "198.51.100.1", SmtpOutcome::Done);
    assert!(!blocked(&mut fleet), "whoever answers ends it");
}

#[test]
fn a_provider_that_dies_in_three_networks_is_not_this_side() {
    let mut fleet = fleet(TWO);
    five_that_answered(&mut fleet);
    let dead = ["192.0.2.1", "198.51.100.1", "203.0.113.1"];
    for address in dead {
        probe(&mut fleet, "mx.a.example", address, shut());
    }
    probe(&mut fleet, "mx.a.example", "198.18.0.1", SmtpOutcome::Done);
    assert!(!fleet.refresh(NOW).unwrap().vantage.smtp_blocked);
    // They go on failing: those that answer are not asked each time.
    for address in dead {
        assert_eq!(probe(&mut fleet, "mx.a.example", address, shut()).now, []);
    }
    assert!(!fleet.refresh(NOW).unwrap().vantage.smtp_blocked);
}

#[test]
fn a_refusal_and_a_rejection_come_from_the_peer_and_end_the_doubt() {
    for outcome in [
        SmtpOutcome::ConnectFailed(ConnectFailure::Refused),
        SmtpOutcome::Rejected { phase: crate::facts::Phase::Banner, code: 421, text: Octets(b"busy".to_vec()) },
    ] {
        let mut fleet = fleet(TWO);
        five_that_answered(&mut fleet);
        probe(&mut fleet, "mx.a.example", "192.0.2.1", shut());
        probe(&mut fleet, "mx.a.example", "198.51.100.1", shut());
        probe(&mut fleet, "mx.a.example", "192.88.99.1", outcome);
        assert_eq!(probe(&mut fleet, "mx.a.example", "203.0.113.1", shut()).now, []);
    }
}

#[test]
fn a_resolver_that_answers_nobody_is_this_side() {
    let mut fleet = fleet(TWO);
    let timeout = LookupFailure::Timeout;
    let mut dead = seen("a.example", LookupOutcome::Failed(timeout.clone()), LookupOutcome::Failed(timeout.clone()));
    dead.tlsrpt_record.outcome = LookupOutcome::Failed(timeout);
    dead.resolver_healthy = false;
    fleet.domain_seen(dead, (vec![], 0));
    let snapshot = fleet.refresh(NOW).unwrap();
    assert!(snapshot.vantage.resolver_failing);
    let assessment = snapshot.state(&domain("a.example")).unwrap().assessment.clone().unwrap();
    assert!(assessment.own_side);
    assert_eq!(assessment.findings.iter().map(|found| found.code).collect::<Vec<_>>(), [Code::VantageLimited]);
    look_later(&mut fleet, NOW + MINUTE, NOW + MINUTE);
    assert!(!fleet.refresh(NOW + MINUTE).unwrap().vantage.resolver_failing);
}

/// Looks at a domain at a time, and gets an answer that was got at another.
fn look_later(fleet: &mut Fleet, at: Timestamp, answered_at: Timestamp) {
    let mut later = seen("b.example", LookupOutcome::NxDomain, LookupOutcome::NoData);
    later.started_at = at;
    later.mx.at = answered_at;
    fleet.domain_seen(later, (vec![], 0));
}

fn resolver_dies(fleet: &mut Fleet) {
    let mut dead = seen("a.example", LookupOutcome::Failed(LookupFailure::Timeout), LookupOutcome::NoData);
    dead.resolver_healthy = false;
    fleet.domain_seen(dead, (vec![], 0));
}

#[test]
fn an_answer_that_was_there_before_does_not_end_an_outage_of_the_resolver() {
    let mut fleet = fleet(TWO);
    resolver_dies(&mut fleet);
    let failing = |fleet: &mut Fleet, at| fleet.refresh(at).unwrap().vantage.resolver_failing;
    assert!(failing(&mut fleet, NOW));
    let half = NOW + MINUTE / 2;
    for (what, at, answered_at) in [
        ("a look that was under way", NOW, NOW),
        ("from the cache", NOW + HOUR, NOW - MINUTE),
        ("sooner than a probe that failed is repeated", half, half),
    ] {
        look_later(&mut fleet, at, answered_at);
        assert!(failing(&mut fleet, at), "{what}");
    }
    look_later(&mut fleet, NOW + MINUTE, NOW + MINUTE);
    assert!(!failing(&mut fleet, NOW + MINUTE));

    // A name that is broken in itself: the resolver was asked for another.
    resolver_dies(&mut fleet);
    assert!(failing(&mut fleet, NOW));
    let mut broken = seen("b.example", LookupOutcome::Failed(LookupFailure::ServFail), LookupOutcome::NoData);
    broken.started_at = NOW + MINUTE;
    fleet.domain_seen(broken, (vec![], 0));
    assert!(!failing(&mut fleet, NOW + MINUTE));
}

/// A handshake that failed is one that TLS was reached for, and needs no certificate here.
fn reach_tls(fleet: &mut Fleet, name: &str, address: &str) -> Wanted {
    probe(fleet, name, address, SmtpOutcome::HandshakeFailed(TlsFailure::Alert("handshake_failure".into())))
}

fn survey(name: &str, address: &str, offer: Offer) -> TlsSurvey {
    let handshake = || Handshake::NotSeen("not looked at in this test".into());
    TlsSurvey {
        host: host(name),
        address: ip(address),
        at: NOW,
        duration: None,
        tls10: offer.clone(),
        tls11: offer,
        without_sni: handshake(),
        unknown_sni: handshake(),
        base_sni: None,
    }
}

fn shown_surveys(fleet: &mut Fleet, name: &str) -> Vec<Offer> {
    let snapshot = fleet.refresh(NOW).unwrap();
    snapshot
        .host(&host(name))
        .unwrap()
        .paths
        .iter()
        .filter_map(|path| Some(path.survey.as_ref()?.tls10.clone()))
        .collect()
}

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn an_address_is_surveyed_once_it_reached_tls() {
    let mut fleet = fleet(TWO);
    look(&mut fleet, "a.example", &["mx.a.example"]);
    look(&mut fleet, "b.example", &["mx.b.example"]);
    look_up(&mut fleet, "mx.a.example", &["192.0.2.1"], NOW);
    let (name, address) = ("mx.a.example", "192.0.2.1");
    for outcome in [
        SmtpOutcome::ConnectFailed(ConnectFailure::Refused),
        SmtpOutcome::StarttlsNotOffered,
        SmtpOutcome::HandshakeFailed(TlsFailure::NotTls("x".into())),
    ] {
        assert_eq!(probe(&mut fleet, name, address, outcome).spread, []);
    }
    let target = Target::Survey(host(name), ip(address));
    let within = Duration::from_secs(1);
    let expected = Spread { target: target.clone(), after: Duration::ZERO, within };
    assert_eq!(reach_tls(&mut fleet, name, address).spread, [expected], "spread by the number of hosts");
    assert_eq!(reach_tls(&mut fleet, name, address).spread, [], "it is planned already");

    assert_eq!(fleet.survey_due(&host(name), ip(address)), Some(None));
    // As soon as it is due and the address does not get so far any more, it waits for better days.
    probe(&mut fleet, name, address, SmtpOutcome::ConnectFailed(ConnectFailure::Refused));
    assert_eq!(fleet.survey_due(&host(name), ip(address)), None);
    assert_eq!(reach_tls(&mut fleet, name, address).spread.len(), 1);

    // The address goes, and with it the survey.
    let gone = look_up(&mut fleet, name, &["192.0.2.2"], NOW).never;
    assert_eq!(gone, [Target::Address(host(name), ip(address)), target]);
}

#[test]
fn a_survey_comes_once_a_day_and_sooner_where_little_was_seen() {
    let mut fleet = fleet("domains: [a.example]");
    let (name, address) = ("mx.a.example", "192.0.2.1");
    look(&mut fleet, "a.example", &[name]);
    look_up(&mut fleet, name, &[address], NOW);
    reach_tls(&mut fleet, name, address);
    let done = |offer: Offer| {
        let failed = Handshake::Failed(TlsFailure::Alert("unrecognized_name".into()));
        TlsSurvey { without_sni: failed, ..survey(name, address, offer) }
    };
    let waits: Vec<_> = (0..7).map(|_| fleet.survey_seen(done(Offer::Accepted)).again.unwrap()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 24, 24].map(|hours| hours * HOUR));
    assert_eq!(shown_surveys(&mut fleet, name), [Offer::Accepted]);

    let blank = survey(name, address, Offer::NotSeen("no answer in time".into()));
    assert!(blank.is_blank());
    fleet.survey_seen(blank);
    assert_eq!(shown_surveys(&mut fleet, name), [Offer::Accepted], "knowledge stays");
    fleet.survey_seen(done(Offer::Refused));
    assert_eq!(shown_surveys(&mut fleet, name), [Offer::Refused]);

    look_up(&mut fleet, name, &["192.0.2.2"], NOW);
    assert_eq!(fleet.survey_seen(done(Offer::Refused)).again, None, "it went meanwhile");
}

#[test]
fn an_address_that_comes_back_keeps_its_rhythm() {
    let mut fleet = fleet("domains: [a.example]");
    let (name, address) = ("mx.a.example", "192.0.2.1");
    look(&mut fleet, "a.example", &[name]);
    look_up(&mut fleet, name, &[address], NOW);
    reach_tls(&mut fleet, name, address);
    fleet.survey_seen(survey(name, address, Offer::Refused));
    // It stays known while it is out only where it worked.
    probe(&mut fleet, name, address, SmtpOutcome::Done);
    look_up(&mut fleet, name, &["192.0.2.2"], NOW);
    look_up(&mut fleet, name, &[address], NOW);
    let spread = reach_tls(&mut fleet, name, address).spread;
    assert_eq!(spread.iter().map(|spread| spread.after).collect::<Vec<_>>(), [DAY]);
}

#[test]
fn surveys_can_be_switched_off_and_on() {
    let mut fleet = fleet("domains: [a.example]");
    let (name, address) = ("mx.a.example", "192.0.2.1");
    look(&mut fleet, "a.example", &[name]);
    look_up(&mut fleet, name, &[address], NOW);
    reach_tls(&mut fleet, name, address);
    fleet.survey_seen(survey(name, address, Offer::Accepted));
    let off = settings("domains: [a.example]\nprobe: {legacy_tls: false}");
    assert_eq!(fleet.configure(off, DnssecSight::Off).never, [Target::Survey(host(name), ip(address))]);
    assert_eq!(shown_surveys(&mut fleet, name), []);
    assert_eq!(reach_tls(&mut fleet, name, address).spread, []);
    // One was under way.
    assert_eq!(fleet.survey_seen(survey(name, address, Offer::Accepted)).again, None);
    assert_eq!(shown_surveys(&mut fleet, name), []);
    fleet.configure(settings("domains: [a.example]"), DnssecSight::Off);
    assert_eq!(reach_tls(&mut fleet, name, address).spread.len(), 1);
}

#[test]
fn the_base_domain_is_that_of_the_first_lookup_with_records() {
    let mut fleet = fleet("domains: [a.example]");
    let (name, address) = ("mx.a.example", "192.0.2.1");
    look(&mut fleet, "a.example", &[name]);
    let record = TlsaRecord { usage: 3, selector: 1, matching: 1, data: Octets::from("x") };
    let tlsa = |base: &str, records| TlsaLookup { base: host(base), lookup: lookup(base, found(records)) };
    let observation = HostObservation {
        host: host(name),
        at: NOW,
        addresses: addresses(name, &[address]),
        tlsa: Some(TlsaObservation {
            alias: None,
            lookups: vec![tlsa("mail.provider.example", vec![]), tlsa(name, vec![record])],
        }),
        resolver_healthy: true,
        dnssec_healthy: true,
    };
    fleet.host_seen(observation, Some(20), NOW);
    reach_tls(&mut fleet, name, address);
    assert_eq!(fleet.survey_due(&host(name), ip(address)), Some(Some(host(name))));
}

#[test]
fn what_can_be_seen_of_dnssec_follows_the_resolver() {
    let mut fleet = fleet(TWO);
    look(&mut fleet, "a.example", &["mx.p.example"]);
    fleet.set_dnssec(DnssecSight::Validating);
    assert_eq!(fleet.refresh(NOW).unwrap().vantage.dnssec, DnssecSight::Validating);
    fleet.set_dnssec(DnssecSight::Validating);
    assert!(fleet.refresh(NOW).is_none(), "nothing changed");
    fleet.set_dnssec(DnssecSight::Blind);
    assert_eq!(fleet.refresh(NOW).unwrap().vantage.dnssec, DnssecSight::Blind);
}
