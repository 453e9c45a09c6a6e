//! A small world for tests: a healthy domain, a broken one, one that this side cannot see, and one not probed yet.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use crate::{
    facts::{
        AddressLookup, AddressObservation, Asked, CertificateFacts, ChainFacts, ConnectFailure, DnssecSight,
        FetchFailure, FetchTimes, Handshake, HostObservation, KeyFacts, Lookup, LookupFailure, LookupOutcome, Offer,
        PathToRoot, Phase, PhaseTimes, PolicyFetch, PolicyHostObservation, Security, SignatureFacts, SmtpOutcome,
        TlsFacts, TlsSurvey, TlsVersion, TlsaLookup, TlsaObservation, TlsaRecord, Transport, Vantage,
    },
    monitor::{DomainState, HostState, Renderer, Snapshot},
    protocol::{
        dane::{DaneResult, RecordSight, Verification},
        mta_sts::{Mode, MxPattern, Policy},
        tls_rpt::{Destination, PolicyType, Quirk, RefusalReason, ResultType, Scheme},
    },
    store::IntakeCounters,
    terms::{MaxAge, MxHost, Octets, PolicyDomain, PolicyId, Timestamp},
    verdict::{
        AddressAssessment, Assessment, Certainty, CertificateAssessment, Code, Counter, CounterKey, Counters,
        DnssecStates, DomainReports, EnforceCondition, EnforceReadiness, Finding, Fixer, HistoryAssessment, HostDane,
        MxAssessment, NEWBORN_FOR, Outcome, PathAssessment, PolicyAssessment, Reach, RecordAssessment, SafeToRemove,
        SeenMode, SenderState, Senders, Severity, StarttlsState, State, Subject, Tally, TlsRptAssessment,
    },
};

/// 2026-11-23T20:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_464_000);
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn domain(name: &str) -> PolicyDomain {
    PolicyDomain::parse(name).unwrap()
}

