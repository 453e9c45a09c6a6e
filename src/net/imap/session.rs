//! The dialogue after the login.

use std::{collections::BTreeSet, fmt, time::Duration};

use async_imap::{
    Session,
    imap_proto::{AttributeValue, Capability, MailboxDatum, Response, ResponseCode, Status},
};
use tokio::time::{Instant, timeout_at};

use super::{
    ImapAccount, ImapError, ImapTimeouts, Wire,
    error::{broken, failed, refusal, said},
};

/// So many messages one search looks at: their numbers are one line of the answer.
pub(super) const SEARCH_WINDOW: u32 = 5000;

/// So many of the newest messages of a mailbox are looked at in all: the reports of ten years to a thousand domains.
const MOST_SEARCHED: u32 = 1_000_000;

/// So many messages a look finds in all, with those that are known and have to wait: what is kept of them takes some megabytes.
const MOST_KNOWN: usize = 100_000;

/// How long the answer to LOGOUT is waited for. All is done by then; waiting only spares the server a log line about a lost connection.
const FAREWELL: Duration = Duration::from_secs(1);

/// Set beside `\Seen` on what was handled. A person who reads the mailbox sets `\Seen`, too, so that alone says nothing.
const KEYWORD: &str = "$TLSReportHandled";

/// The number of a message, valid while [`ImapSession::uid_validity`] stays (RFC 3501 §2.3.1.1).
pub type Uid = u32;

/// A session with a selected mailbox.
pub struct ImapSession {
    session: Session<Wire>,
    timeouts: ImapTimeouts,
    move_to: Option<String>,
    extensions: Extensions,
    /// How many messages the mailbox has.
    exists: u32,
    /// The server told of messages since the last search began.
    news: bool,
    /// The value of the mailbox; a server without it keeps no number from one session to the next.
    uid_validity: Option<u32>,
    keeps_keywords: bool,
}

/// What came of asking for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The message; where it is larger than asked for, its beginning.
    Message(Vec<u8>),
    /// It is not there any more.
    Gone,
}

/// What the server can do beyond RFC 3501.
#[derive(Clone, Copy, Debug, Default)]
struct Extensions {
    idle: bool,
    r#move: bool,
    uid_plus: bool,
}

impl ImapSession {
    /// A search ends once it has found so many new ones: they are handled before it goes on.
    pub const MOST_FOUND: usize = 5000;

    /// Learns what the server can do, and selects the folder.
    pub(super) async fn begin(
        session: Session<Wire>,
        account: &ImapAccount,
        timeouts: ImapTimeouts,
    ) -> Result<Self, ImapError> {
        let mut begun = Self {
            session,
            timeouts,
            move_to: account.move_to.clone(),
            extensions: Extensions::default(),
            exists: 0,
            news: false,
            uid_validity: None,
            keeps_keywords: false,
        };
        begun.look_around().await?;
        begun.select(&account.folder).await?;
        Ok(begun)
    }

    /// How long what a [`Uid`] names stays the same.
    pub const fn uid_validity(&self) -> Option<u32> {
        self.uid_validity
    }

    /// Whether the server tells of new messages by itself (RFC 2177).
    pub const fn can_idle(&self) -> bool {
        self.extensions.idle
    }

