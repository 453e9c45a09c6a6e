//! What is remembered of one address of a mail host.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Streak, Tally, pace, texts};
use crate::{
    facts::{AddressObservation, ConnectFailure, Phase, SmtpOutcome, Vantage},
    terms::Timestamp,
    verdict::{
        Change, ChangeKind, ChangeSubject,
        path::{assess_certificate, is_own_side},
    },
};

/// Probes in a row that must fail before a refused, reset or broken connection counts as down.
pub(crate) const BROKEN_IN_A_ROW: u32 = 2;
/// Probes in a row that must fail before a timeout counts as down.
pub(crate) const TIMEOUTS_IN_A_ROW: u32 = 3;
/// Certificates that are remembered for an address: two years of renewals every quarter.
const MOST_CERTIFICATES: usize = 8;

/// What is remembered of one address of a mail host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressHistory {
    /// Probes in a row that did not come all the way to the EHLO inside TLS; those that tell of this side only are left out.
    pub failures_in_a_row: u32,
    /// The last of them that came at the pace of the schedule: others are not counted.
    pub failure_counted_at: Option<Timestamp>,
    /// Probes in a row that did not reach an SMTP server; likewise.
    pub unreachable_in_a_row: u32,
    /// The last of them that was counted.
    pub unreachable_counted_at: Option<Timestamp>,
    /// When the first of them began to fail.
    pub unreachable_since: Option<Timestamp>,
    /// The last probe in which an SMTP server answered banner and EHLO.
    pub last_up: Option<Arc<AddressObservation>>,
    /// The last probe that made the address count as down.
    pub last_down_at: Option<Timestamp>,
    /// The last probe that came all the way.
    pub last_success_at: Option<Timestamp>,
    /// STARTTLS was done, with TLS 1.2 or newer.
    pub tls: Streak,
    /// … and the certificate was what MTA-STS asks for.
    pub verified: Streak,
    /// The certificates that it showed, by the time at which each was shown last; the last one is the present one.
    pub certificates: Vec<SeenCertificate>,
    /// Changes of the certificate.
    pub certificate_changes: Tally,
}

/// A certificate that an address showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenCertificate {
    /// SHA-256 of the whole certificate, lower-case hexadecimal.
    pub fingerprint_sha256: String,
    /// Its subject, escaped.
    pub subject: String,
    /// The issuer's common name, escaped.
    pub issuer_cn: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// The first probe that showed it.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
}

/// What a probe of an address says about reaching it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contact {
    /// Banner 220, EHLO 250.
    Up,
    /// Refused, reset, unreachable, or no SMTP.
    Broken,
    /// No progress in time.
    TimedOut,
    /// Turned away: about this client.
    Rejected,
    /// This side could not try.
    OwnSide,
    /// The address is not public: nobody outside reaches it.
    Private,
}

impl Contact {
    pub(crate) fn of(observation: &AddressObservation) -> Self {
        match &observation.outcome {
            SmtpOutcome::ConnectFailed(ConnectFailure::PrivateAddress) => Self::Private,
            SmtpOutcome::ConnectFailed(ConnectFailure::Timeout) | SmtpOutcome::Timeout(_) => Self::TimedOut,
            SmtpOutcome::ConnectFailed(failure) if failure.is_own_side() => Self::OwnSide,
            SmtpOutcome::ConnectFailed(_) => Self::Broken,
            SmtpOutcome::Rejected { .. } => Self::Rejected,
            // What breaks inside TLS is no reason for a sender without checks to stay away.
            SmtpOutcome::ProtocolError { phase: Phase::EhloTls, .. } => Self::Up,
            SmtpOutcome::ProtocolError { .. } => Self::Broken,
            SmtpOutcome::Done
            | SmtpOutcome::StarttlsNotOffered
            | SmtpOutcome::StarttlsRefused { .. }
            | SmtpOutcome::HandshakeFailed(_) => Self::Up,
        }
    }
}

