//! Reports from an IMAP mailbox: a message is moved or marked only after the intake has stored it.
//!
//! Which messages were handled stands on the server: those that were moved away or marked are not found again. What is not settled
//! there counts once all the same, for the store knows what it has.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    panic::AssertUnwindSafe,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{RawReport, Receipt};
use crate::{
    config::{ImapAuth, Settings, file::Imap},
    facts::Transport,
    monitor::schedule::{backed_off, jittered},
    net::{Fetched, IMAPS_PORT, ImapAccount, ImapConnector, ImapError, ImapLogin, ImapSession, Uid, now},
    protocol::tls_rpt::MAIL_MOST,
    terms::Timestamp,
};

/// So much of a message is read, in bytes: one more than the intake takes, so that it says itself what is too large.
const MOST_READ: usize = MAIL_MOST + 1;
/// So many messages are handed in at once, and acknowledged by one command.
const BATCH: usize = 50;
/// No more messages are read into a batch that has so many bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How long the watch over a mailbox waits, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxPace {
    /// Between two looks where the server does not tell by itself.
    pub poll: Duration,
    /// At most between two looks where it does. RFC 2177 ends after 29 minutes; gateways forget a silent connection earlier, and
    /// one that is dead shows at its next command.
    pub idle: Duration,
    /// After the server told of something: what comes together is read together, and who tells without end is not heard more often.
    pub settle: Duration,
    /// After a first failure; doubled with each one that follows.
    pub retry: Duration,
    /// The longest time after a failure.
    pub longest_retry: Duration,
}

impl Default for MailboxPace {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(60),
            idle: Duration::from_secs(9 * 60),
            settle: Duration::from_secs(1),
            retry: Duration::from_secs(5),
            longest_retry: Duration::from_secs(600),
        }
    }
}

/// The mailboxes of the configuration, which has seen to it that each names a file for its kind of login.
pub fn mailboxes(settings: &Settings) -> Vec<ImapAccount> {
    let written = settings.reports.imap.iter().flat_map(|list| &list.value).map(|at| &at.value);
    let account = |one: &Imap| {
        let xoauth2 = one.auth.as_ref().is_some_and(|auth| auth.value == ImapAuth::Xoauth2);
        let login = match xoauth2 {
            true => ImapLogin::Xoauth2(one.token_file.as_ref()?.value.clone()),
            false => ImapLogin::Password(one.password_file.as_ref()?.value.clone()),
        };
        Some(ImapAccount {
            server: one.server.as_ref()?.value.clone(),
            port: one.port.as_ref().map_or(IMAPS_PORT, |port| port.value.port()),
            user: one.user.as_ref()?.value.clone(),
            login,
            folder: one.folder.as_ref().map_or_else(|| "INBOX".to_owned(), |folder| folder.value.clone()),
            move_to: one.move_to.as_ref().map(|folder| folder.value.clone()),
        })
    };
    written.filter_map(account).collect()
}

/// Watches a mailbox until it is told to stop, and hands each message to `submit`: that of an [`Intake`](super::Intake). Errors end a
/// session and never the watch.
pub async fn watch_mailbox<F: Future<Output = Receipt>>(
    connector: ImapConnector,
    account: ImapAccount,
    pace: MailboxPace,
    submit: impl Fn(RawReport) -> F,
    stop: CancellationToken,
) {
    let mut watch =
        Watch { connector, account, pace, submit, known: HashMap::new(), validity: None, failures: 0, up: None };
    loop {
        // A hostile server may find a fault in the library that reads its answers.
        let session = AssertUnwindSafe(watch.session()).catch_unwind();
        let why = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            ended = session => match ended {
                Ok(Ok(never)) => match never {},
                Ok(Err(error)) => error.to_string(),
                Err(_) => "its answer is more than the program can read".to_owned(),
            },
        };
        let again = watch.failed(why);
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(again) => {}
        }
    }
}

struct Watch<S> {
    connector: ImapConnector,
    account: ImapAccount,
    pace: MailboxPace,
    submit: S,
    /// The messages that are still in the mailbox and not new.
    known: HashMap<Uid, Known>,
    /// For which value of the mailbox that holds.
    validity: Option<u32>,
    /// Sessions in a row in which nothing was accomplished.
    failures: u32,
    /// What was told last: that it works, or why not.
    up: Option<Result<(), String>>,
}

/// What is known of a message.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// It is stored or refused; the server may not have heard of it.
    Handled,
    /// It was tried, and has to wait.
    Waiting(Waiting),
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    since: Timestamp,
    tries: u32,
    again: Instant,
    /// It could be read the last time. Else the session may have ended because of it.
    readable: bool,
}

/// Something that never is.
enum Never {}

/// What a look at the mailbox accomplished.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    new: usize,
    handled: usize,
}

impl<F: Future<Output = Receipt>, S: Fn(RawReport) -> F> Watch<S> {
    async fn session(&mut self) -> Result<Never, ImapError> {
        let mut session = self.connector.open(&self.account).await?;
        if self.validity != session.uid_validity() || self.validity.is_none() {
            // The numbers name other messages now (RFC 3501 §2.3.1.1).
            self.known.clear();
            self.validity = session.uid_validity();
        }
        loop {
            let look = self.look(&mut session).await?;
            self.works();
            if look.new >= ImapSession::MOST_FOUND && look.handled > 0 {
                continue;
            }
            let longest = if session.can_idle() { self.pace.idle } else { self.pace.poll };
            let wait = self.next_try().map_or(longest, |again| longest.min(again.duration_since(Instant::now())));
            // One message that waits is not looked after more often than this, whatever else is due.
            let wait = wait.max(self.pace.retry);
            match session.can_idle() {
                true => {
                    session.idle(wait).await?;
                    sleep(self.pace.settle).await;
                }
                false => sleep(wait).await,
            }
        }
    }

