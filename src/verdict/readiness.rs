//! Whether enforce would lose mail: the conditions, each with its reason.
//!
//! A condition whose evidence is missing does not hold, and neither does one that cannot be told: the question is only worth
//! asking where the answer can be relied upon.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    AddressAssessment, AddressHistory, DAYS_KEPT, MxAssessment, Outcome, ReporterDay,
    case::Case,
    outlook::stale_id,
    reports::{Days, ON_TIME, is_one, is_verified},
    rules::{is_near_its_end, unreachable_words},
    words,
};
use crate::{
    facts::MxTarget,
    protocol::{
        mta_sts::{Mode, Policy},
        tls_rpt::{Destination, PolicyType, ResultType},
    },
    terms::{MaxAge, MxHost, Timestamp},
};

const DAY: Duration = Duration::from_secs(86_400);
/// How far back record, fetches and MX set are looked at.
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// How far back every probe of a mail host has to be good: a host that fails at weekends is seen.
const PROBES: Duration = Duration::from_secs(72 * 3600);
/// … and how many probes at least.
const PROBES_IN_A_ROW: u32 = 3;
/// Of a thousand fetches so many have to bring a usable policy.
const FETCHES_GOOD: u64 = 995;
/// A probe that cannot tell is missed for so many intervals.
const MISSED_INTERVALS: u32 = 2;
/// No reporter may see a refusal on so many complete days.
const CLEAN_DAYS: i64 = 7;
/// Before them fewer than one session in so many may be refused …
const RARE_ONE_IN: u64 = 1000;
/// … and by fewer reporters than this: what several see is no whim of one.
const FAILING_REPORTERS: usize = 3;
/// A reporter counts that shows sessions on so many complete days.
const SEEN_ON_DAYS: usize = 5;
/// So many reporters are enough …
const SEEN_BY: usize = 2;
/// … or one with so many sessions: that is a large sender, and it tried every mail host that takes mail.
const LARGE_FROM: u64 = 1000;
/// More names than this make a reason unreadable.
const MOST: usize = 4;

/// Whether a domain in mode testing is ready for enforce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnforceReadiness {
    /// Every required condition holds.
    pub ready: bool,
    /// … and the advisory ones.
    pub confident: bool,
    /// Since when every judgement has found it ready; nothing while it is not.
    pub since: Option<Timestamp>,
    /// In the order of the documents.
    pub conditions: Vec<EnforceCondition>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnforceCondition {
    /// What metrics and JSON call it.
    pub name: &'static str,
    /// It has to hold for `ready`; else it is advice.
    pub required: bool,
    /// It holds.
    pub met: bool,
    /// Why, or why not, in one sentence.
    pub reason: String,
}

/// Why something holds, or why not.
type Told = Result<String, String>;

pub(crate) fn readiness(case: &Case<'_>) -> Option<EnforceReadiness> {
    let history = &case.history.domain;
    let current = history.ledger.current().filter(|version| version.is_announced())?;
    let policy = &*current.policy;
    if policy.mode != Mode::Testing || !history.ledger.is_alive(current, case.now) {
        return None;
    }
    let thresholds = &case.context.thresholds.enforce;
    let window = thresholds.testing.max(WEEK);
    let reports_seen = reports_seen(case, policy, window);
    let conditions = vec![
        required("record-valid", record_valid(case)),
        required("policy-fetchable", policy_fetchable(case)),
        required("policy-stable", stood_for(case, thresholds.policy_stable.max(WEEK))),
        required("mx-covered", mx_covered(case, policy)),
        required("mx-starttls", every_path(case, "STARTTLS with TLS 1.2 or newer", starttls)),
        required("mx-certificates", every_path(case, "a valid certificate", certificate)),
        required("dane-consistent", dane_consistent(case)),
        required("probes-complete", probes_complete(case, reports_seen.is_ok())),
        required("tlsrpt-record", tlsrpt_record(case)),
        required("testing-long-enough", stood_for(case, window)),
        required("reports-clean", reports_clean(case, policy, window)),
        EnforceCondition { required: false, ..required("reports-seen", reports_seen.clone()) },
        EnforceCondition { required: false, ..required("max-age-suitable", max_age_suitable(policy)) },
    ];
    let ready = conditions.iter().all(|condition| condition.met || !condition.required);
    Some(EnforceReadiness {
        ready,
        confident: conditions.iter().all(|condition| condition.met),
        since: history.ready_since.filter(|_| ready),
        conditions,
    })
}

