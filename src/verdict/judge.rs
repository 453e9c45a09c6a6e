//! The judgement of one domain.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Acceptance, AddressAssessment, Assessment, DnssecStates, Enforcement, Expectation, History, HostPattern, Kinds,
    MxAssessment, Outcome, PathCounts, PolicyAssessment, RecordAssessment, SenderState, Senders, Severity, State,
    Thresholds, TlsRptAssessment,
    case::{Case, MailHosts, View, has_no_address, sts},
    outlook::history_assessment,
    reports, rules,
};
use crate::{
    facts::{Observation, Vantage},
    protocol::mta_sts::{Mode, Policy},
    terms::{MxHost, Octets, PolicyDomain, Timestamp},
};

/// What a judgement needs beside the observation and the history.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What this side could see.
    pub vantage: &'a Vantage,
    /// How the domain should be.
    pub expectation: Option<&'a Expectation>,
    /// The limits to compare with.
    pub thresholds: &'a Thresholds,
    /// Severities given by the configuration, by code.
    pub severities: &'a BTreeMap<String, Severity>,
    /// Findings that are accepted.
    pub accept: &'a [Acceptance],
    /// Hosts that are the operator's own, besides those inside the domain.
    pub own_mx: &'a [HostPattern],
    /// The nearest parent domain in the configuration (or the run) that has a policy in enforce.
    pub enforcing_parent: Option<&'a PolicyDomain>,
    /// There is no history and there will be none (`check`): what was seen counts at once.
    pub once: bool,
    /// The interval at which the domain is looked at.
    pub interval: Duration,
    /// The interval at which addresses are probed: how long a last outcome stands is measured by it.
    pub mx_interval: Duration,
    /// Mail hosts that are to come.
    pub planned_mx: &'a [MxHost],
}

/// Judges what was seen of a domain.
///
/// `history` holds the present observation already.
pub fn judge(observation: &Observation, history: &History, context: &Context<'_>, now: Timestamp) -> Assessment {
    let case = Case::new(observation, history, context, now);
    let AllViews { senders, held_refuses } = senders(&case);
    let sight = rules::Sight::of(&case);
    let reports = reports::assess(&case);
    let outlook = history_assessment(&case);
    let beside = rules::Beside { sight: &sight, outlook: &outlook, reports: reports.as_ref() };
    let findings = rules::all(&case, &beside, all_down(&case));
    let seen = &*observation.domain;
    Assessment {
        domain: seen.domain.clone(),
        checked_at: seen.started_at,
        duration: seen.duration,
        delivery: delivery(&case, &senders, held_refuses),
        senders,
        findings,
        expectations: rules::expectations(&case),
        dnssec: DnssecStates {
            mx: seen.mx.security,
            sts: seen.sts_record.security,
            tlsrpt: seen.tlsrpt_record.security,
        },
        dnssec_sight: context.vantage.dnssec,
        mx_signatures: seen.mx.signatures.clone(),
        sts_record: sts_record(&case),
        policy: policy(&case),
        mx_lookup_success: seen.mx.answered(),
        mx_records: case.mx_lookup.answered().then(|| case.mx_lookup.records().len()),
        tlsrpt: tlsrpt(&case),
        reports,
        history: outlook,
        own_side: sight.own_side,
        unseen: sight.unseen,
        mx: match case.hosts {
            MailHosts::Hosts(hosts) => hosts,
            _ => Vec::new(),
        },
    }
}

/// The kinds of sender, and what their joined views do not show.
struct AllViews {
    senders: Senders,
    /// Senders that hold a policy refuse a path.
    held_refuses: bool,
}