    /// The messages that were not handled yet; not all of them where more than [`MOST_FOUND`](Self::MOST_FOUND) are new. Those that
    /// `is_known` tells of do not count, for else many that wait would hide those that came later; with them it ends at 100,000.
    ///
    /// # Errors
    /// [`ImapError`]; the session is of no use then.
    pub async fn unhandled(&mut self, is_known: impl Fn(Uid) -> bool) -> Result<BTreeSet<Uid>, ImapError> {
        // Brings the number of messages up to date.
        self.command("NOOP", "NOOP", |_| ()).await?;
        self.news = false;
        let which = match (&self.move_to, self.keeps_keywords) {
            (Some(_), _) => "UNDELETED".to_owned(),
            (None, true) => format!("UNDELETED UNKEYWORD {KEYWORD}"),
            (None, false) => "UNDELETED UNSEEN".to_owned(),
        };
        let mut found = BTreeSet::new();
        let mut new = 0;
        let last = self.exists;
        let mut first = last.saturating_sub(MOST_SEARCHED.saturating_sub(1)).max(1);
        while first <= last && goes_on(new, found.len()) {
            let end = first.saturating_add(SEARCH_WINDOW.saturating_sub(1)).min(last);
            let search = format!("UID SEARCH {first}:{end} {which}");
            self.command("UID SEARCH", &search, |response| {
                if let Response::MailboxData(MailboxDatum::Search(uids)) = response {
                    // A number that is told twice counts once.
                    new += uids.iter().filter(|uid| found.insert(**uid) && !is_known(**uid)).count();
                }
            })
            .await?;
            first = end.saturating_add(1);
        }
        Ok(found)
    }

    /// Reads a message, of which not more than `most` bytes, and does not mark it as seen.
    ///
    /// # Errors
    /// [`ImapError`]; the session is of no use then.
    pub async fn fetch(&mut self, uid: Uid, most: usize) -> Result<Fetched, ImapError> {
        let mut size = None;
        self.command("UID FETCH", &format!("UID FETCH {uid} (RFC822.SIZE)"), |response| {
            let Response::Fetch(_, attributes) = response else { return };
            size = size.or_else(|| {
                attributes.iter().find_map(|attribute| match attribute {
                    AttributeValue::Rfc822Size(size) => Some(*size),
                    _ => None,
                })
            });
        })
        .await?;
        let Some(size) = size else { return Ok(Fetched::Gone) };
        // Not every server is at ease with a part, so it is asked for only where it has to be.
        let item = match usize::try_from(size).is_ok_and(|size| size <= most) {
            true => "BODY.PEEK[]".to_owned(),
            false => format!("BODY.PEEK[]<0.{most}>"),
        };
        let mut message = None;
        // A size that is a little wrong is common: line ends are counted in two ways.
        self.session.get_mut().allow(most.saturating_mul(2));
        let deadline = Instant::now() + self.timeouts.message;
        self.exchange("UID FETCH", &format!("UID FETCH {uid} ({item})"), deadline, |response| {
            let Response::Fetch(_, attributes) = response else { return };
            let whole = attributes.iter().find_map(|attribute| match attribute {
                AttributeValue::BodySection { section: None, data: Some(data), .. } => Some(data),
                _ => None,
            });
            if let Some(whole) = whole {
                message = Some(whole.get(..most).unwrap_or(whole).to_vec());
            }
        })
        .await?;
        Ok(message.map_or(Fetched::Gone, Fetched::Message))
    }

    /// Moves messages away, or marks them as handled.
    ///
    /// Where the server has no MOVE (RFC 6851) they are copied and deleted; where it has no UIDPLUS (RFC 4315) either they stay, marked
    /// as deleted, for else the deleted messages of others would go with them.
    ///
    /// # Errors
    /// [`ImapError`]; what was asked may be done in part.
    pub async fn acknowledge(&mut self, uids: &[Uid]) -> Result<(), ImapError> {
        if uids.is_empty() {
            return Ok(());
        }
        let set = uids.iter().map(Uid::to_string).collect::<Vec<_>>().join(",");
        match self.move_to.clone() {
            Some(folder) => self.put_away(&set, &folder).await,
            None => {
                let flags = if self.keeps_keywords { format!("\\Seen {KEYWORD}") } else { "\\Seen".to_owned() };
                self.command("UID STORE", &format!("UID STORE {set} +FLAGS.SILENT ({flags})"), |_| ()).await
            }
        }
    }