fn required(name: &'static str, told: Told) -> EnforceCondition {
    let (met, reason) = match told {
        Ok(reason) => (true, reason),
        Err(reason) => (false, reason),
    };
    EnforceCondition { name, required: true, met, reason }
}

fn record_valid(case: &Case<'_>) -> Told {
    let evidence = &case.history.domain.evidence;
    if !case.observation.domain.sts_record.answered() {
        return Err("The record cannot be looked up now.".to_owned());
    }
    if !case.record.valid() {
        return Err("There is not one valid record.".to_owned());
    }
    if let Some((id, _)) = stale_id(case) {
        return Err(format!("The policy changed and its id {id} did not."));
    }
    if let Some(bad) = evidence.record_bad_at.filter(|bad| case.now.since(*bad) <= WEEK) {
        return Err(format!("There was not one valid record {}.", words::ago(bad, case.now)));
    }
    match evidence.record_since {
        Some(since) if case.now.since(since) >= WEEK => Ok("The record was valid for seven days.".to_owned()),
        _ => Err("The record was not watched for seven days yet.".to_owned()),
    }
}

fn policy_fetchable(case: &Case<'_>) -> Told {
    let evidence = &case.history.domain.evidence;
    if case.fetched != Some(true) {
        return Err("The policy cannot be fetched now.".to_owned());
    }
    if let Some(bad) = evidence.fetch_bad_at.filter(|bad| case.now.since(*bad) <= DAY) {
        return Err(format!("A fetch failed {}.", words::ago(bad, case.now)));
    }
    let (fetches, usable) = evidence.fetches(case.now);
    if usable.saturating_mul(1000) < fetches.saturating_mul(FETCHES_GOOD) {
        return Err(format!("Only {usable} of {fetches} fetches of the last seven days brought the policy."));
    }
    match evidence.fetch_since {
        Some(since) if case.now.since(since) >= WEEK => {
            Ok(format!("{usable} of {fetches} fetches of the last seven days brought the policy."))
        }
        _ => Err("The policy was not watched for seven days yet.".to_owned()),
    }
}

/// Since the start of testing, which every change of patterns and MX set begins anew.
fn stood_for(case: &Case<'_>, wanted: Duration) -> Told {
    let Some(since) = case.history.domain.testing_since else {
        return Err("Testing has not begun.".to_owned());
    };
    let stood = case.now.since(since);
    let text = format!(
        "Mode, patterns and MX records have been the same for {}; {} are wanted.",
        words::length(stood),
        words::length(wanted)
    );
    if stood >= wanted { Ok(text) } else { Err(text) }
}

fn mx_covered(case: &Case<'_>, policy: &Policy) -> Told {
    if !case.mx_lookup.answered() || case.observation.domain.mx.failure().is_some() {
        return Err("The MX records cannot be looked up now.".to_owned());
    }
    let odd = |target: &MxTarget| !matches!(target, MxTarget::Host(_) | MxTarget::Null);
    if let Some(record) = case.mx_lookup.records().iter().find(|record| odd(&record.target)) {
        return Err(format!("The MX record {} names no host.", record.target));
    }
    let recent = case.history.domain.mx_hosts.iter().filter(|known| case.now.since(known.last) <= WEEK);
    let hosts: Vec<&MxHost> = recent.map(|known| &known.host).collect();
    if hosts.is_empty() {
        return Err("No mail host is known.".to_owned());
    }
    let uncovered: Vec<&&MxHost> = hosts.iter().filter(|host| !policy.matches(host)).collect();
    match uncovered.is_empty() {
        true => Ok(format!("The policy lists {}.", words::list(&hosts, MOST))),
        false => Err(format!("The policy does not list {}.", words::list(&uncovered, MOST))),
    }
}