fn senders(case: &Case<'_>) -> AllViews {
    let same = |state: SenderState| AllViews { senders: Senders::all(state), held_refuses: false };
    let refused = PathCounts { refused: 1, ..PathCounts::default() };
    if case.mx_unanswered && !matches!(case.hosts, MailHosts::Null) {
        // Nobody who validates finds a host: the paths that were known are refused, whatever they do.
        let paths = case.mx().iter().map(|mx| mx.addresses.len().max(1)).sum::<usize>();
        return same(SenderState::from_paths(PathCounts { refused: paths.max(1), ..PathCounts::default() }));
    }
    match &case.hosts {
        MailHosts::Null => same(SenderState::no_mail()),
        MailHosts::Nowhere if expects_no_mail(case) => same(SenderState::no_mail()),
        // Where nobody can deliver, that is one path on which everybody is refused.
        MailHosts::Nowhere | MailHosts::Nonexistent => same(SenderState::from_paths(refused)),
        MailHosts::Unknown => same(SenderState::from_paths(PathCounts::default())),
        MailHosts::Hosts(hosts) => {
            let of = |outcome: &dyn Fn(&MxHost, &AddressAssessment) -> Outcome,
                      unknown: &dyn Fn(&MxAssessment) -> Outcome| {
                SenderState::from_paths(counts(hosts, outcome, unknown)).unless(leaves_unseen(hosts, outcome))
            };
            let cannot_tell = |_: &MxAssessment| Outcome::CannotTell;
            let unreached = |mx: &MxAssessment| mx.dane.without_address();
            let opportunistic = of(&|_, address| address.opportunistic, &cannot_tell);
            let mut sts_state = of(&|_, address| address.sts, &cannot_tell);
            let dane = of(&|_, address| address.dane, &unreached);
            let mut both = of(&|_, address| address.sts.and(address.dane), &unreached);
            let mut held_refuses = false;
            for cached in &case.cached_views {
                let view = View::Policy(Some(Arc::clone(cached)));
                let outcome = |host: &MxHost, address: &AddressAssessment| sts(&view, host, &address.path);
                let held = of(&outcome, &cannot_tell);
                held_refuses |= held.paths.refused > 0;
                sts_state = sts_state.joined_with(held);
                both = both.joined_with(of(&|host, address| outcome(host, address).and(address.dane), &unreached));
            }
            AllViews { senders: Senders { opportunistic, sts: sts_state, dane, both }, held_refuses }
        }
    }
}

/// Every path of the domain is down, as far as paths are known.
fn all_down(case: &Case<'_>) -> bool {
    let paths = counts(case.mx(), &|_, address| address.opportunistic, &|_| Outcome::CannotTell);
    SenderState::from_paths(paths).state == State::Blocked
}

fn expects_no_mail(case: &Case<'_>) -> bool {
    case.context.expectation.is_some_and(|expectation| expectation.mail == Some(false))
}

/// The paths of all hosts. A host without an address, or no host at all, is one path that everybody is refused on; one whose
/// addresses are not known is one path, with the outcome that `unknown` gives.
fn counts(
    hosts: &[MxAssessment],
    outcome: &dyn Fn(&MxHost, &AddressAssessment) -> Outcome,
    unknown: &dyn Fn(&MxAssessment) -> Outcome,
) -> PathCounts {
    hosts
        .iter()
        .flat_map(|mx| {
            let Some(host) = &mx.host else { return vec![Outcome::Refused] };
            if mx.addresses.is_empty() {
                let absent = mx.lookup.as_ref().is_some_and(|seen| has_no_address(&seen.addresses));
                return vec![if absent { Outcome::Refused } else { unknown(mx) }];
            }
            mx.addresses.iter().map(|address| outcome(host, address)).collect()
        })
        .collect()
}

/// Whether mail gets through on a path of which it cannot be told from here what these senders make of it.
fn leaves_unseen(hosts: &[MxAssessment], outcome: &dyn Fn(&MxHost, &AddressAssessment) -> Outcome) -> bool {
    let unseen = |host, address: &AddressAssessment| {
        address.opportunistic == Outcome::Open && outcome(host, address) == Outcome::CannotTell
    };
    let mut named = hosts.iter().filter_map(|mx| Some((mx.host.as_ref()?, mx)));
    named.any(|(host, mx)| mx.addresses.iter().any(|address| unseen(host, address)))
}

