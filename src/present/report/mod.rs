//! TLS reports for people and programs: what was read from files, and what the store has of a domain.

mod digest;
mod human;
mod json;
mod listing;

pub use digest::Digest;
pub use human::summary;
pub use json::Document;
pub(crate) use listing::ListingView;
pub use listing::{Listing, listing_json};

use crate::{
    facts::Authentication,
    protocol::tls_rpt::{Refusal, TlsReport},
};

/// A report that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownReport {
    /// The file in which it stood, and which message of it, where it holds several.
    pub source: String,
    /// What proves who sent it.
    pub authentication: Authentication,
    /// The report.
    pub report: TlsReport,
}

/// Something that was read and is no report, or could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedReport {
    /// As of [`ShownReport`].
    pub source: String,
    /// Why.
    pub refusal: Refusal,
    /// Its bytes were at hand; else it is the name or the rights that need a look, not what is in it.
    pub opened: bool,
}