    /// Handles what is there.
    async fn look(&mut self, session: &mut ImapSession) -> Result<Look, ImapError> {
        let found = session.unhandled(|uid| self.known.contains_key(&uid)).await?;
        self.known.retain(|uid, _| found.contains(uid));
        let told_in_vain: Vec<Uid> = found.iter().copied().filter(|uid| self.is_handled(*uid)).collect();
        for uids in told_in_vain.chunks(BATCH) {
            session.acknowledge(uids).await?;
        }
        let new = found.iter().filter(|uid| !self.known.contains_key(uid)).count();
        let mut look = Look { new, handled: 0 };
        let mut due: VecDeque<Uid> = self.due(&found, Instant::now()).into();
        while !due.is_empty() {
            let batch = self.read_batch(session, &mut due).await?;
            let uids: Vec<Uid> = batch.iter().map(|(uid, _)| *uid).collect();
            let receipts = join_all(batch.into_iter().map(|(_, raw)| (self.submit)(raw))).await;
            let handled: Vec<Uid> =
                uids.iter().zip(&receipts).filter(|(_, receipt)| is_settled(receipt)).map(|(uid, _)| *uid).collect();
            self.known.extend(handled.iter().map(|uid| (*uid, Known::Handled)));
            session.acknowledge(&handled).await?;
            look.handled = look.handled.saturating_add(handled.len());
            if handled.is_empty() && !uids.is_empty() {
                // The store is closed, or the DNS away: the others would wait as well.
                break;
            }
        }
        Ok(look)
    }

    /// Reads some of the messages that are due.
    async fn read_batch(
        &mut self,
        session: &mut ImapSession,
        due: &mut VecDeque<Uid>,
    ) -> Result<Vec<(Uid, RawReport)>, ImapError> {
        let (mut batch, mut bytes) = (Vec::new(), 0_usize);
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            let Some(uid) = due.pop_front() else { break };
            let before = self.waiting(uid);
            let is_feared = before.is_some_and(|before| !before.readable);
            if is_feared && !batch.is_empty() {
                // The others are stored first.
                due.push_front(uid);
                break;
            }
            let tries = before.map_or(1, |before| before.tries.saturating_add(1));
            let delay = backed_off(self.pace.retry, tries, self.pace.longest_retry);
            let again = Instant::now() + jittered(delay, rand::random());
            let since = before.map_or_else(now, |before| before.since);
            // Beforehand: where its reading ends the session, it comes last the next time.
            self.known.insert(uid, Known::Waiting(Waiting { since, tries, again, readable: false }));
            let Fetched::Message(message) = session.fetch(uid, MOST_READ).await? else { continue };
            self.known.insert(uid, Known::Waiting(Waiting { since, tries, again, readable: true }));
            bytes = bytes.saturating_add(message.len());
            let raw = RawReport {
                bytes: Bytes::from(message),
                transport: Transport::Mail,
                source: format!("imap://{}/{};UID={uid}", self.account.server, self.account.folder),
                media_type: None,
                file_name: None,
                waiting_since: Some(since),
            };
            batch.push((uid, raw));
            if is_feared {
                break;
            }
        }
        Ok(batch)
    }

    /// What is to be read of what was found: what is new, then what waited long enough, and last what could not be read, so that
    /// it keeps nothing from the others.
    fn due(&self, found: &BTreeSet<Uid>, at: Instant) -> Vec<Uid> {
        let mut due: Vec<(bool, u32, Uid)> = found
            .iter()
            .filter_map(|uid| match self.known.get(uid) {
                None => Some((false, 0, *uid)),
                Some(Known::Waiting(one)) if one.again <= at => Some((!one.readable, one.tries, *uid)),
                Some(_) => None,
            })
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, _, uid)| uid).collect()
    }

    fn waiting(&self, uid: Uid) -> Option<Waiting> {
        match self.known.get(&uid) {
            Some(Known::Waiting(waiting)) => Some(*waiting),
            _ => None,
        }
    }

    fn is_handled(&self, uid: Uid) -> bool {
        matches!(self.known.get(&uid), Some(Known::Handled))
    }

    fn next_try(&self) -> Option<Instant> {
        self.known.keys().filter_map(|uid| self.waiting(*uid)).map(|waiting| waiting.again).min()
    }

    fn works(&mut self) {
        self.failures = 0;
        if self.up.replace(Ok(())) != Some(Ok(())) {
            let ImapAccount { server, folder, .. } = &self.account;
            tracing::info!(%server, %folder, "reports are read from the mailbox");
        }
    }

    /// Says how long to wait.
    fn failed(&mut self, why: String) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let again = jittered(backed_off(self.pace.retry, self.failures, self.pace.longest_retry), rand::random());
        let ImapAccount { server, folder, .. } = &self.account;
        let now = Some(Err(why));
        let Some(Err(why)) = &now else { return again };
        if self.up == now {
            tracing::debug!(%server, %folder, %why, ?again, "no reports are read from the mailbox");
        } else {
            tracing::warn!(%server, %folder, %why, ?again, "no reports are read from the mailbox");
        }
        self.up = now;
        again
    }
}

/// Whether a message may go.
const fn is_settled(receipt: &Receipt) -> bool {
    match receipt {
        Receipt::Taken(_) | Receipt::Refused(_) => true,
        Receipt::Later(_) => false,
    }
}