fn delivery(case: &Case<'_>, senders: &Senders, held_refuses: bool) -> State {
    let enforces = |policy: &Option<Arc<Policy>>| policy.as_ref().is_some_and(|policy| policy.mode == Mode::Enforce);
    let sts_enforces = match &case.new_view {
        View::CannotTell => Enforcement::CannotTell,
        View::Policy(policy) if enforces(policy) || !case.cached_views.is_empty() => Enforcement::On,
        View::Policy(_) => Enforcement::Off,
    };
    let hosts = || case.mx().iter().map(|mx| mx.dane.enforcement());
    let dane_enforces = [Enforcement::On, Enforcement::CannotTell]
        .into_iter()
        .find(|wanted| hosts().any(|found| found == *wanted))
        .unwrap_or(Enforcement::Off);
    let Senders { opportunistic, sts, dane, both } = *senders;
    Kinds { opportunistic, sts, dane, both, held_refuses, sts_enforces, dane_enforces }.state()
}

fn escaped(records: &[Vec<Octets>]) -> Vec<String> {
    records.iter().map(|strings| strings.iter().map(ToString::to_string).collect::<String>()).collect()
}

fn sts_record(case: &Case<'_>) -> RecordAssessment {
    let lookup = case.sts_lookup;
    let present = lookup.answered().then(|| !case.record.presence.is_absent());
    let there = present == Some(true);
    RecordAssessment {
        lookup_success: case.observation.domain.sts_record.answered(),
        present,
        valid: there.then(|| case.record.valid()),
        usable: there.then(|| case.record.usable()),
        id: case.record.value.as_ref().map(|record| record.id.clone()),
        txt: escaped(lookup.records()),
        cname: lookup.cname.clone(),
        ttl: lookup.ttl(),
    }
}

fn tlsrpt(case: &Case<'_>) -> TlsRptAssessment {
    let lookup = case.tlsrpt_lookup;
    let present = lookup.answered().then(|| !case.tlsrpt.presence.is_absent());
    let there = present == Some(true);
    TlsRptAssessment {
        lookup_success: case.observation.domain.tlsrpt_record.answered(),
        present,
        valid: there.then(|| case.tlsrpt.valid()),
        usable: there.then(|| case.tlsrpt.usable()),
        rua: case.tlsrpt.value.as_ref().map(|record| record.rua.clone()).unwrap_or_default(),
        txt: escaped(lookup.records()),
    }
}

fn policy(case: &Case<'_>) -> PolicyAssessment {
    let best = case.policy.best();
    let response = best.and_then(|view| view.fetch.response.as_ref());
    let current = case.policy.usable().cloned().map(Arc::new);
    let hosts: Vec<MxHost> = case.mx().iter().filter_map(|mx| mx.host.clone()).collect();
    let compared = current.as_ref().filter(|policy| !hosts.is_empty() && policy.mode != Mode::None);
    let deployed = case.announced() || !case.policy.fetches.is_empty();
    PolicyAssessment {
        host: Some(Arc::new(case.policy.host.clone())),
        deployed,
        fetch_success: if deployed { case.fetched } else { None },
        valid: best.and_then(|view| view.reading.as_ref()).map(|reading| reading.valid()),
        last_success_at: case.history.domain.policy_seen_at,
        result_type: case.policy.result_type().filter(|_| case.announced() && case.fetched == Some(false)),
        http_status: response.map(|response| response.status),
        media_type: response.and_then(|response| response.content_type.as_ref()).map(ToString::to_string),
        certificate: best.and_then(|view| view.certificate.clone()),
        addresses: case.policy.addresses(),
        body: response.filter(|response| response.status == 200).map(|response| response.body.to_text()),
        // Hosts beyond the cap may be the ones that a pattern is for.
        unused_patterns: compared
            .filter(|_| case.observation.skipped_hosts == 0)
            .map(|policy| policy.unused_patterns(&hosts).len()),
        in_force: case.in_force.clone(),
        current,
    }
}
