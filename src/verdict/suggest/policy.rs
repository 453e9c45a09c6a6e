//! The policy that fits the mail hosts of a domain, and when which step towards enforce comes (RFC 8461 §3.2, §8).

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::provider::{Provider, provider_of};
use crate::{
    protocol::mta_sts::{Mode, MxPattern, Policy, SENDER_REFRESH},
    terms::{MaxAge, MxHost, PolicyDomain, PolicyId, Timestamp},
    verdict::{Assessment, EnforceThresholds, Finding, HostPattern, PathAssessment, Reach, State, words},
};

/// In testing nothing is lost by a short life, and every change shows within a day.
pub const TESTING_AGE: MaxAge = MaxAge(86_400);
/// The first step of enforce: a week outlives the usual pause between two mails, and a mistake is over after a week.
pub const FIRST_ENFORCE_AGE: MaxAge = MaxAge(604_800);
/// Where enforce has proved itself: RFC 8461 §3.2 expects "weeks or greater".
pub const LASTING_AGE: MaxAge = MaxAge(2_419_200);
/// Who leaves wants to be forgotten soon (RFC 8461 §8.3).
pub const LEAVING_AGE: MaxAge = MaxAge(86_400);
/// So long the first step of enforce should stand before `max_age` grows: a week has every weekday in it.
const FIRST_ENFORCE_STANDS: Duration = Duration::from_secs(7 * 86_400);
/// RFC 8461 §8.1: the TTL of the record bounds how soon a change is seen.
pub const RECORD_TTL: u32 = 3_600;

/// What the caller knows or wants beside what was seen.
#[derive(Clone, Debug, Default)]
pub struct Wishes<'a> {
    /// The mode that was asked for.
    pub mode: Option<Mode>,
    /// The `max_age` that was asked for.
    pub max_age: Option<MaxAge>,
    /// Hosts that are to become mail hosts: they have to stand in the policy before (RFC 8461 §8.4).
    pub planned_mx: &'a [MxHost],
    /// Hosts that are the domain's own beside those inside it.
    pub own_mx: &'a [HostPattern],
    /// How long testing should last.
    pub enforce: EnforceThresholds,
}

/// What is suggested for a domain.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySuggestion {
    /// Whose.
    pub domain: PolicyDomain,
    /// What the domain needs.
    pub need: Need,
    /// The policy; nothing where there is none to publish.
    pub policy: Option<Policy>,
    /// Why it has its mode.
    pub because: ModeReason,
    /// The id to publish with it: unlike every one that was seen.
    pub id: PolicyId,
    /// The policy that is served now.
    pub published: Option<Arc<Policy>>,
    /// It means the same as the suggested one, and its record is as it should be: there is nothing to change.
    pub unchanged: bool,
    /// What stands in the way, worst first: what enforce would refuse, and what could not be seen.
    pub obstacles: Vec<Obstacle>,
    /// Mail hosts that were not looked at, because there are too many; they are missing in the policy.
    pub left_out: usize,
    /// Patterns of the published policy that no mail host needs; they are missing in the suggested one.
    pub dropped: Vec<MxPattern>,
    /// Mail hosts that are planned and not in the DNS yet.
    pub planned: Vec<MxHost>,
    /// Mail hosts that are run by somebody else, with who that is where the name tells.
    pub foreign: Vec<(MxHost, Option<Provider>)>,
    /// The `_mta-sts` record, as it is.
    pub record: RecordSight,
    /// The policy host, as it is.
    pub policy_host: PolicyHostSight,
    /// The `_smtp._tls` record, as it is.
    pub reports: ReportsSight,
    /// When what should be done.
    pub plan: Plan,
}

/// What a domain needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A policy that lists its mail hosts.
    Policy,
    /// It takes no mail (RFC 7505) and no policy is in force: nothing.
    Nothing,
    /// It takes no mail, and a policy is served or may be held: mode none.
    Withdrawal,
    /// It has neither MX record nor address, or its MX records name no host: first a mail host, or a null MX.
    MailHost,
    /// Its MX records could not be looked up: nothing can be said.
    Look,
}