    /// Waits until the server tells of new messages, and no longer than this. Needs [`ImapSession::can_idle`].
    ///
    /// # Errors
    /// [`ImapError`]; the session is of no use then.
    pub async fn idle(&mut self, longest: Duration) -> Result<(), ImapError> {
        if self.news {
            return Ok(());
        }
        self.session.get_mut().allow(0);
        let tag = self.send("IDLE", Instant::now() + self.timeouts.command).await?;
        let until = Instant::now() + longest;
        let mut idles = false;
        while !(idles && self.news) {
            // Until it idles the server owes an answer.
            let deadline = if idles { until } else { until.min(Instant::now() + self.timeouts.command) };
            let response = match timeout_at(deadline, self.session.read_response()).await {
                Err(_) if idles => break,
                Err(_) => return Err(ImapError::Timeout("IDLE")),
                Ok(response) => response.map_err(|error| broken(&error))?,
            };
            let response = response.ok_or_else(|| ImapError::Closed("while it was idle".into()))?;
            match response.parsed() {
                Response::Continue(_) => idles = true,
                Response::Done { outcome, .. } => {
                    return Err(refusal("IDLE", said(outcome.information.as_deref()), outcome.code.as_ref()));
                }
                other => self.note(other)?,
            }
        }
        let deadline = Instant::now() + self.timeouts.command;
        let sent = timeout_at(deadline, self.session.run_command_untagged("DONE")).await;
        sent.map_err(|_| ImapError::Timeout("DONE"))?.map_err(|error| failed("DONE", error))?;
        self.answer("DONE", &tag, deadline, |_| ()).await
    }

    /// Takes leave. All is done by then, so that nothing depends on it.
    pub async fn leave(mut self) {
        let _ = self.exchange("LOGOUT", "LOGOUT", Instant::now() + FAREWELL, |_| ()).await;
    }

    async fn look_around(&mut self) -> Result<(), ImapError> {
        let mut extensions = Extensions::default();
        self.command("CAPABILITY", "CAPABILITY", |response| {
            let Response::Capabilities(capabilities) = response else { return };
            for capability in capabilities {
                let Capability::Atom(name) = capability else { continue };
                extensions.idle |= name.eq_ignore_ascii_case("IDLE");
                extensions.r#move |= name.eq_ignore_ascii_case("MOVE");
                extensions.uid_plus |= name.eq_ignore_ascii_case("UIDPLUS");
            }
        })
        .await?;
        self.extensions = extensions;
        Ok(())
    }

    async fn select(&mut self, folder: &str) -> Result<(), ImapError> {
        let (mut uid_validity, mut keeps_keywords, mut read_only) = (None, false, false);
        self.command("SELECT", &format!("SELECT {}", quoted(folder)), |response| {
            let (Response::Data { outcome, .. } | Response::Done { outcome, .. }) = response else { return };
            match &outcome.code {
                Some(ResponseCode::UidValidity(value)) => uid_validity = Some(*value),
                Some(ResponseCode::ReadOnly) => read_only = true,
                Some(ResponseCode::PermanentFlags(flags)) => {
                    keeps_keywords = flags.iter().any(|flag| flag == "\\*" || flag.eq_ignore_ascii_case(KEYWORD));
                }
                _ => {}
            }
        })
        .await?;
        (self.uid_validity, self.keeps_keywords) = (uid_validity, keeps_keywords);
        if read_only { Err(ImapError::ReadOnly(folder.to_owned())) } else { Ok(()) }
    }