/// Every address of every mail host.
fn every_path(case: &Case<'_>, what: &str, holds: impl Fn(&Case<'_>, &MxHost, &AddressAssessment) -> bool) -> Told {
    let mut all = 0_usize;
    let mut bad = Vec::new();
    for mx in case.mx() {
        match &mx.host {
            Some(host) if !mx.addresses.is_empty() => {
                all += mx.addresses.len();
                let failing = mx.addresses.iter().filter(|address| !holds(case, host, address));
                bad.extend(failing.map(|address| format!("{host} [{}]", address.path.address)));
            }
            _ => bad.push(mx.target.clone()),
        }
    }
    if !bad.is_empty() {
        return Err(format!(
            "Not in every probe of the last three days, or not in three, {what}: {}.",
            words::list(&bad, MOST)
        ));
    }
    match all {
        0 => Err("No mail host is known.".to_owned()),
        _ => Ok(format!("Every probe of the last three days found {what}.")),
    }
}

fn starttls(case: &Case<'_>, host: &MxHost, address: &AddressAssessment) -> bool {
    let history = case.history.hosts.get(host).and_then(|known| known.addresses.get(&address.path.address));
    history.is_some_and(|known| known.tls.held(PROBES_IN_A_ROW, PROBES, case.now))
}

fn certificate(case: &Case<'_>, host: &MxHost, address: &AddressAssessment) -> bool {
    let history = case.history.hosts.get(host).and_then(|known| known.addresses.get(&address.path.address));
    let near = address.path.certificate.as_ref().is_none_or(|shown| is_near_its_end(case, &shown.chain));
    !near && history.is_some_and(|known| known.verified.held(PROBES_IN_A_ROW, PROBES, case.now))
}

fn dane_consistent(case: &Case<'_>) -> Told {
    let with = |wanted: Outcome| -> Vec<&str> {
        let found = |mx: &&MxAssessment| mx.addresses.iter().any(|address| address.dane == wanted);
        case.mx().iter().filter(found).map(|mx| mx.target.as_str()).collect()
    };
    let (refused, untold) = (with(Outcome::Refused), with(Outcome::CannotTell));
    if !refused.is_empty() {
        return Err(format!("Senders that apply DANE do not deliver to {}.", words::list(&refused, MOST)));
    }
    if !untold.is_empty() {
        return Err(format!("Whether DANE holds cannot be told for {}.", words::list(&untold, MOST)));
    }
    match case.mx().is_empty() {
        true => Err("No mail host is known.".to_owned()),
        false => Ok("No sender that applies DANE is refused.".to_owned()),
    }
}

/// Whether a probe told lately enough whether the address can be reached.
pub(crate) fn is_told(known: &AddressHistory, mx_interval: Duration, now: Timestamp) -> bool {
    known.last_told_at().is_some_and(|told| now.since(told) <= mx_interval * MISSED_INTERVALS)
}

/// `covered`: reports show that senders deliver by the present policy (`reports-seen`).
fn probes_complete(case: &Case<'_>, covered: bool) -> Told {
    let mut missed = Vec::new();
    let mut by_reports = Vec::new();
    for mx in case.mx() {
        let history = mx.host.as_ref().and_then(|host| case.history.hosts.get(host));
        if mx.addresses.is_empty() || mx.skipped > 0 {
            missed.push(mx.target.clone());
        }
        for address in &mx.addresses {
            let known = history.and_then(|known| known.addresses.get(&address.path.address));
            if known.is_some_and(|known| is_told(known, case.context.mx_interval, case.now)) {
                continue;
            }
            let name = format!("{} [{}]", mx.target, address.path.address);
            let list = if covered && reports_cover(case, mx) { &mut by_reports } else { &mut missed };
            list.push(name);
        }
    }
    if case.observation.skipped_hosts > 0 {
        missed.push(format!("{} more mail hosts", case.observation.skipped_hosts));
    }
    match (missed.is_empty(), case.mx().is_empty()) {
        (_, true) => Err("No mail host is known.".to_owned()),
        (true, _) if by_reports.is_empty() => Ok("Every address was seen.".to_owned()),
        (true, _) => Ok(format!("Seen by reporters alone: {}.", words::list(&by_reports, MOST))),
        (false, _) => Err(format!("Not seen: {}.", words::list(&missed, MOST))),
    }
}

