//! Which mail hosts a kind of sender uses and which it refuses, by name.

use crate::verdict::{AddressAssessment, Assessment, CertificateAssessment, MxAssessment, Outcome};

/// The mail hosts by what senders of one kind do with them. Where the addresses of a host fare differently, the addresses
/// are named.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ways {
    /// Delivered to.
    pub(super) taken: Vec<String>,
    /// Refused.
    pub(super) refused: Vec<String>,
    /// What an MX record has in the place of a host and is no name of one. Nobody delivers there, whatever is mended at a host.
    pub(super) no_host: Vec<String>,
    /// The only refused host is one that senders try after another.
    pub(super) refused_is_backup: bool,
}

impl Ways {
    /// No mail host is lost.
    pub(super) const fn is_whole(&self) -> bool {
        self.refused.is_empty() && self.no_host.is_empty()
    }
}

/// Sorts the mail hosts by an outcome.
pub(super) fn ways(assessment: &Assessment, outcome: impl Fn(&MxAssessment, &AddressAssessment) -> Outcome) -> Ways {
    let mut ways = Ways::default();
    let mut backups = 0;
    let first = assessment.mx.iter().map(|mx| mx.preference).min();
    for mx in &assessment.mx {
        let outcomes: Vec<Outcome> = mx.addresses.iter().map(|address| outcome(mx, address)).collect();
        let taken = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Secure | Outcome::Open));
        let refused = outcomes.contains(&Outcome::Refused) || mx.host.is_none() || has_no_address(mx);
        match (taken, refused) {
            (true, true) => {
                for (address, outcome) in mx.addresses.iter().zip(outcomes) {
                    let name = format!("{} [{}]", mx.target, address.path.address);
                    match outcome {
                        Outcome::Refused => ways.refused.push(name),
                        Outcome::Secure | Outcome::Open => ways.taken.push(name),
                        Outcome::CannotTell => {}
                    }
                }
            }
            (true, false) => ways.taken.push(mx.target.clone()),
            (false, true) if mx.host.is_none() => ways.no_host.push(mx.target.clone()),
            (false, true) => {
                ways.refused.push(mx.target.clone());
                backups += usize::from(Some(mx.preference) != first);
            }
            (false, false) => {}
        }
    }
    ways.refused_is_backup = backups == 1 && ways.refused.len() == 1;
    ways
}

/// What a sender would do here if the policy were in enforce.
pub(super) fn if_enforced(mx: &MxAssessment, address: &AddressAssessment) -> Outcome {
    if address.opportunistic != Outcome::Open {
        return address.opportunistic;
    }
    // By what is judged: that a server turned away the latest look says nothing of its TLS.
    let in_tls = address.path.takes_mail_in_tls();
    let verified = address.path.certificate.as_ref().is_some_and(CertificateAssessment::verified);
    match (mx.in_policy, in_tls && verified) {
        (None, _) => Outcome::CannotTell,
        (Some(true), true) => Outcome::Secure,
        (Some(_), _) => Outcome::Refused,
    }
}

/// The DNS says that the host has no address: nobody delivers there.
fn has_no_address(mx: &MxAssessment) -> bool {
    let lookup = mx.lookup.as_ref();
    lookup.is_some_and(|seen| seen.addresses.lookups().next().is_some() && seen.addresses.is_absent())
}
