//! Which mail hosts a kind of sender uses and which it refuses, by name.

use crate::verdict::{AddressAssessment, Assessment, CertificateAssessment, MxAssessment, Outcome, StarttlsState};

/// The mail hosts by what senders of one kind do with them. Where the addresses of a host fare differently, the addresses
/// are named.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ways {
    /// Delivered to.
    pub(super) taken: Vec<String>,
    /// Refused.
    pub(super) refused: Vec<String>,
    /// The only refused host is one that senders try after another.
    pub(super) refused_is_backup: bool,
}

/// Sorts the mail hosts by an outcome.
pub(super) fn ways(assessment: &Assessment, outcome: impl Fn(&MxAssessment, &AddressAssessment) -> Outcome) -> Ways {
    let mut ways = Ways::default();
    let mut backups = 0;
    let first = assessment.mx.iter().map(|mx| mx.preference).min();
    for mx in &assessment.mx {
        let outcomes: Vec<Outcome> = mx.addresses.iter().map(|address| outcome(mx, address)).collect();
        let taken = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Secure | Outcome::Open));
        let refused = outcomes.contains(&Outcome::Refused) || has_no_address(mx);
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
    let starttls = address.path.starttls == Some(StarttlsState::Ok);
    let verified = address.path.certificate.as_ref().is_some_and(CertificateAssessment::verified);
    match (mx.in_policy, starttls && verified) {
        (None, _) => Outcome::CannotTell,
        (Some(true), true) => Outcome::Secure,
        (Some(_), _) => Outcome::Refused,
    }
}

/// The DNS says that the host has no address, or the MX record names no host: nobody delivers there.
fn has_no_address(mx: &MxAssessment) -> bool {
    match (&mx.host, &mx.lookup) {
        (None, _) => true,
        (Some(_), Some(lookup)) => lookup.addresses.lookups().next().is_some() && lookup.addresses.is_absent(),
        (Some(_), None) => false,
    }
}