fn tlsrpt_record(case: &Case<'_>) -> Told {
    let destinations = case.tlsrpt.value.as_ref().map_or(0, |record| record.rua.len());
    if !case.observation.domain.tlsrpt_record.answered() {
        return Err("The TLSRPT record cannot be looked up now.".to_owned());
    }
    let Some(record) = case.tlsrpt.value.as_ref().filter(|_| case.tlsrpt.valid() && destinations > 0) else {
        return Err("There is no valid TLSRPT record: failures of senders would not be told.".to_owned());
    };
    let known = |destination: &&Destination| case.history.domain.rua.get(&destination.uri);
    // A server that does not answer once may be restarting: until it counts, what was known stands.
    let reachable = |destination: &&Destination| {
        known(destination).is_some_and(|known| known.reached_at.is_some())
            && unreachable_words(case, destination).is_none()
    };
    if let Some(destination) = record.rua.iter().find(reachable) {
        return Ok(format!("The TLSRPT record is valid, and reports can be sent to {destination}."));
    }
    let lost: Vec<String> = record.rua.iter().filter_map(|destination| unreachable_words(case, destination)).collect();
    Err(match lost.is_empty() {
        true => "Whether reports can be sent to a destination of the TLSRPT record could not be seen yet.".to_owned(),
        false => {
            format!("Reports cannot be sent to any destination of the TLSRPT record: {}.", words::list(&lost, MOST))
        }
    })
}

/// Whether a result type tells of a session that a sender would refuse in mode enforce. What has no word cannot be told, and counts.
const fn would_be_refused(result_type: ResultType) -> bool {
    match result_type {
        ResultType::StarttlsNotSupported
        | ResultType::CertificateHostMismatch
        | ResultType::CertificateExpired
        | ResultType::CertificateNotTrusted
        | ResultType::ValidationFailure
        | ResultType::StsPolicyFetchError
        | ResultType::StsPolicyInvalid
        | ResultType::StsWebpkiInvalid
        | ResultType::Other => true,
        ResultType::TlsaInvalid | ResultType::DnssecInvalid | ResultType::DaneRequired => false,
    }
}

/// The sessions under MTA-STS that a reporter's day tells of and that enforce would refuse. Failures that no detail explains are among
/// them: a required condition fails where it cannot be told.
fn refusals(said: &ReporterDay) -> u64 {
    let (mut refused, mut others) = (0_u64, 0_u64);
    for (policy_type, result_type, _, sessions) in said.details() {
        let sum = if would_be_refused(result_type) { &mut refused } else { &mut others };
        if policy_type == PolicyType::Sts {
            *sum = sum.saturating_add(sessions);
        }
    }
    let unexplained = said.sessions(PolicyType::Sts).failed.saturating_sub(refused.saturating_add(others));
    refused.saturating_add(unexplained)
}

fn whole_days(window: Duration) -> i64 {
    // More than are kept are not there to be looked at.
    i64::try_from(window.as_secs() / DAY.as_secs()).map_or(DAYS_KEPT, |days| days.min(DAYS_KEPT))
}