pub(crate) fn host(name: &str) -> MxHost {
    MxHost::parse(name).unwrap()
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn finding(code: Code, severity: Severity, subject: Subject) -> Finding {
    Finding {
        code,
        severity,
        subject,
        fixer: Fixer::You,
        detail: "seen".into(),
        fix: "mend it".into(),
        result_type: code.row().result_type,
        since: None,
        times: 0,
        accepted: None,
    }
}

pub(crate) fn chain(issuer: &str, not_after: Timestamp, path: PathToRoot) -> Arc<ChainFacts> {
    let leaf = CertificateFacts {
        subject: "CN=mx".into(),
        issuer: format!("CN={issuer}"),
        issuer_cn: issuer.into(),
        common_name: None,
        names: vec!["mx1.example.com".into()],
        serial: "0a1b".into(),
        not_before: NOW - 30 * DAY,
        not_after,
        fingerprint_sha256: "ab".repeat(32),
        spki_sha256: "cd".repeat(32),
        key: KeyFacts { algorithm: "ec".into(), bits: 256 },
        signature_algorithm: "ecdsa-with-SHA256".into(),
        self_issued: false,
        is_ca: false,
    };
    Arc::new(ChainFacts { leaf, others: Vec::new(), der: Vec::new(), unreadable: 0, path })
}

pub(crate) fn good_certificate() -> CertificateAssessment {
    let chain = chain("Test CA", NOW + 60 * DAY, PathToRoot::Trusted { not_after: NOW + 60 * DAY });
    CertificateAssessment { chain, chain_valid: true, name_match: true, in_dates: true }
}

/// Expired, self-signed, for another name: its dates are known all the same.
pub(crate) fn bad_certificate() -> CertificateAssessment {
    let chain = chain("evil\"\\\n", NOW - 3 * DAY, PathToRoot::SelfSigned);
    CertificateAssessment { chain, chain_valid: false, name_match: false, in_dates: false }
}

pub(crate) fn observation(name: &str, ip: &str, outcome: SmtpOutcome) -> AddressObservation {
    let connected = !matches!(outcome, SmtpOutcome::ConnectFailed(_) | SmtpOutcome::Timeout(Phase::Connect));
    let offered = !matches!(outcome, SmtpOutcome::StarttlsNotOffered);
    let ms = |milliseconds| connected.then(|| Duration::from_millis(milliseconds));
    AddressObservation {
        host: host(name),
        address: address(ip),
        at: NOW,
        duration: Duration::from_millis(60),
        times: PhaseTimes { connect: ms(5), banner: ms(10), ehlo: ms(5), starttls: ms(5), tls: ms(20), ehlo_tls: None },
        outcome,
        banner: None,
        capabilities: connected.then(|| if offered { vec!["STARTTLS".into()] } else { vec!["SIZE".into()] }),
        tls: None,
        cleartext_after_starttls: false,
        said: Vec::new(),
    }
}

/// A path whose latest probe counts.
pub(crate) fn path(latest: AddressObservation, reach: Reach, starttls: StarttlsState) -> PathAssessment {
    let latest = Arc::new(latest);
    let done = latest.outcome == SmtpOutcome::Done;
    PathAssessment {
        survey: None,
        dane: None,
        dane_valid: None,
        another_answered: true,
        address: latest.address,
        judged: (reach == Reach::Up).then(|| Arc::clone(&latest)),
        reach,
        starttls: Some(starttls),
        certificate: None,
        consecutive_failures: if done { 0 } else { 4 },
        last_success_at: done.then_some(NOW),
        result_type: None,
        latest: Some(latest),
    }
}

pub(crate) fn good_path(name: &str, ip: &str) -> PathAssessment {
    let certificate = good_certificate();
    let mut observation = observation(name, ip, SmtpOutcome::Done);
    observation.tls = Some(TlsFacts {
        version: TlsVersion::Tls13,
        cipher: "TLS_AES_128_GCM_SHA256".into(),
        chain: Arc::clone(&certificate.chain),
        completed: true,
    });
    let survey = TlsSurvey {
        host: host(name),
        address: address(ip),
        at: NOW,
        duration: None,
        tls10: Offer::Refused,
        tls11: Offer::Accepted,
        without_sni: Handshake::NotSeen("not asked".into()),
        unknown_sni: Handshake::NotSeen("not asked".into()),
        base_sni: None,
    };
    let dane = Verification {
        result: DaneResult::Match { record: 0, depth: Some(0) },
        records: vec![RecordSight::Match { depth: Some(0) }, RecordSight::NoMatch],
        stale: Vec::new(),
        rollover: vec![1],
    };
    PathAssessment {
        certificate: Some(certificate),
        survey: Some(Arc::new(survey)),
        dane: Some(dane),
        dane_valid: Some(true),
        ..path(observation, Reach::Up, StarttlsState::Ok)
    }
}

/// The same answer, as DNSSEC proves it.
fn secured<T>(lookup: Lookup<T>, ends_in: Duration) -> Lookup<T> {
    let signatures = SignatureFacts {
        expires: NOW + ends_in,
        inception: NOW - DAY,
        covers: format!("{} A", lookup.name),
        weak: None,
    };
    Lookup { security: Security::Secure, signatures: Some(signatures), ..lookup }
}

/// A signed host with a record for the live key and one for the next.
fn signed_host_observation(name: &str, ip4: &[&str], ip6: &[&str]) -> Arc<HostObservation> {
    let mut seen = (*host_observation(name, ip4, ip6)).clone();
    let AddressLookup { ip4, ip6 } = &mut seen.addresses;
    for family in [ip4, ip6].into_iter().flatten() {
        *family = secured(family.clone(), 9 * DAY);
    }
    let record = |byte: u8| TlsaRecord { usage: 3, selector: 1, matching: 1, data: Octets(vec![byte; 32]) };
    let outcome = LookupOutcome::Records { records: vec![record(0xcd), record(0xef)], ttl: 3600 };
    let tlsa = Lookup {
        name: format!("_25._tcp.{name}"),
        at: NOW,
        outcome,
        cname: Vec::new(),
        security: Security::Secure,
        signatures: None,
        message_bytes: 180,
        extended_errors: Vec::new(),
        asked: Asked::default(),
    };
    let lookup = secured(tlsa, 8 * DAY);
    seen.tlsa = Some(TlsaObservation { alias: None, lookups: vec![TlsaLookup { base: host(name), lookup }] });
    Arc::new(seen)
}

fn lookup(name: &str, outcome: LookupOutcome<IpAddr>) -> Lookup<IpAddr> {
    Lookup {
        name: name.into(),
        at: NOW,
        outcome,
        cname: Vec::new(),
        security: Security::Insecure,
        signatures: None,
        message_bytes: 0,
        extended_errors: Vec::new(),
        asked: Asked::default(),
    }
}

pub(crate) fn host_observation(name: &str, ip4: &[&str], ip6: &[&str]) -> Arc<HostObservation> {
    let answer = |ips: &[&str]| match ips {
        [] => LookupOutcome::NoData,
        ips => LookupOutcome::Records { records: ips.iter().map(|ip| address(ip)).collect(), ttl: 300 },
    };
    let addresses = AddressLookup { ip4: Some(lookup(name, answer(ip4))), ip6: Some(lookup(name, answer(ip6))) };
    Arc::new(HostObservation {
        host: host(name),
        at: NOW,
        addresses,
        tlsa: None,
        resolver_healthy: true,
        dnssec_healthy: true,
    })
}

pub(crate) fn failed_host_observation(name: &str) -> Arc<HostObservation> {
    let failed = || Some(lookup(name, LookupOutcome::Failed(LookupFailure::ServFail)));
    let addresses = AddressLookup { ip4: failed(), ip6: failed() };
    Arc::new(HostObservation {
        host: host(name),
        at: NOW,
        addresses,
        tlsa: None,
        resolver_healthy: true,
        dnssec_healthy: true,
    })
}

fn mx(name: &str, preference: u16, paths: &[PathAssessment], in_policy: Option<bool>) -> MxAssessment {
    let addresses = paths
        .iter()
        .map(|path| AddressAssessment {
            path: Arc::new(path.clone()),
            opportunistic: Outcome::Open,
            sts: Outcome::Secure,
            dane: Outcome::Open,
            dane_verdict: None,
            dane_word: None,
        })
        .collect();
    let host = MxHost::parse(name).ok();
    MxAssessment {
        target: name.into(),
        host,
        preference,
        implicit: false,
        in_policy,
        lookup: None,
        addresses,
        dane: HostDane::new(None, None, true),
        skipped: 0,
    }
}

/// Nothing could be seen.
pub(crate) fn dark(name: &str) -> Assessment {
    let unseen = SenderState::from_paths(std::iter::empty().collect());
    let indeterminate = Security::Indeterminate;
    Assessment {
        domain: domain(name),
        checked_at: NOW,
        duration: Duration::from_millis(800),
        delivery: State::Unknown,
        senders: Senders::all(unseen),
        findings: Vec::new(),
        expectations: Vec::new(),
        dnssec_sight: DnssecSight::Validating,
        mx_signatures: None,
        dnssec: DnssecStates { mx: indeterminate, sts: indeterminate, tlsrpt: indeterminate },
        sts_record: RecordAssessment::default(),
        policy: PolicyAssessment::default(),
        mx_lookup_success: false,
        mx_records: None,
        mx: Vec::new(),
        tlsrpt: TlsRptAssessment::default(),
        reports: None,
        history: HistoryAssessment::default(),
        own_side: true,
        unseen: vec!["the resolver answers nothing".into()],
    }
}

fn fetch(ip: &str, failure: Option<FetchFailure>) -> PolicyFetch {
    let ms = |milliseconds| failure.is_none().then(|| Duration::from_millis(milliseconds));
    let times = FetchTimes { connect: ms(4), tls: ms(8), processing: ms(15), transfer: ms(1) };
    PolicyFetch { address: address(ip), at: NOW, times, tls: None, response: None, failure }
}

fn policy_host(name: &str, fetches: Vec<PolicyFetch>) -> Option<Arc<PolicyHostObservation>> {
    let resolve = Duration::from_millis(2);
    let addresses = AddressLookup::default();
    Some(Arc::new(PolicyHostObservation { host: name.into(), addresses, resolve, fetches, skipped: 0 }))
}

/// In enforce for a month, and never changed since; the id did.
fn steady_history() -> HistoryAssessment {
    HistoryAssessment {
        known_since: Some(NOW - 90 * DAY),
        cache_expiry: Some(NOW + 7 * DAY + Duration::from_secs(3900)),
        protected_until: Some(NOW + 6 * DAY),
        id_stale: Some(false),
        mode: Some(SeenMode { mode: Mode::Enforce, since: NOW - 30 * DAY }),
        certainty: Some(Certainty::AsFarAsSeen),
        id_changes: Tally { total: 3, last_at: Some(NOW - 2 * DAY) },
        policy_changes: Tally { total: 2, last_at: Some(NOW - 30 * DAY) },
        ..HistoryAssessment::default()
    }
}

/// A domain whose policy has the mode, with what follows from its past.
pub(crate) fn in_mode(name: &str, mode: Mode, history: HistoryAssessment) -> Assessment {
    let seen = healthy();
    let policy = seen.policy.in_force.as_ref().map(|policy| Arc::new(Policy { mode, ..(**policy).clone() }));
    let history =
        HistoryAssessment { mode: Some(SeenMode { mode, since: NOW - 20 * DAY }), id_stale: Some(false), ..history };
    let policy = PolicyAssessment { current: policy.clone(), in_force: policy, ..seen.policy };
    Assessment { domain: domain(name), findings: Vec::new(), policy, history, ..seen }
}

/// On the way to enforce, with one thing still missing.
pub(crate) fn testing() -> Assessment {
    let condition =
        |name, met| EnforceCondition { name, required: name != "max-age-suitable", met, reason: "so".into() };
    let conditions =
        vec![condition("record-valid", true), condition("policy-stable", false), condition("max-age-suitable", true)];
    let enforce = EnforceReadiness { ready: false, confident: false, since: None, conditions };
    let history = HistoryAssessment { enforce: Some(enforce), ..HistoryAssessment::default() };
    in_mode("testing.example", Mode::Testing, history)
}

/// A policy on its way out: a version in enforce still lives.
pub(crate) fn withdrawn() -> Assessment {
    let safe = SafeToRemove {
        at: NOW + 5 * DAY,
        in_practice: NOW + DAY,
        quiet: NOW + 5 * DAY,
        certainty: Certainty::AsFarAsSeen,
        now: false,
    };
    let history = HistoryAssessment {
        cache_expiry: Some(safe.at),
        safe_to_remove: Some(safe),
        policy_changes: Tally { total: 1, last_at: Some(NOW - 20 * DAY) },
        ..HistoryAssessment::default()
    };
    in_mode("withdrawn.example", Mode::None, history)
}

pub(crate) fn healthy() -> Assessment {
    let policy = Arc::new(Policy {
        mode: Mode::Enforce,
        max_age: MaxAge(604_800),
        mx: ["mx1.example.com", "old.example.com"].into_iter().filter_map(MxPattern::parse).collect(),
    });
    let paths = [good_path("mx1.example.com", "192.0.2.1"), good_path("mx1.example.com", "2001:db8::1")];
    Assessment {
        delivery: State::Protected,
        senders: Senders {
            dane: SenderState::from_paths([Outcome::Secure, Outcome::Open].into_iter().collect()),
            both: SenderState::from_paths([Outcome::Secure, Outcome::Secure].into_iter().collect()),
            opportunistic: SenderState::from_paths([Outcome::Open, Outcome::Open].into_iter().collect()),
            sts: SenderState::from_paths([Outcome::Secure, Outcome::Secure].into_iter().collect()),
        },
        findings: vec![finding(Code::PolicyMxUnused, Severity::Info, Subject::Domain(domain("example.com")))],
        dnssec: DnssecStates { mx: Security::Secure, sts: Security::Insecure, tlsrpt: Security::Indeterminate },
        sts_record: RecordAssessment {
            lookup_success: true,
            present: Some(true),
            valid: Some(true),
            usable: Some(true),
            id: PolicyId::parse("2026"),
            ttl: Some(300),
            ..RecordAssessment::default()
        },
        policy: PolicyAssessment {
            host: policy_host("mta-sts.example.com", vec![fetch("192.0.2.9", None)]),
            deployed: true,
            fetch_success: Some(true),
            current: Some(Arc::clone(&policy)),
            valid: Some(true),
            in_force: Some(policy),
            last_success_at: Some(NOW),
            http_status: Some(200),
            certificate: Some(good_certificate()),
            addresses: vec![(address("192.0.2.9"), true, None)],
            unused_patterns: Some(1),
            ..PolicyAssessment::default()
        },
        mx_lookup_success: true,
        mx_signatures: Some(SignatureFacts {
            expires: NOW + 7 * DAY,
            inception: NOW - DAY,
            covers: "example.com MX".into(),
            weak: None,
        }),
        mx_records: Some(1),
        mx: vec![mx("mx1.example.com", 10, &paths, Some(true)), mx("mx1.example.com", 5, &paths, Some(true))],
        tlsrpt: TlsRptAssessment {
            lookup_success: true,
            present: Some(true),
            valid: Some(true),
            usable: Some(true),
            rua: vec![Destination { scheme: Scheme::Mailto, uri: "mailto:tls@example.com".into() }],
            ..TlsRptAssessment::default()
        },
        history: steady_history(),
        own_side: false,
        unseen: Vec::new(),
        ..dark("example.com")
    }
}

pub(crate) fn broken_paths() -> Vec<PathAssessment> {
    let name = "mx.broken.example";
    let expired = PathAssessment {
        certificate: Some(bad_certificate()),
        result_type: Some("certificate-expired"),
        ..good_path(name, "198.51.100.1")
    };
    let bare = PathAssessment {
        result_type: Some("starttls-not-supported"),
        ..path(observation(name, "198.51.100.2", SmtpOutcome::StarttlsNotOffered), Reach::Up, StarttlsState::NotOffered)
    };
    let refused = SmtpOutcome::ConnectFailed(ConnectFailure::Refused);
    let down = PathAssessment {
        result_type: Some("connect-refused"),
        ..path(observation(name, "198.51.100.3", refused), Reach::Down, StarttlsState::NotReached)
    };
    let no_route = SmtpOutcome::ConnectFailed(ConnectFailure::NoRoute);
    let unseen = path(observation(name, "2001:db8::2", no_route), Reach::CannotTell, StarttlsState::NotReached);
    vec![expired, bare, down, unseen]
}

pub(crate) fn broken() -> Assessment {
    let name = "broken.example";
    let about = |subject: &str| Subject::Mx(subject.into());
    let mut accepted =
        finding(Code::TlsRptRecordInvalid, Severity::Error, Subject::TlsRpt("_smtp._tls.broken.example".into()));
    accepted.accepted = Some("ticket 12".into());
    let refused = Some(FetchFailure::Connect(ConnectFailure::Refused));
    let no_route = Some(FetchFailure::Connect(ConnectFailure::NoRoute));
    Assessment {
        delivery: State::Unprotected,
        senders: Senders {
            dane: SenderState::from_paths([Outcome::Open, Outcome::Refused, Outcome::CannotTell].into_iter().collect()),
            both: SenderState::from_paths([Outcome::Open, Outcome::Refused, Outcome::CannotTell].into_iter().collect()),
            opportunistic: SenderState::from_paths(
                [Outcome::Open, Outcome::Open, Outcome::Refused, Outcome::CannotTell].into_iter().collect(),
            ),
            sts: SenderState::from_paths(
                [Outcome::Open, Outcome::Open, Outcome::Refused, Outcome::CannotTell].into_iter().collect(),
            ),
        },
        findings: vec![
            finding(Code::StsRecordInvalid, Severity::Error, Subject::Domain(domain(name))),
            finding(
                Code::StsPolicyConnectFailed,
                Severity::Error,
                Subject::PolicyHost("mta-sts.broken.example".into()),
            ),
            finding(Code::MxInvalidTarget, Severity::Error, about("not\\x20a host")),
            finding(
                Code::StarttlsNotOffered,
                Severity::Warning,
                Subject::MxAddress(host("mx.broken.example"), address("198.51.100.2")),
            ),
            finding(Code::VantageLimited, Severity::Info, Subject::Monitor),
            accepted,
        ],
        sts_record: RecordAssessment {
            lookup_success: false,
            present: Some(true),
            valid: Some(false),
            usable: Some(false),
            ..RecordAssessment::default()
        },
        policy: PolicyAssessment {
            host: policy_host(
                "mta-sts.broken.example",
                vec![fetch("198.51.100.9", refused), fetch("2001:db8::9", no_route)],
            ),
            deployed: true,
            fetch_success: Some(false),
            result_type: Some("sts-policy-fetch-error"),
            addresses: vec![
                (address("198.51.100.9"), false, Some("refused".into())),
                (address("2001:db8::9"), false, Some("no route".into())),
            ],
            ..PolicyAssessment::default()
        },
        mx_lookup_success: true,
        mx_records: Some(2),
        mx: vec![mx("mx.broken.example", 10, &broken_paths(), None), mx("not\\x20a host", 20, &[], None)],
        tlsrpt: TlsRptAssessment {
            lookup_success: true,
            present: Some(true),
            valid: Some(false),
            ..TlsRptAssessment::default()
        },
        history: HistoryAssessment::default(),
        own_side: false,
        unseen: Vec::new(),
        ..dark(name)
    }
}

pub(crate) fn domain_state(name: &str, assessment: Option<Assessment>) -> Arc<DomainState> {
    let success = assessment.as_ref().is_some_and(Assessment::lookups_answered);
    Arc::new(DomainState {
        domain: domain(name),
        group: String::new(),
        interval: Duration::from_secs(600),
        due_at: None,
        observation: None,
        assessment: assessment.map(Arc::new),
        last_success_at: success.then_some(NOW),
        reports: None,
        shown: BTreeMap::new(),
    })
}

fn host_state(name: &str, lookup: Arc<HostObservation>, paths: Vec<PathAssessment>, codes: &[Code]) -> Arc<HostState> {
    Arc::new(HostState {
        host: host(name),
        domains: 1,
        domains_enforcing: usize::from(codes.is_empty()),
        findings: codes.iter().copied().collect(),
        dane: HostDane::new(Some(&lookup), None, true),
        lookup: Some(lookup),
        paths: paths.into_iter().map(Arc::new).collect(),
        skipped: 0,
        patient_until: None,
    })
}

/// The same with what reports say of it, as of [`NOW`].
pub(crate) fn reported(state: DomainState, reports: DomainReports) -> DomainState {
    DomainState { shown: reports.shown(NOW), reports: Some(Arc::new(reports)), ..state }
}

/// Counters of a domain: old ones, and one that is new at [`NOW`].
pub(crate) fn reports() -> DomainReports {
    let counter = |value, age| Counter { value, born_at: Some(NOW - age) };
    DomainReports {
        last_arrived_at: Some(NOW - Duration::from_secs(3600)),
        last_end: Some(NOW - DAY),
        counters: Counters::from([
            (CounterKey::Sessions(PolicyType::Sts), counter(1200, DAY)),
            (CounterKey::Failed(PolicyType::Sts), counter(7, DAY)),
            (CounterKey::Detail(PolicyType::Sts, ResultType::CertificateExpired), counter(7, DAY)),
            (CounterKey::Detail(PolicyType::Sts, ResultType::ValidationFailure), counter(3, NEWBORN_FOR / 2)),
            (CounterKey::ReporterSessions("google.com".into()), counter(1000, DAY)),
            (CounterKey::ReporterSessions("other".into()), counter(200, DAY)),
            (CounterKey::ReporterFailed("google.com".into()), counter(7, DAY)),
            (CounterKey::ReporterFailed("other".into()), counter(0, DAY)),
        ]),
        ..DomainReports::default()
    }
}

fn intake() -> IntakeCounters {
    IntakeCounters {
        reports: [(Transport::Mail, 12)].into(),
        refused: [(RefusalReason::BadJson, 2)].into(),
        duplicates: 3,
        late: 1,
        quirks: [(Quirk::ContactInfoNull, 5)].into(),
        foreign_policies: 4,
    }
}

/// What this side of [`snapshot`] sees.
pub(crate) fn vantage() -> Vantage {
    Vantage { dnssec: DnssecSight::Validating, ip6_route: false, ..Vantage::default() }
}

/// A healthy domain on two hosts that others share, as in a fleet of many thousand.
pub(crate) fn on_shared_hosts() -> DomainState {
    let hosts = ["mx1.mail.provider.example", "mx2.mail.provider.example"];
    let mx = hosts.map(|name| mx(name, 10, &[good_path(name, "192.0.2.1")], Some(true)));
    let seen =
        Assessment { domain: domain("customer-000123.example"), mx: mx.into(), mx_records: Some(2), ..healthy() };
    let state = (*domain_state("customer-000123.example", Some(seen))).clone();
    DomainState { group: "customers".into(), ..state }
}

pub(crate) fn snapshot() -> Snapshot {
    let expected = Assessment { expectations: vec![("mode", true), ("issuer", false)], ..healthy() };
    let healthy_state =
        DomainState { group: "a \"b\"\\\n<i>".into(), ..(*domain_state("example.com", Some(expected))).clone() };
    let healthy_state = reported(healthy_state, DomainReports::default());
    let tested = reported((*domain_state("testing.example", Some(testing()))).clone(), reports());
    let domains = [
        Arc::new(healthy_state),
        domain_state("broken.example", Some(broken())),
        domain_state("dark.example", Some(dark("dark.example"))),
        domain_state("new.example", None),
        Arc::new(tested),
        domain_state("withdrawn.example", Some(withdrawn())),
    ];
    let mut snapshot = Snapshot {
        number: 1,
        vantage: Arc::new(vantage()),
        canaries: vec![(host("canary.example"), Some(true)), (host("young.example"), None)],
        intake: Some(Arc::new(intake())),
        ..Snapshot::default()
    };
    domains.into_iter().for_each(|state| snapshot.put(state));
    hosts().into_iter().for_each(|state| snapshot.put_host(state));
    snapshot
}

/// The mail hosts of [`snapshot`].
pub(crate) fn hosts() -> [Arc<HostState>; 2] {
    let healthy_paths = vec![good_path("mx1.example.com", "192.0.2.1"), good_path("mx1.example.com", "2001:db8::1")];
    [
        host_state(
            "mx1.example.com",
            signed_host_observation("mx1.example.com", &["192.0.2.1"], &["2001:db8::1"]),
            healthy_paths,
            &[],
        ),
        host_state(
            "mx.broken.example",
            failed_host_observation("mx.broken.example"),
            broken_paths(),
            &[Code::StarttlsNotOffered, Code::CertificateExpired],
        ),
    ]
}

/// A snapshot with what scrapes show of each subject.
pub(crate) fn rendered(snapshot: &Snapshot, renderer: &dyn Renderer) -> Snapshot {
    let domains = snapshot.domains.iter().map(|known| {
        let mut known = (**known).clone();
        known.rendered = renderer.domain(&snapshot.open(&known), &snapshot.vantage);
        Arc::new(known)
    });
    let hosts = snapshot.hosts.iter().map(|known| {
        let mut known = (**known).clone();
        known.rendered = renderer.host(&known.state, &snapshot.vantage);
        Arc::new(known)
    });
    Snapshot { domains: domains.collect(), hosts: hosts.collect(), ..snapshot.clone() }
}
