//! What a sender that applies DANE does (RFC 7672 §2.2), path by path.

use std::{net::IpAddr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AddressAssessment, Enforcement, HostHistory, MxAssessment, Outcome, PathAssessment, Reach};
use crate::{
    facts::{AddressObservation, ChainFacts, Handshake, HostObservation, Security, TlsFailure, TlsSurvey, TlsaRecord},
    protocol::dane::{ChainFault, DaneResult, TlsaState, TlsaStatus, Verification, tlsa_state, verify},
    terms::{MxHost, Timestamp},
    verdict::case::LOOKUP_FAILURES_IN_A_ROW,
};

/// RFC 7672 §3.1.1: the usage whose records need neither names nor dates nor issuers.
const DANE_EE: u8 = 3;

/// The TLSA records of a mail host, as senders that apply DANE find them.
#[derive(Clone, Debug)]
pub struct HostDane {
    /// The lookups that count: the present ones, else the last that were answered.
    seen: Option<Arc<HostObservation>>,
    /// What they come to, in one word.
    pub status: TlsaStatus,
    /// A lookup that fails is the zone's fault, and it lasts: a name known to be signed validated meanwhile.
    pub failure_counts: bool,
}

/// `dane` of an address in the JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DaneWord {
    /// A record matches what the server presents, and what it asks for beside holds.
    Match,
    /// None does.
    Mismatch,
    /// No record is usable: TLS is asked for, and nobody is authenticated (RFC 7672 §2.2).
    EncryptOnly,
    /// DANE is asked for, and there is no TLS, or no answer to compare with.
    Failed,
    /// DANE is not asked for here.
    NotApplicable,
}

/// What DANE is in force where a finding stands: severities depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DaneGround {
    /// A host has secure usable TLSA records.
    pub(crate) usable: bool,
    /// DANE-EE holds, at the address or at all of the host.
    pub(crate) ee_holds: bool,
}

impl HostDane {
    /// What is so of a host by its present lookups and those before. `once`: there is no history and there will be none.
    pub fn new(seen: Option<&Arc<HostObservation>>, history: Option<&HostHistory>, once: bool) -> Self {
        let lasting = once || history.is_some_and(|history| history.failures_in_a_row >= LOOKUP_FAILURES_IN_A_ROW);
        let status = |seen: &HostObservation| tlsa_state(&seen.host, &seen.addresses, seen.tlsa.as_ref()).status();
        // One address lookup that fails may be a name server that restarts: until it lasts, what was known stands.
        let unanswered = |seen: &&Arc<HostObservation>| {
            !seen.addresses.answered() && seen.addresses.lookups().all(|lookup| lookup.security != Security::Bogus)
        };
        let kept = history.and_then(|history| history.last_answer.as_ref());
        let counted = match seen {
            Some(present) if unanswered(&present) && !lasting => kept.or(Some(present)),
            other => other,
        };
        let addresses_answered = counted.is_some_and(|seen| seen.addresses.answered());
        Self {
            status: counted.map_or(TlsaStatus::Indeterminate, |seen| status(seen)),
            failure_counts: counted.is_some_and(|seen| {
                let bogus = seen.addresses.lookups().any(|lookup| lookup.security == Security::Bogus);
                seen.resolver_healthy && seen.dnssec_healthy && (addresses_answered || bogus || lasting)
            }),
            seen: counted.cloned(),
        }
    }

