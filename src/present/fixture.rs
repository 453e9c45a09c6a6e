//! Assessments as the judgement makes them, for the tests of what shows them.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{
    facts::{
        AddressLookup, AddressObservation, Asked, CertificateFacts, ChainFacts, ConnectFailure, DnssecSight,
        FetchTimes, HostObservation, HttpResponse, KeyFacts, Lookup, LookupOutcome, PathToRoot, Phase, PhaseTimes,
        PolicyFetch, PolicyHostObservation, Security, SmtpOutcome, TlsFacts, TlsVersion, TlsaLookup, TlsaObservation,
        TlsaRecord,
    },
    protocol::{
        dane::{DaneResult, RecordSight, Verification},
        mta_sts::{Mode, MxPattern, Policy},
        tls_rpt::{Destination, Scheme},
    },
    terms::{MaxAge, MxHost, Octets, PolicyDomain, PolicyId, Timestamp},
    verdict::{
        AddressAssessment, Assessment, Certainty, CertificateAssessment, Code, DaneWord, DnssecStates,
        EnforceCondition, EnforceReadiness, Finding, Fixer, HeldPolicy, HistoryAssessment, HostDane, MxAssessment,
        Outcome, PathAssessment, PathCounts, PlannedEffect, PlannedMx, PolicyAssessment, Reach, Reason,
        RecordAssessment, SafeToRemove, SeenMode, SenderState, Senders, Severity, StarttlsState, State, Subject,
        TlsRptAssessment,
    },
};

/// 2026-11-23T20:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_464_000);

const DAY: i64 = 86_400;

