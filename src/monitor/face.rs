//! What lists and scrapes show of a domain, as it lies beside its state in the store: so that a start need not judge a whole fleet
//! before it can show it.

use serde::{Deserialize, Serialize};

use super::{KnownDomain, Rendered, Summary};
use crate::{store::DomainRow, terms::MxHost};

/// The layout of [`Face`]. Another one is not read: the domain is judged instead.
const VERSION: u8 = 1;

/// What follows from the state of a domain.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Face {
    /// What it was made with, beside the state itself ([`KnownDomain::stamp`]).
    pub(super) stamp: u64,
    /// The mail hosts that are probed, where they are others than those of the summary.
    pub(super) probed: Option<Box<[MxHost]>>,
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

/// The face of a row; nothing where there is none that this version reads. Damage is told: the state beside it is as good as ever.
pub(super) fn read(row: &DomainRow) -> Option<Face> {
    let (version, bytes) = row.face.as_deref()?.split_first()?;
    if *version != VERSION {
        return None;
    }
    let face: Result<Face, _> = postcard::from_bytes(bytes);
    let face = face
        .inspect_err(
            |error| tracing::error!(domain = %row.domain, %error, "what was shown cannot be read; it is made anew"),
        )
        .ok()?;
    if !face.rendered.is_plausible() {
        tracing::error!(domain = %row.domain, rendered = ?face.rendered, "what was shown cannot be right; it is made anew");
        return None;
    }
    Some(face)
}
