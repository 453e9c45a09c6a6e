//! The little of a judgement that lists, mail hosts and other domains need, so that the rest can lie packed.

use std::{
    borrow::Borrow,
    collections::HashSet,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    protocol::mta_sts::Mode,
    store::StoredDomain,
    terms::{MxHost, Timestamp},
    verdict::{Assessment, CertificateAssessment, Code, DaneReach, Severity, State},
};

/// What is known of a domain at a glance, as of its last judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// When the look at the domain began that was judged.
    pub checked_at: Timestamp,
    /// What happens to mail for the domain.
    pub delivery: State,
    /// The domain could not be checked for a reason on this side.
    pub own_side: bool,
    /// The mode of the policy in force; nothing where none is.
    pub mode: Option<Mode>,
    /// Senders hold a policy in enforce that was announced: its subdomains may count on it being meant.
    pub enforces_below: bool,
    /// The active findings, worst first.
    pub active: Box<[ActiveFinding]>,
    /// The mail hosts, in the order in which senders try them: one list for all domains that have the same.
    pub hosts: Arc<[MxHost]>,
    /// When the first certificate ends, or its chain, of the policy host and of all mail hosts; nothing where none was seen.
    pub certificate_ends_at: Option<Timestamp>,
    /// What the policy host presents; nothing where no certificate was seen.
    pub policy_certificate: Option<Box<PolicyCertificate>>,
    /// How far DANE goes; nothing where it cannot be told.
    pub dane: Option<DaneReach>,
    /// Its record asks senders for reports, in a form that they can use.
    pub asks_for_reports: bool,
    /// What came of that.
    pub reported: Reported,
    /// The last probe in which every lookup was answered.
    pub last_success_at: Option<Timestamp>,
    /// Probes in a row in which a lookup failed.
    pub dns_failures: u32,
    /// Probes in a row in which an announced policy could not be used.
    pub policy_failures: u32,
}

/// A finding that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveFinding {
    /// Which.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// The mail host that it is about, where it is about one.
    pub host: Option<MxHost>,
}

/// The certificate of a policy host, as far as a list of certificates sorts by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyCertificate {
    /// The end of its validity, or that of its chain where that comes before.
    pub ends_at: Timestamp,
    /// The first eight bytes of its SHA-256 fingerprint: the same certificate elsewhere is known by it.
    pub print: u64,
    /// Chain, name and dates are good.
    pub verified: bool,
    /// Its first name, else its subject, where that is another one than the policy host's.
    pub name: Option<Box<str>>,
    /// The common name of its issuer.
    pub issuer: Shared,
    /// Its key: algorithm and bits.
    pub key: Shared,
}

/// What reports say of a domain, at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// One came in.
    pub arrived: bool,
    /// They speak of complete days of the last week.
    pub speaking: bool,
    /// They tell of failures.
    pub failing: bool,
}

/// A text that many have in common, in memory once; each has a pointer of one word to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Shared(Arc<Box<str>>);

/// How many texts are shared at most: there are a few hundred CAs, and whoever makes up others must not fill the memory.
const SHARED_MOST: usize = 10_000;