/// Reports that prove nothing are held against the domain, and never count for it.
fn reports_clean(case: &Case<'_>, policy: &Policy, window: Duration) -> Told {
    let Some(reports) = case.history.reports.as_deref() else {
        return Ok("No report source is configured, so no report tells of a failure.".to_owned());
    };
    let print = policy.print();
    let days = Days::new(reports, case.now, ON_TIME);
    let week = days.last(CLEAN_DAYS);
    let mut recent: BTreeMap<&str, u64> = BTreeMap::new();
    let mut earlier: BTreeMap<&str, u64> = BTreeMap::new();
    let mut sessions = 0_u64;
    for (day, name, said) in days.of(days.last(whole_days(window))) {
        // What a sender found by an older policy says nothing of the present one, nor does it count for it.
        if is_verified(name) && !said.policies.is_empty() && !said.policies.contains(&print) {
            continue;
        }
        let refused = refusals(said);
        let in_week = week.contains(&day);
        if refused > 0 {
            let sum = if in_week { &mut recent } else { &mut earlier }.entry(name).or_default();
            *sum = sum.saturating_add(refused);
        }
        if !in_week && is_verified(name) {
            sessions = sessions.saturating_add(said.sessions(PolicyType::Sts).sessions);
        }
    }
    let sum = |by: &BTreeMap<&str, u64>| by.values().fold(0_u64, |sum, sessions| sum.saturating_add(*sessions));
    let failed = sum(&recent);
    if failed > 0 {
        return Err(format!(
            "Enforce would have refused {failed} sessions of the last seven complete days, by {}.",
            words::list(&recent.keys().collect::<Vec<_>>(), MOST)
        ));
    }
    let failed = sum(&earlier);
    let rare = failed.saturating_mul(RARE_ONE_IN) < sessions && earlier.len() < FAILING_REPORTERS;
    if failed > 0 && !rare {
        return Err(format!(
            "Enforce would have refused {failed} of {sessions} sessions before the last seven complete days, by {}.",
            words::list(&earlier.keys().collect::<Vec<_>>(), MOST)
        ));
    }
    Ok("No report of the last seven complete days tells of a session that enforce would refuse.".to_owned())
}

/// Whether reporters deliver by the present version of the policy.
fn reports_seen(case: &Case<'_>, policy: &Policy, window: Duration) -> Told {
    let Some(reports) = case.history.reports.as_deref() else {
        return Err("No report source is configured.".to_owned());
    };
    let print = policy.print();
    let days = Days::new(reports, case.now, ON_TIME);
    let mut by: BTreeMap<&str, (BTreeSet<i64>, u64)> = BTreeMap::new();
    for (day, name, said) in days.of(days.last(whole_days(window))) {
        let sessions = said.sessions(PolicyType::Sts).sessions;
        if is_one(name) && sessions > 0 && said.policies.contains(&print) {
            let (on, all) = by.entry(name).or_default();
            on.insert(day);
            *all = all.saturating_add(sessions);
        }
    }
    by.retain(|_, (on, _)| on.len() >= SEEN_ON_DAYS);
    let names: Vec<&str> = by.keys().copied().collect();
    let large = by.iter().find(|(_, (_, sessions))| *sessions >= LARGE_FROM);
    match (names.len(), large) {
        (SEEN_BY.., _) => Ok(format!("The present policy is applied by {}.", words::list(&names, MOST))),
        (_, Some((name, _))) => Ok(format!("The present policy is applied by {name}, which has many sessions.")),
        (0, None) => Err("No reporter showed sessions under the present policy on five complete days.".to_owned()),
        (_, None) => Err(format!("Only {} showed sessions under the present policy.", words::list(&names, MOST))),
    }
}

/// Whether reports stand in for probes of a host: senders try it first, and none tells of a failure there.
fn reports_cover(case: &Case<'_>, mx: &MxAssessment) -> bool {
    let Some(reports) = case.history.reports.as_deref() else { return false };
    let first = case.mx().iter().map(|mx| mx.preference).min();
    let days = Days::new(reports, case.now, ON_TIME);
    let fails_here =
        |said: &ReporterDay| said.details().any(|(_, _, host, _)| host.is_none_or(|host| host == mx.target));
    first == Some(mx.preference) && !days.of(days.recent(CLEAN_DAYS)).any(|(_, _, said)| fails_here(said))
}

fn max_age_suitable(policy: &Policy) -> Told {
    let advice = "for the first days in enforce 86400 to 604800 is well, then weeks";
    let text = format!("max_age is {}; {advice}.", policy.max_age);
    if (MaxAge::SHORT..=MaxAge::CAP).contains(&policy.max_age) { Ok(text) } else { Err(text) }
}