    async fn put_away(&mut self, set: &str, folder: &str) -> Result<(), ImapError> {
        let (name, command) = match self.extensions.r#move {
            true => ("UID MOVE", format!("UID MOVE {set} {}", quoted(folder))),
            false => ("UID COPY", format!("UID COPY {set} {}", quoted(folder))),
        };
        match self.command(name, &command, |_| ()).await {
            Err(ImapError::Refused { try_create: true, .. }) => {
                self.command("CREATE", &format!("CREATE {}", quoted(folder)), |_| ()).await?;
                self.command(name, &command, |_| ()).await?;
            }
            moved => moved?,
        }
        if !self.extensions.r#move {
            self.command("UID STORE", &format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)"), |_| ()).await?;
            if self.extensions.uid_plus {
                self.command("UID EXPUNGE", &format!("UID EXPUNGE {set}"), |_| ()).await?;
            }
        }
        Ok(())
    }

    async fn command(
        &mut self,
        name: &'static str,
        command: &str,
        seen: impl FnMut(&Response<'_>),
    ) -> Result<(), ImapError> {
        self.session.get_mut().allow(0);
        self.exchange(name, command, Instant::now() + self.timeouts.command, seen).await
    }

    async fn exchange(
        &mut self,
        name: &'static str,
        command: &str,
        deadline: Instant,
        seen: impl FnMut(&Response<'_>),
    ) -> Result<(), ImapError> {
        let tag = timeout_at(deadline, self.session.run_command(command)).await;
        let tag = tag.map_err(|_| ImapError::Timeout(name))?.map_err(|error| failed(name, error))?;
        self.answer(name, &tag.0, deadline, seen).await
    }

    async fn send(&mut self, name: &'static str, deadline: Instant) -> Result<String, ImapError> {
        let tag = timeout_at(deadline, self.session.run_command(name)).await;
        Ok(tag.map_err(|_| ImapError::Timeout(name))?.map_err(|error| failed(name, error))?.0)
    }

    /// Reads up to the end of the answer to a command; everything in it is seen, its end as well.
    async fn answer(
        &mut self,
        name: &'static str,
        own_tag: &str,
        deadline: Instant,
        mut seen: impl FnMut(&Response<'_>),
    ) -> Result<(), ImapError> {
        loop {
            let response = timeout_at(deadline, self.session.read_response()).await;
            let response = response.map_err(|_| ImapError::Timeout(name))?.map_err(|error| broken(&error))?;
            let response = response.ok_or_else(|| ImapError::Closed(format!("before the answer to {name}")))?;
            seen(response.parsed());
            match response.parsed() {
                Response::Done { tag, status, outcome } if tag.0 == own_tag => {
                    return match status {
                        Status::Ok => Ok(()),
                        _ => Err(refusal(name, said(outcome.information.as_deref()), outcome.code.as_ref())),
                    };
                }
                other => self.note(other)?,
            }
        }
    }

    /// Keeps what the server tells of the mailbox unasked (RFC 3501 §7.3).
    fn note(&mut self, response: &Response<'_>) -> Result<(), ImapError> {
        match response {
            Response::MailboxData(MailboxDatum::Exists(exists)) => {
                self.exists = *exists;
                self.news = true;
            }
            Response::Expunge(_) => self.exists = self.exists.saturating_sub(1),
            // Before the answer to LOGOUT it is as it should be; whoever waits for another one waits in vain.
            Response::Data { status: Status::Bye, outcome } => {
                return Err(ImapError::Closed(said(outcome.information.as_deref())));
            }
            _ => {}
        }
        Ok(())
    }
}

/// What the library sends may have a secret in it, and its buffers as well.
impl fmt::Debug for ImapSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImapSession").field("exists", &self.exists).finish_non_exhaustive()
    }
}

/// Whether a search goes on that found so many new messages, and so many in all.
const fn goes_on(new: usize, all: usize) -> bool {
    new < ImapSession::MOST_FOUND && all < MOST_KNOWN
}

/// A mailbox name as a quoted string (RFC 3501 §4.3). The configuration refuses names with other characters than printable ASCII.
fn quoted(name: &str) -> String {
    let plain = name.chars().filter(|character| !character.is_control());
    let escaped: String = plain.flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c])).collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_messages_end_no_search_before_there_are_very_many() {
        assert!(goes_on(0, ImapSession::MOST_FOUND) && goes_on(ImapSession::MOST_FOUND - 1, MOST_KNOWN - 1));
        assert!(!goes_on(ImapSession::MOST_FOUND, ImapSession::MOST_FOUND) && !goes_on(0, MOST_KNOWN));
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("INBOX/Reports"), "\"INBOX/Reports\"");
        assert_eq!(quoted("a\"b\\c\r\nA1 LOGOUT"), "\"a\\\"b\\\\cA1 LOGOUT\"");
    }
}