impl Shared {
    /// The text, in common with all that have the same.
    pub fn new(text: &str) -> Self {
        static KNOWN: LazyLock<Mutex<HashSet<Shared>>> = LazyLock::new(Mutex::default);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = known.get(text) {
            return shared.clone();
        }
        let shared = Self(Arc::new(text.into()));
        if known.len() < SHARED_MOST {
            known.insert(shared.clone());
        }
        shared
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// It is found by its text.
impl Borrow<str> for Shared {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Shared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

impl PolicyCertificate {
    fn of(certificate: &CertificateAssessment, host: &str) -> Self {
        let leaf = &certificate.chain.leaf;
        let name = leaf.names.first().unwrap_or(&leaf.subject);
        Self {
            ends_at: certificate.chain.ends(),
            print: print(&leaf.fingerprint_sha256),
            verified: certificate.verified(),
            name: (name != host).then(|| name.as_str().into()),
            issuer: Shared::new(&leaf.issuer_cn),
            key: Shared::new(&leaf.key.to_string()),
        }
    }
}

/// Whether senders hold a policy in enforce that was announced.
pub(super) fn enforces_below(kept: &StoredDomain, now: Timestamp) -> bool {
    let held = kept.history.ledger.alive(now).find(|version| version.is_announced());
    held.is_some_and(|version| version.policy.mode == Mode::Enforce)
}

/// The first eight bytes of a fingerprint in hexadecimal.
pub fn print(fingerprint: &str) -> u64 {
    fingerprint.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default()
}

impl Summary {
    /// The summary of a judgement alone: of what is remembered beside it nothing is known.
    pub(super) fn of(assessment: &Assessment, last_success_at: Option<Timestamp>) -> Self {
        let mut hosts: Vec<MxHost> = Vec::with_capacity(assessment.mx.len());
        for host in assessment.mx.iter().filter_map(|mx| mx.host.as_ref()) {
            if !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        let of_hosts =
            assessment.mx.iter().flat_map(|mx| &mx.addresses).filter_map(|one| one.path.certificate.as_ref());
        let of_policy = assessment.policy.host.as_deref().zip(assessment.policy.certificate.as_ref());
        let certificates = of_policy.iter().map(|(_, certificate)| *certificate).chain(of_hosts);
        let active = assessment.active().map(|finding| {
            let name = finding.subject.mx();
            // A target that is no host name is no host of any list.
            let host = name.and_then(|name| hosts.iter().find(|host| host.as_str() == name).cloned());
            ActiveFinding { code: finding.code, severity: finding.severity, host }
        });
        Self {
            checked_at: assessment.checked_at,
            delivery: assessment.delivery,
            own_side: assessment.own_side,
            mode: assessment.policy.in_force.as_ref().map(|policy| policy.mode),
            enforces_below: false,
            dns_failures: 0,
            policy_failures: 0,
            active: active.collect(),
            certificate_ends_at: certificates.map(|one| one.chain.ends()).min(),
            policy_certificate: of_policy.map(|(host, one)| Box::new(PolicyCertificate::of(one, &host.host))),
            dane: DaneReach::of(assessment),
            asks_for_reports: assessment.tlsrpt.usable == Some(true),
            reported: assessment.reports.as_ref().map_or_else(Reported::default, |reports| Reported {
                arrived: reports.last_arrived_at.is_some(),
                speaking: reports.complete_days > 0,
                failing: !reports.failures.is_empty(),
            }),
            hosts: hosts.into(),
            last_success_at,
        }
    }

    /// The summary of a judgement of a domain that is watched. `now`: that of the judgement.
    pub(super) fn of_kept(assessment: &Assessment, kept: &StoredDomain, now: Timestamp) -> Self {
        Self {
            enforces_below: enforces_below(kept, now),
            dns_failures: kept.dns_failures,
            policy_failures: kept.policy_failures,
            ..Self::of(assessment, kept.last_success_at)
        }
    }

    /// The same with these names of the same mail hosts.
    pub(super) fn with_names(mut self, same: impl Fn(MxHost) -> MxHost) -> Self {
        self.hosts = self.hosts.iter().cloned().map(&same).collect();
        for finding in &mut self.active {
            finding.host = finding.host.take().map(&same);
        }
        self
    }

    /// Whether a policy in enforce is in force.
    pub fn enforces(&self) -> bool {
        self.mode == Some(Mode::Enforce)
    }

    /// The worst severity of an active finding.
    pub fn worst(&self) -> Option<Severity> {
        self.active.iter().map(|finding| finding.severity).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics::fixture, present::row::FirstEnd};

    #[test]
    fn it_says_at_a_glance_what_the_judgement_says() {
        for seen in [fixture::healthy(), fixture::broken(), fixture::dark("dark.example")] {
            let summary = Summary::of(&seen, None);
            assert_eq!((summary.checked_at, summary.delivery), (seen.checked_at, seen.delivery));
            let active: Vec<_> = seen.active().map(|finding| (finding.code, finding.severity)).collect();
            let told: Vec<_> = summary.active.iter().map(|finding| (finding.code, finding.severity)).collect();
            assert_eq!(told, active);
            assert_eq!(summary.certificate_ends_at, FirstEnd::of(&seen).map(|first| first.ends_at));
            assert_eq!(summary.dane, DaneReach::of(&seen));
            let packed = postcard::to_stdvec(&summary).unwrap();
            assert_eq!(postcard::from_bytes::<Summary>(&packed).unwrap(), summary);
        }
    }

    #[test]
    fn a_text_in_common_is_there_once() {
        let (one, other) = (Shared::new("Some CA"), Shared::new("Some CA"));
        assert!(Arc::ptr_eq(&one.0, &other.0));
        let read: Shared = postcard::from_bytes(&postcard::to_stdvec(&one).unwrap()).unwrap();
        assert!(Arc::ptr_eq(&one.0, &read.0));
        assert_ne!(one, Shared::new("Another CA"));
    }

    #[test]
    fn a_certificate_is_known_by_its_print() {
        assert_eq!(print(&"0123456789abcdef".repeat(4)), 0x0123_4567_89ab_cdef);
        assert_eq!((print(""), print(&"é".repeat(16))), (0, 0));
    }
}