    /// The same in full; nothing where the host was not looked up.
    pub fn state(&self) -> Option<TlsaState<'_>> {
        let seen = self.seen.as_deref()?;
        Some(tlsa_state(&seen.host, &seen.addresses, seen.tlsa.as_ref()))
    }

    /// Every record that is published, whatever it is worth.
    pub fn records(&self) -> &[TlsaRecord] {
        match self.state() {
            Some(TlsaState::Records { lookup, .. } | TlsaState::Insecure { lookup }) => lookup.lookup.records(),
            _ => self.published(),
        }
    }

    /// The first records of any lookup: what is indeterminate is published all the same.
    fn published(&self) -> &[TlsaRecord] {
        let lookups = self.seen.iter().filter_map(|seen| seen.tlsa.as_ref()).flat_map(|tlsa| &tlsa.lookups);
        lookups.map(|asked| asked.lookup.records()).find(|records| !records.is_empty()).unwrap_or(&[])
    }

    /// How many of the records are usable; nothing where that cannot be told.
    pub fn usable(&self) -> Option<usize> {
        match self.state()? {
            TlsaState::Records { set, .. } => Some(set.usable.len()),
            TlsaState::Absent | TlsaState::Insecure { .. } => Some(0),
            TlsaState::NotAsked(_) if self.status == TlsaStatus::None => Some(0),
            _ => None,
        }
    }

    /// Whether senders insist on anything here.
    pub(crate) fn enforcement(&self) -> Enforcement {
        match self.status {
            TlsaStatus::Usable => Enforcement::On,
            TlsaStatus::Indeterminate if !self.published().is_empty() => Enforcement::CannotTell,
            _ => Enforcement::Off,
        }
    }

    /// The records against a chain, for the TLSA base domain and these names beside it (RFC 7672 §3.2.2). Nothing where no record
    /// is usable.
    pub(crate) fn verify(&self, chain: &ChainFacts, names: &[&str], now: Timestamp) -> Option<Verification> {
        match self.state()? {
            TlsaState::Records { lookup, set } if !set.usable.is_empty() => {
                let names: Vec<&str> = std::iter::once(lookup.base.as_str()).chain(names.iter().copied()).collect();
                Some(verify(lookup.lookup.records(), chain, &names, now))
            }
            _ => None,
        }
    }

    /// The records against what an address presents. Senders ask by the TLSA base domain (RFC 7672 §8.1): where that is not the
    /// host's own name, what the server presented for it counts, if it was asked.
    pub(crate) fn compare(
        &self,
        seen: &AddressObservation,
        survey: Option<&TlsSurvey>,
        names: &[&str],
        now: Timestamp,
    ) -> Option<Verification> {
        let state = self.state()?;
        let by_base = survey.and_then(|survey| match &survey.base_sni {
            Some((name, Handshake::Done(tls))) if Some(name) == state.base() => Some(&tls.chain),
            _ => None,
        });
        let chain = by_base.or_else(|| Some(&seen.tls.as_ref()?.chain))?;
        self.verify(chain, names, now)
    }

    /// The verdict on a path for mail to one domain: these names of it count for DANE-TA as well (RFC 7672 §3.2.2).
    pub(crate) fn for_domain(&self, path: &PathAssessment, names: &[&str], now: Timestamp) -> Option<Verification> {
        let by_base = path.dane.as_ref()?;
        let named = !matches!(&by_base.result, DaneResult::ChainInvalid { fault, further, .. }
            if *fault == ChainFault::Name || further.contains(&ChainFault::Name));
        if named || names.is_empty() {
            return Some(by_base.clone());
        }
        self.compare(path.judged.as_deref()?, path.survey.as_deref(), names, now)
    }

    /// How the server breaks off where it is asked for the TLSA base domain, as senders that apply DANE ask (RFC 7672 §8.1), and not
    /// where it is asked for the host.
    pub(crate) fn fails_by_base<'p>(&self, path: &'p PathAssessment) -> Option<(&'p MxHost, &'p TlsFailure)> {
        let usual = path.tls().is_some_and(|tls| tls.completed);
        match path.survey.as_ref()?.base_sni.as_ref()? {
            (name, Handshake::Failed(failure)) if usual && self.state()?.base() == Some(name) => Some((name, failure)),
            _ => None,
        }
    }

    /// Whether a sender that applies DANE gets its mail through inside TLS, whatever the certificate.
    fn takes_mail(&self, path: &PathAssessment) -> bool {
        path.takes_mail_in_tls() && self.fails_by_base(path).is_none()
    }

    /// What a sender that applies DANE does on a path.
    pub(crate) fn outcome(
        &self,
        path: &PathAssessment,
        verdict: Option<&Verification>,
        mx_security: Security,
    ) -> Outcome {
        match path.reach {
            Reach::Down => return Outcome::Refused,
            Reach::CannotTell => return Outcome::CannotTell,
            Reach::Up => {}
        }
        match self.status {
            TlsaStatus::None | TlsaStatus::Insecure => Outcome::Open,
            TlsaStatus::Indeterminate => Outcome::CannotTell,
            TlsaStatus::Bogus | TlsaStatus::Failed => self.without_address(),
            TlsaStatus::Unusable if self.takes_mail(path) => Outcome::Open,
            TlsaStatus::Usable if self.takes_mail(path) && verdict.is_some_and(is_match) => match mx_security {
                Security::Secure => Outcome::Secure,
                // The host is authenticated, and anybody could have named it.
                Security::Insecure => Outcome::Open,
                Security::Bogus | Security::Indeterminate => Outcome::CannotTell,
            },
            TlsaStatus::Unusable | TlsaStatus::Usable => Outcome::Refused,
        }
    }

    /// The same for a host whose addresses, or TLSA records, are not known.
    pub(crate) const fn without_address(&self) -> Outcome {
        match self.status {
            TlsaStatus::Bogus | TlsaStatus::Failed if self.failure_counts => Outcome::Refused,
            _ => Outcome::CannotTell,
        }
    }

    /// Whether DANE holds for an address, by the TLSA base domain alone; nothing where it is not asked for or cannot be told.
    pub(crate) fn holds(&self, path: &PathAssessment) -> Option<bool> {
        let told = self.status == TlsaStatus::Usable && path.reach == Reach::Up;
        told.then(|| self.takes_mail(path) && path.dane.as_ref().is_some_and(is_match))
    }

    /// The word of JSON for an address; nothing where it cannot be told.
    pub(crate) fn word(&self, path: &PathAssessment, verdict: Option<&Verification>) -> Option<DaneWord> {
        Some(match self.status {
            TlsaStatus::None | TlsaStatus::Insecure => DaneWord::NotApplicable,
            _ if path.reach == Reach::CannotTell => return None,
            TlsaStatus::Indeterminate => return None,
            TlsaStatus::Bogus | TlsaStatus::Failed if self.failure_counts => DaneWord::Failed,
            TlsaStatus::Bogus | TlsaStatus::Failed => return None,
            TlsaStatus::Usable | TlsaStatus::Unusable if !self.takes_mail(path) => DaneWord::Failed,
            TlsaStatus::Unusable => DaneWord::EncryptOnly,
            TlsaStatus::Usable if verdict.is_some_and(is_match) => DaneWord::Match,
            TlsaStatus::Usable => DaneWord::Mismatch,
        })
    }

    /// Whether the record that matches is DANE-EE.
    fn is_ee(&self, verdict: &Verification) -> bool {
        let DaneResult::Match { record, .. } = verdict.result else { return false };
        self.records().get(record).is_some_and(|record| record.usage == DANE_EE)
    }
}

/// Whether the chain is authentic.
pub(crate) const fn is_match(verdict: &Verification) -> bool {
    matches!(verdict.result, DaneResult::Match { .. })
}

/// What is in force on these hosts, at one address of them or at all.
pub(crate) fn ground<'a>(hosts: impl Iterator<Item = &'a MxAssessment>, address: Option<IpAddr>) -> DaneGround {
    let mut ground = DaneGround::default();
    let mut all_hold = true;
    for mx in hosts {
        ground.usable |= mx.dane.status == TlsaStatus::Usable;
        let concerned = |seen: &&AddressAssessment| address.is_none_or(|wanted| seen.path.address == wanted);
        for seen in mx.addresses.iter().filter(concerned) {
            ground.ee_holds = true;
            all_hold &= seen.dane_verdict.as_ref().is_some_and(|verdict| mx.dane.is_ee(verdict));
        }
    }
    ground.ee_holds &= all_hold;
    ground
}

impl DaneWord {
    /// The word of JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Mismatch => "mismatch",
            Self::EncryptOnly => "encrypt-only",
            Self::Failed => "failed",
            Self::NotApplicable => "not-applicable",
        }
    }
}