/// Why the policy has its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeReason {
    /// It was asked for.
    Asked,
    /// The published policy is in enforce: a step back would take the protection away.
    InForce,
    /// In testing, and all conditions for enforce hold.
    Ready,
    /// A record announces a policy that cannot be read, and no other is known: it may be in enforce.
    Unread,
    /// Testing comes first.
    First,
    /// The domain takes no mail.
    NoMail,
}

/// Something that enforce would make a loss of mail, or that could not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The mail host, or the MX target that is none.
    pub host: String,
    /// Its addresses that show it; none where it is about the name.
    pub addresses: Vec<IpAddr>,
    /// What kind of thing it is.
    pub kind: ObstacleKind,
    /// What was seen, in a sentence.
    pub detail: String,
    /// What to do.
    pub fix: String,
}

/// What kind of thing stands in the way; worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObstacleKind {
    /// The MX record names no host.
    NoHostName,
    /// The host cannot be reached.
    Down,
    /// It does not take mail in TLS 1.2 or newer.
    Starttls,
    /// Its certificate does not pass (RFC 8461 §4.2).
    Certificate,
    /// It could not be looked at from here.
    NotSeen,
}

impl ObstacleKind {
    /// The word of JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoHostName => "no-host-name",
            Self::Down => "down",
            Self::Starttls => "starttls",
            Self::Certificate => "certificate",
            Self::NotSeen => "not-seen",
        }
    }
}

/// The `_mta-sts` record, as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordSight {
    /// The lookup was answered.
    pub seen: bool,
    /// Its id, where it is usable.
    pub id: Option<PolicyId>,
    /// A record is there that senders cannot use, or several.
    pub broken: bool,
    /// What the name is an alias of: there the record stands.
    pub alias: Option<String>,
}

/// The policy host, as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyHostSight {
    /// The lookup was answered.
    pub seen: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What the name is an alias of.
    pub alias: Option<String>,
    /// It serves a usable policy as senders want it: the web server is set up.
    pub serves: bool,
}

/// The `_smtp._tls` record, as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportsSight {
    /// The lookup was answered.
    pub seen: bool,
    /// The usable record: it can stay.
    pub record: Option<String>,
    /// A record is there that reporters cannot use.
    pub broken: bool,
}

/// When what should be done. All counted from the publication now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The suggestion is published.
    pub publish: Timestamp,
    /// From then on enforce can be asked for, where the suggestion is in testing.
    pub enforce_from: Option<Timestamp>,
    /// From then on `max_age` can grow to [`LASTING_AGE`], where it has room to.
    pub lengthen_from: Option<Timestamp>,
    /// When senders that look daily know of a change published now.
    pub known_by: Timestamp,
    /// For so long after leaving was published a sender may apply a policy in enforce; zero where none was in enforce.
    pub held_for: Duration,
}

impl PolicySuggestion {
    /// The body to serve; nothing where there is none.
    pub fn body(&self) -> Option<String> {
        self.policy.as_ref().map(policy_body)
    }

    /// Something has to be mended before enforce loses no mail.
    pub fn has_to_wait(&self) -> bool {
        self.left_out > 0 || self.obstacles.iter().any(|obstacle| obstacle.kind != ObstacleKind::NotSeen)
    }
}

/// A policy as a file: lines that end with LF, which every sender reads (RFC 8461 §3.2, erratum 6253).
pub fn policy_body(policy: &Policy) -> String {
    let mut body = format!("version: STSv1\nmode: {}\n", policy.mode);
    for pattern in &policy.mx {
        body.push_str(&format!("mx: {pattern}\n"));
    }
    body.push_str(&format!("max_age: {}\n", policy.max_age));
    body
}

