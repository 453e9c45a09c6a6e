//! What reports say.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{Raised, whose::for_host};
use crate::{
    facts::Reporter,
    protocol::tls_rpt::{PolicyType, ResultType},
    terms::Timestamp,
    verdict::{
        Code, Fixer, Novelty, OwnView, ReportedFailure, ReporterStanding, ReportsAssessment, Sessions, Severity,
        Subject,
        case::Case,
        reports::{Days, HeldVersion, ON_TIME, advice, is_missed, is_verified, new_after},
        words,
    },
};

/// More names than this make a detail unreadable.
const MOST: usize = 4;
/// A share of fewer sessions says nothing: the failure of one would be large.
const SHARE_OF_MORE_THAN: u64 = 10;
/// `reports-failing` ends after so many complete days below the share.
const BELOW_FOR: usize = 2;
/// Days on which nobody reported are none below the share; what is older than this says nothing of the present.
const WEEK: i64 = 7;
/// The four weeks that the last one is compared with.
const BEFORE: i64 = 28;
/// A distribution of fewer sessions is chance, in each of the two stretches.
const SPREAD_OF_AT_LEAST: u64 = 100;
/// … and so many days of the four weeks have to have reports.
const SPREAD_OVER_DAYS: usize = 14;

pub(super) fn rules(case: &Case<'_>, said: &ReportsAssessment, raised: &mut Raised) {
    let Some(reports) = case.history.reports.as_deref() else { return };
    let days = Days::new(reports, case.now, ON_TIME);
    failing(case, days, said, raised);
    new_failures(case, said, raised);
    silent(case, said, raised);
    cache_old(case, said, raised);
    shifted(case, days, raised);
}

fn subject(case: &Case<'_>) -> Subject {
    Subject::Reports(case.domain.clone())
}

/// The day in words, `2026-11-20`.
fn day(day: i64) -> String {
    words::day(Timestamp::from_unix_seconds(day.saturating_mul(86_400)))
}

fn under(policy_type: PolicyType) -> &'static str {
    match policy_type {
        PolicyType::Sts => "under MTA-STS",
        PolicyType::Tlsa => "under DANE",
        PolicyType::NoPolicyFound => "without a policy",
        PolicyType::Other => "under a policy of another kind",
    }
}

/// What is to be done about a failure of which reports tell, as one text without line breaks.
fn fix(case: &Case<'_>, result_type: ResultType, policy_type: PolicyType, own: Option<&ReportedFailure>) -> String {
    let fix = advice(result_type, policy_type).fix.replace("DOMAIN", case.domain.as_str());
    let fix = match own.and_then(|failure| host_of(case, failure)) {
        Some(host) => for_host(case, host, &fix),
        None => fix,
    };
    match own {
        Some(failure) => format!("{fix} {}", failure.own_words),
        None => fix,
    }
}

/// The mail host on which a failure is mended. A reporter may name any host; only those of the domain are told of.
fn host_of<'f>(case: &Case<'_>, failure: &'f ReportedFailure) -> Option<&'f str> {
    let named = failure.mx.as_deref().filter(|_| is_of_a_host(failure.result_type));
    named.filter(|name| case.mx().iter().any(|mx| mx.target == *name))
}

/// Who can mend a failure: who runs the mail host, or the policy. Where no host is named, it is a provider's if every one is.
fn fixer(case: &Case<'_>, failure: &ReportedFailure) -> Fixer {
    let elsewhere = match (host_of(case, failure), is_of_a_host(failure.result_type)) {
        (Some(host), _) => !case.is_own(host),
        (None, true) => !case.mx().is_empty() && case.mx().iter().all(|mx| !case.is_own(&mx.target)),
        (None, false) => failure.result_type != ResultType::Other && case.policy_provider().is_some(),
    };
    if elsewhere { Fixer::Provider } else { Fixer::You }
}

/// Whether a failure is mended on the mail host.
const fn is_of_a_host(result_type: ResultType) -> bool {
    !matches!(
        result_type,
        ResultType::StsPolicyFetchError
            | ResultType::StsPolicyInvalid
            | ResultType::StsWebpkiInvalid
            | ResultType::Other
    )
}

