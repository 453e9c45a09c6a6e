//! What becomes of a batch of reports: pure, from the batch and from what is kept already. The store looks up and writes.
//!
//! Two marks tell reports apart. The content says whether the same was told already, by whatever way and in whose name. The key
//! says that a sender tells of the same again: of all that stands under one key the largest number of each cell counts. The name
//! that counts is in the key, so that whoever proves nothing cannot hide a report that is proven.

mod ledger;
mod marks;
mod ready;
mod shares;

pub(super) use self::{
    ledger::{DayOf, Filed, Known, Ledger, Member, Moved, NewRow, Place, Seen},
    marks::Mark,
    ready::{Body, Ready, ReadyRow, Sums, Trouble, ready},
    shares::{Share, shares},
};

/// So many reports of one proven reporter about one day of a domain are kept: one an hour from each of eight servers.
pub const REPORTS_OF_A_REPORTER_MOST: u64 = 200;

/// The same for all that are not told apart, `unverified` and `other`: more senders than a domain has that report by HTTPS.
pub const REPORTS_OF_THE_REST_MOST: u64 = 2_000;

/// So many receiving MX hosts of one reporter are told apart on one day of a domain, as many as in one report; failures at others
/// stand without a host.
pub const HOSTS_OF_A_DAY_MOST: usize = 64;

/// So many versions of an unproven report are compared under one key. A sender corrects once or twice; what comes after stands
/// alone, so that nobody can hide a report, or make it dear to file, by filling its key.
pub const VERSIONS_MOST: usize = 8;

/// The same for a proven one: all that one reporter may file about a day ([`REPORTS_OF_A_REPORTER_MOST`]), so that totals that grow
/// by the hour under one id count as the last of them.
const VERSIONS_OF_PROVEN_MOST: usize = 200;

/// So many reporters without a label of their own are told apart on one day of a domain, which is more than there are large senders.
/// The other places of [`REPORTERS_OF_A_DAY_MOST`](crate::verdict::REPORTERS_OF_A_DAY_MOST) are for those with a label: 60 that
/// earned one, a few that are configured, `unverified` and `other`.
const NAMES_WITHOUT_LABEL_MOST: usize = 30;

/// So many unproven reports of one domain are kept beyond [`REMEMBERED_FOR`](super::REMEMBERED_FOR), the latest first: about 70 a
/// day over the default retention. At twice as many no more are taken.
pub const UNPROVEN_KEPT: u64 = 50_000;

/// The same for those that are proven: about 270 a day.
pub const PROVEN_KEPT: u64 = 200_000;

/// The largest report that is kept, in bytes of its texts and about 200 for each policy and failure: as large as the largest that the reader
/// takes, and far below what a blob may hold.
const LARGEST_REPORT: u64 = 24 * 1024 * 1024;