/// Suggests a policy by what was seen of a domain.
pub fn suggest_policy(seen: &Assessment, wishes: &Wishes<'_>, now: Timestamp) -> PolicySuggestion {
    let published = seen.policy.current.clone();
    let need = need(seen, wishes);
    let (mode, because) = mode(seen, wishes, need);
    let hosts = hosts(seen);
    let planned: Vec<MxHost> = wishes.planned_mx.iter().filter(|host| !hosts.contains(host)).cloned().collect();
    let policy = match need {
        Need::Policy => {
            Some(Policy { mode, max_age: max_age(seen, wishes, mode), mx: patterns(&hosts, &planned, mode) })
        }
        Need::Withdrawal => Some(Policy { mode, max_age: wishes.max_age.unwrap_or(LEAVING_AGE), mx: Vec::new() }),
        Need::Nothing | Need::MailHost | Need::Look => None,
    };
    // Without a record nobody looks at the policy, and under an id that did not change with it senders keep the one before.
    let announced = seen.sts_record.usable == Some(true) && seen.history.id_stale != Some(true);
    let unchanged = match (&policy, &published) {
        (Some(suggested), Some(published)) => announced && suggested.same_meaning(published),
        _ => false,
    };
    let dropped = match (&policy, &published) {
        (Some(suggested), Some(published)) if suggested.mode != Mode::None => {
            let all: Vec<MxHost> = hosts.iter().chain(&planned).cloned().collect();
            published.unused_patterns(&all).into_iter().cloned().collect()
        }
        _ => Vec::new(),
    };
    let plan = plan(seen, wishes, policy.as_ref(), unchanged, now);
    PolicySuggestion {
        domain: seen.domain.clone(),
        need,
        because,
        id: fresh_id(seen, now),
        unchanged,
        obstacles: obstacles(seen),
        left_out: seen.mx_records.unwrap_or(0).saturating_sub(seen.mx.len()).min(match need {
            Need::Policy => usize::MAX,
            _ => 0,
        }),
        dropped,
        foreign: foreign(seen, wishes, &hosts),
        planned,
        record: record(seen),
        policy_host: policy_host(seen),
        reports: reports(seen),
        plan,
        policy,
        published,
    }
}

fn need(seen: &Assessment, wishes: &Wishes<'_>) -> Need {
    let held = seen.policy.in_force.is_some() || seen.policy.current.is_some() || !seen.history.held.is_empty();
    match seen.delivery {
        State::NoMail if held || seen.sts_record.present == Some(true) => Need::Withdrawal,
        State::NoMail => Need::Nothing,
        _ if !hosts(seen).is_empty() || !wishes.planned_mx.is_empty() => Need::Policy,
        _ if seen.mx_records.is_none() || !seen.mx_lookup_success => Need::Look,
        _ => Need::MailHost,
    }
}