pub(crate) fn domain(name: &str) -> PolicyDomain {
    PolicyDomain::parse(name).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn days(count: i64) -> Timestamp {
    Timestamp::from_unix_seconds(NOW.unix_seconds() + count * DAY)
}

/// A certificate for `name` that ends in so many days.
fn certificate(name: &str, days_left: i64) -> CertificateAssessment {
    let not_after = days(days_left);
    let leaf = CertificateFacts {
        subject: format!("CN={name}"),
        issuer: "CN=R12,O=Let's Encrypt,C=US".into(),
        issuer_cn: "R12".into(),
        common_name: Some(name.into()),
        names: vec![name.into()],
        serial: "04ab".into(),
        not_before: not_after - Duration::from_secs(90 * 86_400),
        not_after,
        fingerprint_sha256: "ab".repeat(32),
        spki_sha256: "cd".repeat(32),
        key: KeyFacts { algorithm: "ec".into(), bits: 256 },
        signature_algorithm: "ecdsa-with-SHA384".into(),
        self_issued: false,
        is_ca: false,
    };
    let chain = ChainFacts {
        leaf,
        others: Vec::new(),
        der: Vec::new(),
        unreadable: 0,
        path: PathToRoot::Trusted { not_after },
    };
    CertificateAssessment { chain: Arc::new(chain), chain_valid: true, name_match: true, in_dates: days_left >= 0 }
}

fn policy(mode: Mode, patterns: &[&str]) -> Arc<Policy> {
    let mx = patterns.iter().map(|pattern| mx_pattern(MxPattern::parse(pattern))).collect();
    Arc::new(Policy { mode, max_age: MaxAge(604_800), mx })
}

fn mx_pattern(parsed: impl Into<Option<MxPattern>>) -> MxPattern {
    parsed.into().unwrap()
}

fn lookup<T>(name: &str, records: Vec<T>) -> Lookup<T> {
    let outcome = if records.is_empty() { LookupOutcome::NoData } else { LookupOutcome::Records { records, ttl: 300 } };
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

/// One address that works, as an enforcing sender sees it.
pub(crate) fn path(host: &str, at: &str, version: TlsVersion, days_left: i64) -> AddressAssessment {
    let certificate = certificate(host, days_left);
    let observation = Arc::new(AddressObservation {
        host: MxHost::parse(host).unwrap(),
        address: address(at),
        at: NOW,
        duration: Duration::from_millis(52),
        times: PhaseTimes {
            connect: Some(Duration::from_millis(10)),
            banner: Some(Duration::from_millis(12)),
            ehlo: Some(Duration::from_millis(10)),
            starttls: Some(Duration::from_millis(10)),
            tls: Some(Duration::from_millis(10)),
            ehlo_tls: None,
        },
        outcome: SmtpOutcome::Done,
        banner: Some(Octets::from(format!("{host} ESMTP").as_str())),
        capabilities: Some(vec!["PIPELINING".into(), "STARTTLS".into()]),
        tls: Some(TlsFacts {
            version,
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            chain: Arc::clone(&certificate.chain),
            completed: true,
        }),
        cleartext_after_starttls: false,
        said: Vec::new(),
    });
    let verified = certificate.verified();
    AddressAssessment {
        path: Arc::new(PathAssessment {
            another_answered: true,
            survey: None,
            dane: None,
            dane_valid: None,
            address: address(at),
            latest: Some(Arc::clone(&observation)),
            reach: Reach::Up,
            judged: Some(observation),
            starttls: Some(StarttlsState::Ok),
            certificate: Some(certificate),
            consecutive_failures: 0,
            last_success_at: Some(NOW),
            result_type: (!verified).then_some("certificate-expired"),
        }),
        opportunistic: Outcome::Open,
        sts: if verified { Outcome::Secure } else { Outcome::Refused },
        dane: Outcome::Open,
        dane_verdict: None,
        dane_word: Some(DaneWord::NotApplicable),
    }
}

/// One address that does not answer.
pub(crate) fn silent_path(host: &str, at: &str, reach: Reach) -> AddressAssessment {
    let failure = if reach == Reach::Down { ConnectFailure::Refused } else { ConnectFailure::Timeout };
    let observation = AddressObservation {
        host: MxHost::parse(host).unwrap(),
        address: address(at),
        at: NOW,
        duration: Duration::from_secs(10),
        times: PhaseTimes::default(),
        outcome: match failure {
            ConnectFailure::Timeout => SmtpOutcome::Timeout(Phase::Connect),
            other => SmtpOutcome::ConnectFailed(other),
        },
        banner: None,
        capabilities: None,
        tls: None,
        cleartext_after_starttls: false,
        said: Vec::new(),
    };
    let outcome = if reach == Reach::Down { Outcome::Refused } else { Outcome::CannotTell };
    AddressAssessment {
        path: Arc::new(PathAssessment {
            another_answered: true,
            survey: None,
            dane: None,
            dane_valid: None,
            address: address(at),
            latest: Some(Arc::new(observation)),
            reach,
            judged: None,
            starttls: Some(StarttlsState::NotReached),
            certificate: None,
            consecutive_failures: 1,
            last_success_at: None,
            result_type: Some("connect-refused"),
        }),
        opportunistic: outcome,
        sts: outcome,
        dane: outcome,
        dane_verdict: None,
        dane_word: None,
    }
}

/// One mail host with its addresses.
pub(crate) fn mx(preference: u16, host: &str, addresses: Vec<AddressAssessment>) -> MxAssessment {
    let name = MxHost::parse(host).unwrap();
    let (ip4, ip6): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().map(|address| address.path.address).partition(IpAddr::is_ipv4);
    let seen = Arc::new(HostObservation {
        host: name.clone(),
        at: NOW,
        addresses: AddressLookup { ip4: Some(lookup(host, ip4)), ip6: Some(lookup(host, ip6)) },
        tlsa: None,
        resolver_healthy: true,
        dnssec_healthy: true,
    });
    MxAssessment {
        target: host.into(),
        host: Some(name),
        preference,
        implicit: false,
        in_policy: Some(true),
        dane: HostDane::new(Some(&seen), None, true),
        lookup: Some(seen),
        addresses,
        skipped: 0,
    }
}

/// Sets senders and delivery by the paths, as the judgement does for one view of the policy.
pub(crate) fn settle(assessment: &mut Assessment, delivery: State) {
    let of = |outcome: fn(&AddressAssessment) -> Outcome| -> PathCounts {
        assessment.mx.iter().flat_map(|mx| mx.addresses.iter().map(outcome)).collect()
    };
    assessment.senders = Senders {
        opportunistic: SenderState::from_paths(of(|address| address.opportunistic)),
        sts: SenderState::from_paths(of(|address| address.sts)),
        dane: SenderState::from_paths(of(|address| address.dane)),
        both: SenderState::from_paths(of(|address| address.sts.and(address.dane))),
    };
    assessment.delivery = delivery;
    assessment.mx_records = Some(assessment.mx.len());
}

pub(crate) fn finding(code: Code, severity: Severity, subject: Subject, detail: &str, fix: &str) -> Finding {
    Finding {
        code,
        severity,
        subject,
        fixer: Fixer::You,
        detail: detail.into(),
        fix: fix.into(),
        result_type: code.row().result_type,
        since: None,
        times: 0,
        accepted: None,
    }
}

/// All is well: two hosts, three addresses, a policy in enforce.
pub(crate) fn healthy(name: &str) -> Assessment {
    let (mx1, mx2) = (format!("mx1.{name}"), format!("mx2.{name}"));
    let policy = policy(Mode::Enforce, &[&mx1, &mx2]);
    let host = PolicyHostObservation {
        host: format!("mta-sts.{name}"),
        addresses: AddressLookup { ip4: Some(lookup("mta-sts", vec![address("192.0.2.9")])), ip6: None },
        resolve: Duration::from_millis(3),
        fetches: vec![PolicyFetch {
            address: address("192.0.2.9"),
            at: NOW,
            times: FetchTimes { connect: Some(Duration::from_millis(9)), ..FetchTimes::default() },
            tls: None,
            response: Some(HttpResponse {
                status: 200,
                content_type: Some("text/plain".into()),
                location: None,
                content_encoding: None,
                age: None,
                cache_max_age: None,
                body: Octets::default(),
            }),
            failure: None,
        }],
        skipped: 0,
    };
    let mut assessment = Assessment {
        domain: domain(name),
        checked_at: NOW,
        duration: Duration::from_millis(850),
        delivery: State::Protected,
        expectations: Vec::new(),
        senders: Senders::all(SenderState::no_mail()),
        findings: Vec::new(),
        dnssec_sight: DnssecSight::Validating,
        mx_signatures: None,
        dnssec: DnssecStates { mx: Security::Insecure, sts: Security::Insecure, tlsrpt: Security::Indeterminate },
        sts_record: RecordAssessment {
            lookup_success: true,
            present: Some(true),
            valid: Some(true),
            usable: Some(true),
            id: PolicyId::parse("20250301"),
            txt: vec!["v=STSv1; id=20250301".into()],
            cname: Vec::new(),
            ttl: Some(300),
        },
        policy: PolicyAssessment {
            host: Some(Arc::new(host)),
            deployed: true,
            fetch_success: Some(true),
            current: Some(Arc::clone(&policy)),
            valid: Some(true),
            in_force: Some(policy),
            last_success_at: Some(NOW),
            result_type: None,
            http_status: Some(200),
            media_type: Some("text/plain".into()),
            certificate: Some(certificate(&format!("mta-sts.{name}"), 61)),
            addresses: vec![(address("192.0.2.9"), true, None)],
            body: Some(format!("version: STSv1\nmode: enforce\nmx: {mx1}\nmx: {mx2}\nmax_age: 604800\n")),
            unused_patterns: Some(0),
        },
        mx_lookup_success: true,
        mx_records: Some(2),
        mx: vec![
            mx(
                10,
                &mx1,
                vec![
                    path(&mx1, "192.0.2.10", TlsVersion::Tls13, 74),
                    path(&mx1, "2001:db8::10", TlsVersion::Tls13, 74),
                ],
            ),
            mx(20, &mx2, vec![path(&mx2, "192.0.2.20", TlsVersion::Tls12, 80)]),
        ],
        tlsrpt: TlsRptAssessment {
            lookup_success: true,
            present: Some(true),
            valid: Some(true),
            usable: Some(true),
            rua: vec![destination(&format!("mailto:tls@{name}"))],
            txt: vec![format!("v=TLSRPTv1; rua=mailto:tls@{name}")],
        },
        reports: None,
        history: HistoryAssessment::default(),
        own_side: false,
        unseen: Vec::new(),
    };
    settle(&mut assessment, State::Protected);
    assessment
}

fn destination(uri: &str) -> Destination {
    Destination { scheme: Scheme::Mailto, uri: uri.into() }
}

/// The certificate of the backup ended three days ago.
pub(crate) fn backup_expired(name: &str) -> Assessment {
    let mut assessment = healthy(name);
    let mx2 = format!("mx2.{name}");
    assessment.mx[1].addresses = vec![path(&mx2, "192.0.2.20", TlsVersion::Tls12, -3)];
    assessment.sts_record.cname = vec!["records.provider.example".into()];
    settle(&mut assessment, State::Partial);
    assessment.findings = vec![
        Finding {
            since: Some(days(-3)),
            times: 1,
            ..finding(
                Code::CertificateExpired,
                Severity::Error,
                Subject::MxAddress(MxHost::parse(&mx2).unwrap(), address("192.0.2.20")),
                "The certificate expired 3 days ago (20 Nov).",
                &format!(
                    "Renew the certificate and reload the mail server; confirm with: openssl s_client -starttls smtp -connect {mx2}:25"
                ),
            )
        },
        finding(
            Code::StsRecordTtlLong,
            Severity::Warning,
            Subject::Domain(domain(name)),
            "The TTL of the _mta-sts record is 2 days.",
            &format!("Lower the TTL to an hour or so: _mta-sts.{name}. 3600 IN TXT \"v=STSv1; id=20250301\""),
        ),
        finding(
            Code::StsRecordDelegated,
            Severity::Info,
            Subject::Domain(domain(name)),
            "The _mta-sts record is reached through a CNAME to records.provider.example.",
            "Nothing, as long as the target is meant to be in charge.",
        ),
        Finding {
            since: None,
            times: 0,
            accepted: Some("provider, ticket 12".into()),
            ..finding(
                Code::MxCname,
                Severity::Warning,
                Subject::Mx(mx2),
                "The MX target is a CNAME to backup.provider.example.",
                "Point the MX record to the final name.",
            )
        },
    ];
    assessment
}

/// A version in enforce that senders may hold, served last so many days ago.
fn held(policy: &Arc<Policy>, id: &str, last: i64, expires: i64) -> HeldPolicy {
    HeldPolicy {
        policy: Arc::clone(policy),
        ids: PolicyId::parse(id).into_iter().collect(),
        first: days(-200),
        last: days(last),
        current: last == 0,
        expires: days(expires),
    }
}

/// What half a year of watching tells of a domain.
fn watched(mode: Mode) -> HistoryAssessment {
    HistoryAssessment {
        known_since: Some(days(-200)),
        id_stale: Some(false),
        mode: Some(SeenMode { mode, since: days(-20) }),
        certainty: Some(Certainty::AsFarAsSeen),
        ..HistoryAssessment::default()
    }
}

/// The mail hosts moved, the policy followed, and its id did not; a third host is planned.
pub(crate) fn moved(name: &str) -> Assessment {
    let mut assessment = healthy(name);
    let old = policy(Mode::Enforce, &[&format!("mx1.{name}"), "mail.old.example"]);
    let current = assessment.policy.in_force.clone().unwrap();
    let planned = |host: &str, in_practice: Option<i64>, certainly: Option<i64>, effect| PlannedMx {
        host: MxHost::parse(&format!("{host}.{name}")).unwrap(),
        in_practice: in_practice.map(days),
        certainly: certainly.map(days),
        certainty: Certainty::AsFarAsSeen,
        effect,
    };
    assessment.history = HistoryAssessment {
        cache_expiry: Some(days(7)),
        protected_until: Some(days(6)),
        id_stale: Some(true),
        held: vec![held(&current, "20250301", 0, 7), held(&old, "20250301", -2, 7)],
        planned: vec![
            planned("mx3", Some(1), Some(7), PlannedEffect::Delay),
            planned("mx4", None, Some(7), PlannedEffect::Delay),
            planned("mx5", None, None, PlannedEffect::Loss),
            planned("mx6", Some(-30), Some(-20), PlannedEffect::None),
        ],
        ..watched(Mode::Enforce)
    };
    assessment.findings = vec![
        Finding {
            since: Some(days(-1)),
            times: 1,
            ..finding(
                Code::StsIdNotChanged,
                Severity::Error,
                Subject::Domain(domain(name)),
                "The policy changed and its id is still 20250301, under which senders hold the one before.",
                &format!("Leave the policy as it is, and publish a new id:\n_mta-sts.{name}. TXT \"v=STSv1; id=2026\""),
            )
        },
        Finding {
            since: Some(days(-2)),
            times: 4,
            ..finding(
                Code::MxNotInCachedPolicy,
                Severity::Warning,
                Subject::Mx(format!("mx2.{name}")),
                &format!("mx2.{name} is not listed in an earlier policy in enforce."),
                "Keep the old mail hosts in service until then.",
            )
        },
    ];
    assessment
}

/// In testing for three weeks, with little missing for enforce.
pub(crate) fn almost_ready(name: &str) -> Assessment {
    let mut assessment = testing(name);
    let condition = |name, required, met, reason: &str| EnforceCondition { name, required, met, reason: reason.into() };
    let conditions = vec![
        condition("record-valid", true, true, "The record was valid for seven days."),
        condition("policy-stable", true, true, "It has been the same for 20 days; 7 days are wanted."),
        condition("mx-covered", true, false, &format!("The policy does not list mx2.{name}.")),
        condition("tlsrpt-record", true, true, "The TLSRPT record is valid."),
        condition("max-age-suitable", false, false, "max_age is 3600; 86400 to 604800 is well."),
    ];
    let enforce = EnforceReadiness { ready: false, confident: false, since: None, conditions };
    assessment.history = HistoryAssessment { enforce: Some(enforce), ..watched(Mode::Testing) };
    assessment
}

/// On its way out: mode none is served, and senders still hold what was enforced.
pub(crate) fn withdrawn(name: &str) -> Assessment {
    let mut assessment = healthy(name);
    let old = assessment.policy.in_force.clone().unwrap();
    let none = policy(Mode::None, &[]);
    assessment.policy.current = Some(Arc::clone(&none));
    assessment.policy.in_force = Some(none);
    for mx in &mut assessment.mx {
        mx.in_policy = None;
        for address in &mut mx.addresses {
            address.sts = Outcome::Open;
        }
    }
    settle(&mut assessment, State::Unprotected);
    let safe = SafeToRemove {
        at: days(5) + Duration::from_secs(301),
        in_practice: days(-1),
        quiet: days(5),
        certainty: Certainty::AsFarAsSeen,
        now: false,
    };
    assessment.history = HistoryAssessment {
        cache_expiry: Some(safe.at),
        safe_to_remove: Some(safe),
        held: vec![held(&old, "20250301", -2, 5)],
        ..watched(Mode::None)
    };
    assessment.findings = vec![finding(
        Code::StsPolicyModeNone,
        Severity::Info,
        Subject::Domain(domain(name)),
        "The policy is in mode none: senders behave as if there were no policy.",
        "Keep record and policy until 2026-11-28.",
    )];
    assessment
}

/// A policy in enforce that covers no mail host.
pub(crate) fn blocked(name: &str) -> Assessment {
    let mut assessment = healthy(name);
    let old = policy(Mode::Enforce, &["mail.old.example"]);
    assessment.policy.current = Some(Arc::clone(&old));
    assessment.policy.in_force = Some(old);
    for mx in &mut assessment.mx {
        mx.in_policy = Some(false);
        for address in &mut mx.addresses {
            address.sts = Outcome::Refused;
        }
        let fix = format!("Add this line to the policy, then change the id in the _mta-sts record:\nmx: {}", mx.target);
        assessment.findings.push(finding(
            Code::MxNotInPolicy,
            Severity::Error,
            Subject::Mx(mx.target.clone()),
            "The policy does not cover this host; it lists only mail.old.example.",
            &fix,
        ));
    }
    settle(&mut assessment, State::Blocked);
    assessment
}

/// Nothing is published.
pub(crate) fn unprotected(name: &str) -> Assessment {
    let mut assessment = healthy(name);
    assessment.sts_record = RecordAssessment { lookup_success: true, present: Some(false), ..Default::default() };
    assessment.policy = PolicyAssessment { fetch_success: Some(false), ..Default::default() };
    assessment.tlsrpt = TlsRptAssessment { lookup_success: true, present: Some(false), ..Default::default() };
    for mx in &mut assessment.mx {
        mx.in_policy = None;
        for address in &mut mx.addresses {
            address.sts = Outcome::Open;
        }
    }
    settle(&mut assessment, State::Unprotected);
    assessment.findings = vec![
        finding(
            Code::StsRecordMissing,
            Severity::Info,
            Subject::Domain(domain(name)),
            "There is no TXT record at _mta-sts.",
            "Publish a policy in mode testing and announce it with an _mta-sts record.",
        ),
        finding(
            Code::TlsRptRecordMissing,
            Severity::Info,
            Subject::TlsRpt(format!("_smtp._tls.{name}")),
            "There is no TXT record at this name.",
            &format!("Publish: _smtp._tls.{name}. TXT \"v=TLSRPTv1; rua=mailto:tls-reports@{name}\""),
        ),
    ];
    assessment
}

/// A policy in testing, with a host that enforce would refuse.
pub(crate) fn testing(name: &str) -> Assessment {
    let mut assessment = healthy(name);
    let testing = policy(Mode::Testing, &[&format!("mx1.{name}")]);
    assessment.policy.current = Some(Arc::clone(&testing));
    assessment.policy.in_force = Some(testing);
    assessment.mx[1].in_policy = Some(false);
    for address in assessment.mx.iter_mut().flat_map(|mx| &mut mx.addresses) {
        address.sts = Outcome::Open;
    }
    settle(&mut assessment, State::Unprotected);
    assessment.findings = vec![finding(
        Code::MxNotInPolicy,
        Severity::Warning,
        Subject::Mx(format!("mx2.{name}")),
        "The policy does not cover this host.",
        "Add the host to the policy, then change the id in the _mta-sts record.",
    )];
    assessment
}

/// The policy host answers 404, and senders still hold what it served before.
pub(crate) fn policy_gone(name: &str) -> Assessment {
    let mut assessment = healthy(name);
    assessment.policy.current = None;
    assessment.policy.fetch_success = Some(false);
    assessment.policy.valid = None;
    assessment.policy.http_status = Some(404);
    assessment.policy.last_success_at = Some(NOW - Duration::from_secs(7_200));
    assessment.policy.addresses = vec![(address("192.0.2.9"), false, Some("status 404".into()))];
    assessment.policy.body = None;
    settle(&mut assessment, State::Partial);
    assessment.senders.sts.state = State::Partial;
    assessment.senders.sts.reason = Reason::ViewsDiffer;
    assessment.findings = vec![finding(
        Code::StsPolicyHttpStatus,
        Severity::Error,
        Subject::PolicyHost(format!("mta-sts.{name}")),
        "The policy host answered with status 404.",
        &format!("Serve the policy with status 200 at https://mta-sts.{name}/.well-known/mta-sts.txt"),
    )];
    assessment
}

/// Port 25 is shut off here.
pub(crate) fn own_side(name: &str) -> Assessment {
    let mut assessment = healthy(name);
    for mx in &mut assessment.mx {
        let host = mx.target.clone();
        for address in &mut mx.addresses {
            *address = silent_path(&host, &address.path.address.to_string(), Reach::CannotTell);
        }
    }
    settle(&mut assessment, State::Unknown);
    assessment.own_side = true;
    assessment.unseen = vec!["no mail host answers on port 25 from here; it seems to be shut off on this side".into()];
    assessment.findings = vec![finding(
        Code::VantageLimited,
        Severity::Info,
        Subject::Monitor,
        "Port 25 is shut off here: no mail host could be looked at.",
        "Run the check where port 25 is open.",
    )];
    assessment
}

/// Every address is silent for a reason of its own.
pub(crate) fn down(name: &str) -> Assessment {
    let mut assessment = unprotected(name);
    assessment.findings.clear();
    for mx in &mut assessment.mx {
        let host = mx.target.clone();
        for address in &mut mx.addresses {
            *address = silent_path(&host, &address.path.address.to_string(), Reach::Down);
            assessment.findings.push(finding(
                Code::SmtpConnectFailed,
                Severity::Error,
                Subject::MxAddress(MxHost::parse(&host).unwrap(), address.path.address),
                "The connection was refused.",
                "Start the mail server on this address and open port 25, or take the address out of the DNS.",
            ));
        }
    }
    settle(&mut assessment, State::Blocked);
    assessment
}

/// A null MX alone.
pub(crate) fn no_mail(name: &str) -> Assessment {
    let mut assessment = unprotected(name);
    assessment.mx.clear();
    settle(&mut assessment, State::NoMail);
    assessment.mx_records = Some(1);
    assessment.senders = Senders::all(SenderState::no_mail());
    assessment.findings = vec![finding(
        Code::MxNull,
        Severity::Info,
        Subject::Domain(domain(name)),
        "A null MX stands alone.",
        "Nothing to do.",
    )];
    assessment
}

/// Every mail host turns this client away before TLS.
pub(crate) fn turned_away(name: &str) -> Assessment {
    let mut assessment = healthy(name);
    for mx in &mut assessment.mx {
        let host = mx.target.clone();
        for address in &mut mx.addresses {
            *address = silent_path(&host, &address.path.address.to_string(), Reach::CannotTell);
            let path = Arc::make_mut(&mut address.path);
            let latest = path.latest.iter_mut().map(Arc::make_mut);
            let text = "go away".into();
            latest.for_each(|latest| {
                latest.outcome = SmtpOutcome::Rejected { phase: Phase::Banner, code: 554, text: Octets::clone(&text) };
            });
            assessment.findings.push(finding(
                Code::SmtpRejected,
                Severity::Warning,
                Subject::MxAddress(MxHost::parse(&host).unwrap(), path.address),
                "The server answered 554 \"go away\" instead of a greeting.",
                "Allow the monitor's address, or give it a host name with matching forward and reverse DNS.",
            ));
        }
    }
    settle(&mut assessment, State::Unknown);
    assessment
}

/// The resolver gave no answers at all.
pub(crate) fn unknown(name: &str) -> Assessment {
    let mut assessment = healthy(name);
    assessment.mx.clear();
    settle(&mut assessment, State::Unknown);
    assessment.mx_records = None;
    assessment.mx_lookup_success = false;
    assessment.sts_record = RecordAssessment::default();
    assessment.policy = PolicyAssessment::default();
    assessment.tlsrpt = TlsRptAssessment::default();
    assessment.dnssec =
        DnssecStates { mx: Security::Indeterminate, sts: Security::Indeterminate, tlsrpt: Security::Indeterminate };
    assessment.own_side = true;
    assessment.unseen = vec!["the resolver 192.0.2.53 gives no answers".into()];
    assessment
}

/// A host of each kind that is not as it should be.
pub(crate) fn odd_hosts(name: &str) -> Assessment {
    let mut assessment = healthy(name);
    let [mx1, mx3] = ["mx1", "mx3"].map(|host| format!("{host}.{name}"));
    assessment.mx[0].addresses[1] = silent_path(&mx1, "2001:db8::10", Reach::Down);
    assessment.mx[1].addresses =
        vec![with_certificate(path("mx2", "192.0.2.20", TlsVersion::Tls12, 9), |certificate| {
            certificate.name_match = false;
            certificate.chain_valid = false;
            Arc::make_mut(&mut certificate.chain).path = PathToRoot::SelfSigned;
        })];
    assessment.mx[1].addresses[0].sts = Outcome::Refused;
    assessment.mx[1].skipped = 3;
    assessment.mx.push(mx(30, &mx3, Vec::new()));
    assessment.mx.push(MxAssessment {
        target: "192.0.2.99".into(),
        host: None,
        in_policy: None,
        lookup: None,
        ..mx(100, &mx3, Vec::new())
    });
    settle(&mut assessment, State::Partial);
    assessment
}

fn with_certificate(mut address: AddressAssessment, change: fn(&mut CertificateAssessment)) -> AddressAssessment {
    let path = Arc::make_mut(&mut address.path);
    path.certificate.iter_mut().for_each(change);
    address
}

/// Names and addresses that do not fit beside each other.
pub(crate) fn long_names(name: &str) -> Assessment {
    let mut assessment = healthy(name);
    let host = format!("inbound-smtp-relay-number-one.europe-west.mail-protection.{name}");
    let address = path(&host, "2001:db8:1234:5678:9abc:def0:1234:5678", TlsVersion::Tls13, -400);
    assessment.mx = vec![mx(5, &host, vec![address]), assessment.mx.remove(0)];
    settle(&mut assessment, State::Partial);
    assessment
}

/// No MX record: the domain is its own mail host.
pub(crate) fn implicit(name: &str) -> Assessment {
    let mut assessment = healthy(name);
    let host = MxAssessment { implicit: true, ..mx(0, name, vec![path(name, "192.0.2.1", TlsVersion::Tls13, 20)]) };
    assessment.mx = vec![host];
    settle(&mut assessment, State::Protected);
    assessment.mx_records = Some(0);
    assessment.findings = vec![
        finding(
            Code::CertificateExpiring,
            Severity::Warning,
            Subject::MxAddress(MxHost::parse(name).unwrap(), address("192.0.2.1")),
            "The certificate expires in 20 days (13 Dec).",
            "Renew the certificate and reload the mail server; see why the renewal did not run by itself.",
        ),
        finding(
            Code::MxImplicit,
            Severity::Warning,
            Subject::Domain(domain(name)),
            "There is no MX record; the domain's own address 192.0.2.1 takes the mail.",
            &format!("Publish an MX record that names the mail host:\n{name}. IN MX 10 {name}."),
        ),
    ];
    assessment
}

/// The policy that is served cannot be used, and nobody holds an older one.
pub(crate) fn policy_invalid(name: &str) -> Assessment {
    let mut assessment = testing(name);
    assessment.policy.current = None;
    assessment.policy.in_force = None;
    assessment.policy.valid = Some(false);
    assessment.policy.fetch_success = Some(false);
    assessment.policy.addresses = vec![(address("192.0.2.9"), false, Some("line 2: no mode".into()))];
    assessment.mx.iter_mut().for_each(|mx| mx.in_policy = None);
    assessment.findings = vec![finding(
        Code::StsPolicyInvalid,
        Severity::Error,
        Subject::Domain(domain(name)),
        "Line 2 of the policy, \"mode: on\": enforce, testing or none was expected.",
        "Correct the line, then change the id in the _mta-sts record.",
    )];
    assessment
}

/// What a hostile peer could bring into an assessment if every fence before this room failed.
pub(crate) fn hostile(name: &str) -> Assessment {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}evil\"quote\r\n\tx";
    let mut assessment = backup_expired(name);
    assessment.sts_record.txt = vec![evil.into(), "x".repeat(300)];
    assessment.policy.body = Some(evil.into());
    assessment.policy.media_type = Some(evil.into());
    assessment.policy.addresses = vec![(address("192.0.2.9"), false, Some(evil.into()))];
    assessment.tlsrpt.rua = vec![destination(evil)];
    assessment.unseen = vec![evil.into()];
    assessment.mx[0].target = format!("{evil}{}", "y".repeat(120));
    assessment.mx[0].host = None;
    for found in &mut assessment.findings {
        found.detail = format!("{evil} {}", found.detail);
        found.fix = format!("{evil} {}", found.fix);
        found.subject = Subject::Mx(evil.into());
    }
    assessment
}

/// DANE on both hosts, signed MX, no policy: the second one's records are stale after a renewal, and it is the backup.
pub(crate) fn dane(name: &str) -> Assessment {
    let mut assessment = unprotected(name);
    assessment.findings.clear();
    assessment.dnssec.mx = Security::Secure;
    for (number, mx) in assessment.mx.iter_mut().enumerate() {
        let holds = number == 0;
        let mut seen = (*mx.lookup.clone().unwrap()).clone();
        for family in [&mut seen.addresses.ip4, &mut seen.addresses.ip6].into_iter().flatten() {
            family.security = Security::Secure;
        }
        let record = TlsaRecord { usage: 3, selector: 1, matching: 1, data: Octets(vec![0xcd; 32]) };
        let mut found = lookup(&format!("_25._tcp.{}", mx.target), vec![record]);
        found.security = Security::Secure;
        let base = mx.host.clone().unwrap();
        seen.tlsa = Some(TlsaObservation { alias: None, lookups: vec![TlsaLookup { base, lookup: found }] });
        let seen = Arc::new(seen);
        mx.dane = HostDane::new(Some(&seen), None, true);
        mx.lookup = Some(seen);
        let verdict = Verification {
            result: match holds {
                true => DaneResult::Match { record: 0, depth: Some(0) },
                false => DaneResult::Mismatch { passed_over: None },
            },
            records: vec![if holds { RecordSight::Match { depth: Some(0) } } else { RecordSight::NoMatch }],
            stale: Vec::new(),
            rollover: Vec::new(),
        };
        for address in &mut mx.addresses {
            address.dane = if holds { Outcome::Secure } else { Outcome::Refused };
            address.dane_word = Some(if holds { DaneWord::Match } else { DaneWord::Mismatch });
            address.dane_verdict = Some(verdict.clone());
            if !holds {
                assessment.findings.push(finding(
                    Code::DaneMismatch,
                    Severity::Error,
                    Subject::MxAddress(mx.host.clone().unwrap(), address.path.address),
                    &format!(
                        "No TLSA record of {} matches its certificate: senders that apply DANE do not deliver to it.",
                        mx.target
                    ),
                    &format!("Publish a record for the certificate in use:\n_25._tcp.{}. TLSA 3 1 1 cdcd", mx.target),
                ));
            }
        }
    }
    settle(&mut assessment, State::Partial);
    assessment
}