const UNPROVEN: &str = " These reports prove nothing of who sent them.";

/// What stands out under one kind of policy, by those who prove who they are or those who do not.
struct Failing {
    policy_type: PolicyType,
    verified: bool,
    last_day: i64,
    sessions: Sessions,
}

fn failing(case: &Case<'_>, days: Days<'_>, said: &ReportsAssessment, raised: &mut Raised) {
    let limit = case.context.thresholds.reports_failing.ratio();
    let mut found: Vec<Failing> = Vec::new();
    // Reports that prove nothing must neither drown a failure that others tell of, nor make one.
    for verified in [true, false] {
        for policy_type in PolicyType::ALL {
            let mut by_day: BTreeMap<i64, Sessions> = BTreeMap::new();
            for (day, name, said) in days.of(days.last(WEEK)) {
                if is_verified(name) == verified {
                    let sum = by_day.entry(day).or_default();
                    *sum = sum.plus(said.sessions(policy_type));
                }
            }
            by_day.retain(|_, all| all.sessions > 0);
            let week = by_day.values().copied().fold(Sessions::default(), Sessions::plus);
            let is_over = |all: &Sessions| share(*all) > limit && all.failed > 0;
            // Where few write, the days of a week together are many enough.
            let together = week.sessions > SHARE_OF_MORE_THAN && is_over(&week);
            let latest = by_day.iter().rev().take(BELOW_FOR);
            let counts = |all: &Sessions| is_over(all) && (together || all.sessions > SHARE_OF_MORE_THAN);
            let standing = latest.filter(|(_, all)| counts(all)).map(|(day, all)| (*day, *all)).next();
            found.extend(standing.map(|(last_day, sessions)| Failing { policy_type, verified, last_day, sessions }));
        }
    }
    found.sort_by_key(|one| (!one.verified, Reverse(one.sessions.failed)));
    let Some(worst) = found.first() else { return };
    let named = |failure: &&ReportedFailure| {
        failure.policy_type == worst.policy_type
            && failure.reporters.iter().any(|name| is_verified(name) == worst.verified)
    };
    let leading = said.failures.iter().find(named);
    let most = leading.map_or_else(String::new, |failure| format!(", most of them {}", failure_words(failure)));
    let others: Vec<&str> = found.iter().skip(1).map(|one| under(one.policy_type)).collect();
    let others: Vec<&str> = others.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let others = match others.is_empty() {
        true => String::new(),
        false => format!(" The share is passed {} as well.", words::list(&others, MOST)),
    };
    raised.raise(
        case,
        Code::ReportsFailing,
        subject(case),
        format!(
            "Reporters saw {} of {} sessions {} fail on {} ({}, where {} is the limit){most}.{others}{}",
            worst.sessions.failed,
            worst.sessions.sessions,
            under(worst.policy_type),
            day(worst.last_day),
            percent(share(worst.sessions)),
            case.context.thresholds.reports_failing,
            if worst.verified { "" } else { UNPROVEN },
        ),
        match leading {
            Some(failure) => fix(case, failure.result_type, failure.policy_type, Some(failure)),
            None => {
                "The reports tell of no reason; ask the reporter, and compare with what this monitor sees.".to_owned()
            }
        },
    );
    if let Some(failure) = leading {
        raised.mended_by(fixer(case, failure));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
fn share(all: Sessions) -> f64 {
    // Reporters count more failures than sessions at times.
    let sessions = all.sessions.max(all.failed);
    if sessions == 0 { 0.0 } else { all.failed as f64 / sessions as f64 }
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 10.0 { format!("{percent:.0}%") } else { format!("{percent:.1}%") }
}

fn failure_words(failure: &ReportedFailure) -> String {
    let at = failure.mx.as_ref().map(|mx| format!(" at {mx}")).unwrap_or_default();
    format!("{}{at}", failure.result_type.as_str())
}

fn new_failures(case: &Case<'_>, said: &ReportsAssessment, raised: &mut Raised) {
    if said.new_failures.is_empty() {
        return;
    }
    let mut told = Vec::new();
    let mut first: Option<&ReportedFailure> = None;
    let mut proven = false;
    for new in &said.new_failures {
        let (of, what) = match &new.what {
            Novelty::Type(policy_type, result_type) | Novelty::UnprovenType(policy_type, result_type) => {
                let verified = matches!(new.what, Novelty::Type(..));
                proven |= verified;
                let of = said.failures.iter().find(|failure| {
                    failure.policy_type == *policy_type
                        && failure.result_type == *result_type
                        && failure.reporters.iter().any(|name| is_verified(name) == verified)
                });
                let by = match of {
                    Some(failure) if verified => {
                        let names: Vec<&String> = failure.reporters.iter().filter(|name| is_verified(name)).collect();
                        format!(" by {}", words::list(&names, MOST))
                    }
                    _ if verified => String::new(),
                    _ => " by reports that prove nothing of who sent them".to_owned(),
                };
                let what = of.map_or_else(|| result_type.as_str().to_owned(), failure_words);
                (of, format!("{what} {} since {}, told{by}", under(*policy_type), day(new.since)))
            }
            Novelty::Reporter(name) => {
                proven = true;
                let of = said.failures.iter().find(|failure| failure.reporters.contains(name));
                (of, format!("failures at {name} since {}, which saw none before", day(new.since)))
            }
        };
        first = first.or(of);
        // Whoever tells of a type that is new is new to failures most often.
        let repeats = match &new.what {
            Novelty::Reporter(name) => said.new_failures.iter().any(|other| match &other.what {
                Novelty::Type(policy_type, result_type) => said.failures.iter().any(|failure| {
                    failure.policy_type == *policy_type
                        && failure.result_type == *result_type
                        && failure.reporters.contains(name)
                }),
                _ => false,
            }),
            _ => false,
        };
        if !repeats {
            told.push(what);
        }
    }
    raised.raise(
        case,
        Code::ReportsNewFailure,
        subject(case),
        format!(
            "Reports tell of failures that the {} days before did not show: {}.",
            new_after(case.context.thresholds),
            words::list(&told, MOST)
        ),
        match first {
            Some(failure) => {
                let changed = match failure.own {
                    OwnView::Agrees => "",
                    OwnView::Disagrees | OwnView::CannotSee => " Compare with what changed here on that day.",
                };
                let unproven =
                    if proven { "" } else { " A forger can send such reports; see whether others tell the same." };
                format!("{}{changed}{unproven}", fix(case, failure.result_type, failure.policy_type, Some(failure)))
            }
            None => "Look into the reports of that day, and compare with what changed here.".to_owned(),
        },
    );
    if let Some(failure) = first {
        raised.mended_by(fixer(case, failure));
    }
}

fn silent(case: &Case<'_>, said: &ReportsAssessment, raised: &mut Raised) {
    let silent: Vec<&ReporterStanding> = said.reporters.iter().filter(|one| one.silent).collect();
    let regular = said.reporters.iter().filter(|one| one.regular).count();
    // Who sent regularly is forgotten with the days; that it is missed is not.
    let missed = case.history.domain.findings.get(&format!("{} {}", Code::ReportsSilent, case.domain));
    let told = missed.is_some_and(|memory| memory.gone_at.is_none());
    let last_day = said.last_end.map(|end| (end.unix_seconds() - 1).div_euclid(86_400));
    let nobody = last_day.is_some_and(|last| is_missed(case, last));
    if silent.is_empty() && !(told && nobody) {
        return;
    }
    let name = case.domain.tlsrpt_record_name();
    let place = format!(
        "See whether {name} still names the right place, and whether the mailbox or endpoint there still takes reports and hands them to \
         this monitor."
    );
    let (detail, fix) = if nobody || silent.len() == regular && regular > 1 {
        let last = last_day.or_else(|| silent.iter().map(|one| one.last_day).max());
        let since = last.map(|last| format!("; the last ones are about {}", day(last))).unwrap_or_default();
        (format!("No reporter that sent regularly sends reports any more{since}."), place)
    } else {
        let named: Vec<String> =
            silent.iter().map(|one| format!("{} (last about {})", one.name, day(one.last_day))).collect();
        let detail = format!(
            "Reports from {} came on most days and have stopped: failures there are no longer told.",
            words::list(&named, MOST)
        );
        (detail, format!("Nothing to do if that sender has no mail for the domain any more. {place}"))
    };
    raised.raise(case, Code::ReportsSilent, subject(case), detail, fix);
}

fn cache_old(case: &Case<'_>, said: &ReportsAssessment, raised: &mut Raised) {
    let old = said.reporters.iter().filter(|one| one.verified && one.name != Reporter::OTHER);
    let old: Vec<String> = old
        .filter(|one| one.policy == HeldVersion::Old)
        .map(|one| format!("{} (on {})", one.name, day(one.last_day)))
        .collect();
    let Some(current) = case.history.domain.ledger.current().filter(|_| !old.is_empty()) else { return };
    raised.raise_as(
        case,
        Code::ReportsSenderCacheOld,
        Severity::Info,
        subject(case),
        format!(
            "An earlier version of the policy is still applied by {}, although the present one stands since {}: these senders look for \
             a new one less than daily.",
            words::list(&old, MOST),
            words::day(current.since)
        ),
        "When a sender looks again is its own affair, and nobody here can hasten it. Keep what the earlier version names in service \
         until it has expired there, and see that the id of the record changed with the policy.",
    );
}

fn shifted(case: &Case<'_>, days: Days<'_>, raised: &mut Raised) {
    let spread = |over| {
        let mut by: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, name, said) in days.of(over) {
            // What anybody may invent is no distribution.
            if is_verified(name) {
                let sum = by.entry(name).or_default();
                *sum = sum.saturating_add(said.most_sessions().sessions);
            }
        }
        by
    };
    let last = days.last(WEEK);
    let before_days = last.start() - BEFORE..=last.start() - 1;
    let (now, before) = (spread(last), spread(before_days.clone()));
    let total = |by: &BTreeMap<&str, u64>| by.values().fold(0_u64, |sum, sessions| sum.saturating_add(*sessions));
    let (all_now, all_before) = (total(&now), total(&before));
    if all_now.min(all_before) < SPREAD_OF_AT_LEAST || days.reported(before_days, is_verified) < SPREAD_OVER_DAYS {
        return;
    }
    let names: BTreeSet<&str> = now.keys().chain(before.keys()).copied().collect();
    let part = |by: &BTreeMap<&str, u64>, all: u64, name: &str| {
        share(Sessions { sessions: all, failed: by.get(name).copied().unwrap_or(0) })
    };
    let mut moved: Vec<(f64, f64, &str)> =
        names.into_iter().map(|name| (part(&before, all_before, name), part(&now, all_now, name), name)).collect();
    // The total variation distance: the share of sessions that went from some reporters to others.
    let distance = moved.iter().map(|(before, now, _)| (now - before).abs()).sum::<f64>() / 2.0;
    if distance <= case.context.thresholds.reports_shift.ratio() {
        return;
    }
    moved.sort_by(|a, b| (b.1 - b.0).abs().total_cmp(&(a.1 - a.0).abs()).then(a.2.cmp(b.2)));
    let told: Vec<String> = moved
        .iter()
        .take(MOST)
        .map(|(before, now, name)| format!("{name} from {} to {}", percent(*before), percent(*now)))
        .collect();
    raised.raise(
        case,
        Code::ReportsDistributionShift,
        subject(case),
        format!(
            "In the last seven days {} of the sessions were told of by other reporters than in the four weeks before: {}.",
            percent(distance),
            words::list(&told, MOST)
        ),
        "Nothing to do where the change is known. Else see which sender stopped, or what makes another one write so much.",
    );
}