/// The hosts of the MX records in the order in which senders try them, each once.
fn hosts(seen: &Assessment) -> Vec<MxHost> {
    let mut hosts: Vec<MxHost> = Vec::new();
    for host in seen.mx.iter().filter_map(|mx| mx.host.as_ref()) {
        if !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    hosts
}

fn mode(seen: &Assessment, wishes: &Wishes<'_>, need: Need) -> (Mode, ModeReason) {
    // A policy that no record announces is no protection that could be taken back.
    let announced = seen.policy.current.as_ref().filter(|_| seen.sts_record.usable == Some(true));
    let published = seen.policy.in_force.as_ref().or(announced).map(|policy| policy.mode);
    match wishes.mode {
        _ if need == Need::Withdrawal => (Mode::None, ModeReason::NoMail),
        Some(mode) => (mode, ModeReason::Asked),
        None if published == Some(Mode::Enforce) => (Mode::Enforce, ModeReason::InForce),
        None if seen.history.enforce.as_ref().is_some_and(|enforce| enforce.ready) => {
            (Mode::Enforce, ModeReason::Ready)
        }
        None if seen.sts_record.usable == Some(true) && published.is_none() && seen.history.held.is_empty() => {
            (Mode::Testing, ModeReason::Unread)
        }
        None => (Mode::Testing, ModeReason::First),
    }
}

fn max_age(seen: &Assessment, wishes: &Wishes<'_>, mode: Mode) -> MaxAge {
    let kept = seen.policy.current.as_ref().filter(|policy| policy.mode == mode).map(|policy| policy.max_age);
    let usual = match mode {
        Mode::Testing => TESTING_AGE,
        Mode::Enforce => FIRST_ENFORCE_AGE,
        Mode::None => LEAVING_AGE,
    };
    // What is longer than the usual was somebody's decision.
    let kept = kept.filter(|age| mode != Mode::None && *age >= usual && *age <= MaxAge::CAP);
    wishes.max_age.or(kept).unwrap_or(usual)
}

/// Exact names: a wildcard lets whoever gets a certificate under it pass for a mail host (RFC 8461 §10.4).
fn patterns(hosts: &[MxHost], planned: &[MxHost], mode: Mode) -> Vec<MxPattern> {
    match mode {
        Mode::None => Vec::new(),
        _ => hosts.iter().chain(planned).filter_map(|host| MxPattern::parse(host.as_str())).collect(),
    }
}

/// The time, to the second; a little later where that id was seen already.
fn fresh_id(seen: &Assessment, now: Timestamp) -> PolicyId {
    let used = |id: &PolicyId| {
        seen.sts_record.id.as_ref() == Some(id) || seen.history.held.iter().any(|held| held.ids.contains(id))
    };
    let mut at = now;
    loop {
        let text: String = words::next_id(at).chars().take(PolicyId::MAX_LENGTH).collect();
        match PolicyId::parse(&text) {
            Some(id) if !used(&id) => return id,
            _ => at = at + Duration::from_secs(1),
        }
    }
}

/// The state of a path where enforce would lose mail.
fn fault(path: &PathAssessment) -> Option<ObstacleKind> {
    if path.judged.is_none() {
        return Some(if path.reach == Reach::Down { ObstacleKind::Down } else { ObstacleKind::NotSeen });
    }
    if !path.takes_mail_in_tls() {
        return Some(ObstacleKind::Starttls);
    }
    let verified = path.certificate.as_ref().is_some_and(crate::verdict::CertificateAssessment::verified);
    (!verified).then_some(ObstacleKind::Certificate)
}

fn obstacles(seen: &Assessment) -> Vec<Obstacle> {
    let mut obstacles: Vec<Obstacle> = Vec::new();
    for mx in &seen.mx {
        let Some(host) = &mx.host else {
            obstacles.push(Obstacle {
                host: mx.target.clone(),
                addresses: Vec::new(),
                kind: ObstacleKind::NoHostName,
                detail: format!("The MX record names {}, which is no host name.", mx.target),
                fix: "Name a host in the MX record.".to_owned(),
            });
            continue;
        };
        if mx.addresses.is_empty() {
            let absent = mx.lookup.as_ref().is_some_and(|seen| seen.addresses.is_absent());
            let kind = if absent { ObstacleKind::Down } else { ObstacleKind::NotSeen };
            let (detail, fix) = match absent {
                true => {
                    ("It has neither an A nor an AAAA record.", "Give it an address, or take it out of the MX records.")
                }
                false => ("Its addresses could not be looked up.", "Ask again later."),
            };
            obstacles.push(Obstacle {
                host: host.to_string(),
                addresses: Vec::new(),
                kind,
                detail: detail.to_owned(),
                fix: fix.to_owned(),
            });
        }
        for address in &mx.addresses {
            let Some(kind) = fault(&address.path) else { continue };
            let (detail, fix) = told(seen, host, address.path.address, kind);
            let same =
                |known: &&mut Obstacle| known.host == host.as_str() && known.kind == kind && known.detail == detail;
            match obstacles.iter_mut().find(same) {
                Some(known) => known.addresses.push(address.path.address),
                None => obstacles.push(Obstacle {
                    host: host.to_string(),
                    addresses: vec![address.path.address],
                    kind,
                    detail,
                    fix,
                }),
            }
        }
    }
    obstacles.sort_by_key(|obstacle| obstacle.kind);
    obstacles
}

/// What the judgement said of it, else a sentence that is always true.
fn told(seen: &Assessment, host: &MxHost, address: IpAddr, kind: ObstacleKind) -> (String, String) {
    let about = |finding: &&Finding| {
        let group = |prefix: &str| finding.result_type.is_some_and(|word| word.starts_with(prefix));
        finding.subject.mx() == Some(host.as_str())
            && finding.subject.address().is_none_or(|found| found == address)
            && match kind {
                ObstacleKind::Certificate => group("certificate-"),
                ObstacleKind::Starttls => group("starttls-") || finding.code.as_str().starts_with("tls-"),
                _ => finding.code.as_str().starts_with("smtp-"),
            }
    };
    // The finding of the very address says more than that of the host.
    let found = seen.findings.iter().filter(about).max_by_key(|finding| (finding.severity, finding.subject.address()));
    if let Some(finding) = found {
        return (finding.detail.clone(), finding.fix.clone());
    }
    let (detail, fix) = match kind {
        ObstacleKind::Certificate => (
            "Its certificate does not pass: senders ask for a trusted chain, valid dates and the name of the host.",
            "Install a certificate of a public authority for this name, and reload the mail server.",
        ),
        ObstacleKind::Starttls => {
            ("It does not take mail in TLS 1.2 or newer.", "Switch STARTTLS on, with TLS 1.2 or newer.")
        }
        ObstacleKind::Down => {
            ("It does not answer.", "Start the mail server there, or take the address out of the DNS.")
        }
        _ => ("It could not be looked at from here.", "Look again, or from another network."),
    };
    (detail.to_owned(), fix.to_owned())
}

fn foreign(seen: &Assessment, wishes: &Wishes<'_>, hosts: &[MxHost]) -> Vec<(MxHost, Option<Provider>)> {
    let own = |host: &MxHost| {
        host.is_within(seen.domain.as_str()) || wishes.own_mx.iter().any(|pattern| pattern.matches(host.as_str()))
    };
    hosts.iter().filter(|host| !own(host)).map(|host| (host.clone(), provider_of(host))).collect()
}

fn record(seen: &Assessment) -> RecordSight {
    let record = &seen.sts_record;
    RecordSight {
        seen: record.lookup_success,
        id: record.id.clone(),
        broken: record.present == Some(true) && record.usable == Some(false),
        alias: record.cname.last().cloned(),
    }
}

fn policy_host(seen: &Assessment) -> PolicyHostSight {
    let Some(host) = &seen.policy.host else { return PolicyHostSight::default() };
    PolicyHostSight {
        // A name that was not asked for at all was not seen.
        seen: host.addresses.answered() && host.addresses.lookups().next().is_some(),
        addresses: host.addresses.addresses().collect(),
        alias: host.addresses.cname().last().cloned(),
        serves: seen.policy.current.is_some(),
    }
}

fn reports(seen: &Assessment) -> ReportsSight {
    let record = &seen.tlsrpt;
    let usable = record.usable == Some(true);
    ReportsSight {
        seen: record.lookup_success,
        // RFC 8460 §3: of several records those count that begin so.
        record: record.txt.iter().find(|text| text.starts_with("v=TLSRPTv1")).filter(|_| usable).cloned(),
        broken: record.present == Some(true) && !usable,
    }
}

fn plan(seen: &Assessment, wishes: &Wishes<'_>, policy: Option<&Policy>, unchanged: bool, now: Timestamp) -> Plan {
    let begun =
        seen.history.mode.as_ref().filter(|known| unchanged && known.mode == Mode::Testing).map(|known| known.since);
    let window = wishes.enforce.testing.max(wishes.enforce.policy_stable);
    let ttl = Duration::from_secs(seen.sts_record.ttl.unwrap_or(RECORD_TTL).into());
    let mode = policy.map(|policy| policy.mode);
    let enforce_from = (mode == Some(Mode::Testing)).then(|| begun.unwrap_or(now) + window);
    let short = policy.is_some_and(|policy| policy.mode == Mode::Testing || policy.max_age < LASTING_AGE);
    let lengthen_from = match mode {
        Some(Mode::Enforce | Mode::Testing) if short => {
            Some(enforce_from.unwrap_or(now).max(now) + FIRST_ENFORCE_STANDS)
        }
        _ => None,
    };
    let enforced = seen.history.held.iter().map(|held| &held.policy).chain(&seen.policy.in_force);
    let longest = enforced.filter(|policy| policy.mode == Mode::Enforce).map(|policy| policy.max_age).max();
    let suggested = policy.filter(|policy| policy.mode != Mode::None).map(|_| FIRST_ENFORCE_AGE);
    let held_for = longest.max(suggested).map(|age| age.duration() + ttl).unwrap_or_default();
    Plan { publish: now, enforce_from, lengthen_from, known_by: now + ttl + SENDER_REFRESH, held_for }
}

#[cfg(test)]
mod tests;
