//! What lists and scrapes show of a domain, as it lies beside its state in the store: so that a start need not judge a whole fleet
//! before it can show it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{KnownDomain, Rendered, Summary};
use crate::{
    store::DomainRow,
    terms::{MxHost, PolicyDomain},
};

/// The layout of [`Face`], with all of [`Summary`]: the bytes name no fields, so that every other layout is another number. Another one
/// is not read: the domain is judged instead.
const VERSION: u8 = 3;

/// What summary and rendering were made with, beside the state of the domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// How it is written ([`Renderer::fingerprint`](super::Renderer::fingerprint)): nobody can read what was written otherwise.
    pub(super) rendering: u64,
    /// What it was judged by: what was judged otherwise is shown until the domain is judged again. That may take minutes for a large
    /// fleet, and a domain without series would end its alerts, only to begin them again.
    pub(super) judging: u64,
}

/// What follows from the state of a domain.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Face {
    /// What it was made with, beside the state itself ([`KnownDomain::stamp`]).
    pub(super) stamp: Stamp,
    /// The mail hosts that are probed, where they are others than those of the summary.
    pub(super) probed: Option<Arc<[MxHost]>>,
    pub(super) summary: Summary,
    pub(super) rendered: Rendered,
}

impl Face {
    /// The mail hosts that are probed.
    pub(super) fn hosts(&self) -> &[MxHost] {
        self.probed.as_deref().unwrap_or(&self.summary.hosts)
    }
}

/// The face of a domain, for the store; nothing before the first judgement.
pub(super) fn written(known: &KnownDomain) -> Option<Box<[u8]>> {
    let face = Face {
        stamp: known.stamp,
        probed: known.probed.clone(),
        summary: known.summary.clone()?,
        rendered: known.rendered.clone(),
    };
    let bytes = postcard::to_extend(&face, vec![VERSION]);
    bytes
        .inspect_err(|error| tracing::error!(domain = %known.domain(), %error, "a face cannot be written"))
        .ok()
        .map(Into::into)
}

/// The face of a row; nothing where there is none of this layout. Damage is told: the state beside it is as good as ever.
pub(super) fn read(row: &DomainRow) -> Option<Face> {
    read_bytes(&row.domain, row.face.as_deref()?)
}

/// The same of a face that lies elsewhere.
pub(super) fn read_bytes(domain: &PolicyDomain, bytes: &[u8]) -> Option<Face> {
    let (version, bytes) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let face: Result<Face, _> = postcard::from_bytes(bytes);
    let face = face
        .inspect_err(|error| tracing::error!(%domain, %error, "what was shown cannot be read; it is made anew"))
        .ok()?;
    if !face.rendered.is_plausible() {
        tracing::error!(%domain, rendered = ?face.rendered, "what was shown cannot be right; it is made anew");
        return None;
    }
    Some(face)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metrics::fixture,
        monitor::summary::{ActiveFinding, PolicyCertificate, Shared},
        protocol::mta_sts::Mode,
        terms::{Timestamp, place},
        verdict::{Code, DaneReach, Severity, State},
    };

    /// The bytes name no fields and no variants: what reads them has to be what wrote them.
    #[test]
    fn another_layout_is_another_version() {
        let at = Timestamp::from_unix_seconds(1_800_000_000);
        let mut summary = Summary::of(&fixture::broken(), Some(at));
        summary.checked_at = at;
        summary.certificate_ends_at = Some(at);
        summary.policy_certificate = Some(Box::new(PolicyCertificate {
            ends_at: at,
            print: 3,
            verified: true,
            name: Some("n".into()),
            issuer: Shared::new("i"),
            key: Shared::new("k"),
        }));
        let host = summary.hosts.first().cloned();
        summary.active = Box::new([ActiveFinding { code: Code::VantageLimited, severity: Severity::Warning, host }]);
        let stamp = Stamp { rendering: 1, judging: 2 };
        let face = Face { stamp, probed: Some(Arc::default()), summary, rendered: Rendered::default() };
        let words = (State::ALL, [Mode::Enforce, Mode::Testing, Mode::None], DaneReach::ALL, Severity::ALL);
        let bytes = [postcard::to_stdvec(&face).unwrap(), postcard::to_stdvec(&words).unwrap()].concat();
        assert_eq!((VERSION, place(&format!("{bytes:?}"))), (3, 14_773_623_614_899_389_095), "{bytes:?}");
    }
}