impl AddressHistory {
    /// Folds a probe in. `vantage` is what this side could see at that time: what may be this side's own fault counts
    /// nowhere, and a timeout makes an address count as down only where another host answered. `retry`: as
    /// [`Pace::retry`](super::Pace::retry).
    ///
    /// Returns the change of the certificate, where there is one.
    pub fn observe(
        &mut self,
        observation: &Arc<AddressObservation>,
        vantage: &Vantage,
        retry: Duration,
    ) -> Vec<Change> {
        if is_own_side(observation, vantage) {
            return Vec::new();
        }
        let at = observation.at;
        match Contact::of(observation) {
            Contact::Up => {
                self.unreachable_in_a_row = 0;
                self.unreachable_since = None;
                self.last_up = Some(Arc::clone(observation));
            }
            Contact::Broken => self.fail(observation, (BROKEN_IN_A_ROW, retry), true),
            Contact::TimedOut => {
                // Meanwhile: since the failures began. What answered before may be cut off as well by now.
                let since = self.unreachable_since.unwrap_or(observation.at - observation.duration);
                let another = vantage.another_answered(observation.address, since);
                self.fail(observation, (TIMEOUTS_IN_A_ROW, retry), another);
            }
            Contact::Private => self.fail(observation, (1, retry), true),
            Contact::Rejected | Contact::OwnSide => {}
        }
        match &observation.outcome {
            SmtpOutcome::Done => {
                self.failures_in_a_row = 0;
                self.last_success_at = Some(at);
            }
            _ => pace::count_failure(&mut self.failures_in_a_row, &mut self.failure_counted_at, at, retry),
        }
        self.note_tls(observation);
        self.note_certificate(observation).into_iter().collect()
    }

    /// When a probe last told whether the address can be reached.
    pub fn last_told_at(&self) -> Option<Timestamp> {
        self.last_up.as_ref().map(|seen| seen.at).max(self.last_down_at)
    }

    fn fail(&mut self, observation: &AddressObservation, (enough, retry): (u32, Duration), evidence: bool) {
        let counted_at = &mut self.unreachable_counted_at;
        pace::count_failure(&mut self.unreachable_in_a_row, counted_at, observation.at, retry);
        self.unreachable_since.get_or_insert(observation.at - observation.duration);
        if self.unreachable_in_a_row >= enough && evidence {
            self.last_down_at = Some(observation.at);
        }
    }

    /// A client that is turned away learns nothing about TLS.
    fn note_tls(&mut self, observation: &AddressObservation) {
        if Contact::of(observation) == Contact::Rejected {
            return;
        }
        let done = observation.outcome == SmtpOutcome::Done;
        let tls = observation.tls.as_ref().filter(|tls| done && !tls.version.is_obsolete());
        let verified =
            tls.is_some_and(|tls| assess_certificate(&tls.chain, observation.host.as_str(), observation.at).verified());
        self.tls.note(tls.is_some(), observation.at);
        self.verified.note(verified, observation.at);
    }

    fn note_certificate(&mut self, observation: &AddressObservation) -> Option<Change> {
        let leaf = &observation.tls.as_ref()?.chain.leaf;
        let at = observation.at;
        let before = self.certificates.last().cloned();
        let place = self.certificates.iter().position(|known| known.fingerprint_sha256 == leaf.fingerprint_sha256);
        let mut seen = match place {
            Some(place) => self.certificates.remove(place),
            None => SeenCertificate {
                fingerprint_sha256: leaf.fingerprint_sha256.clone(),
                subject: texts::cut(&leaf.subject),
                issuer_cn: texts::cut(&leaf.issuer_cn),
                not_before: leaf.not_before,
                not_after: leaf.not_after,
                first: at,
                last: at,
            },
        };
        seen.last = at;
        let after = texts::certificate(&seen);
        let fingerprint = seen.fingerprint_sha256.clone();
        self.certificates.push(seen);
        if self.certificates.len() > MOST_CERTIFICATES {
            self.certificates.remove(0);
        }
        let before = before.filter(|before| before.fingerprint_sha256 != fingerprint)?;
        self.certificate_changes.note(at);
        Some(Change {
            at,
            subject: ChangeSubject::Address(observation.host.clone(), observation.address),
            kind: ChangeKind::Certificate,
            before: Some(texts::certificate(&before)),
            after: Some(after),
        })
    }
}
