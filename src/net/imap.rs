//! One session with an IMAP server (RFC 3501): log in, see which messages nobody has handled, read them, and mark or move them.
//!
//! TLS begins with the connection (RFC 8314 §3.2), and the server has to prove its name before it learns the password. Every wait has
//! a deadline, and [`guard`] bounds what comes back. Of the library only its reading and the two ways to log in are used: its other
//! calls take a refusal for an empty answer.

mod guard;

use std::{
    collections::BTreeSet,
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_imap::{
    Authenticator, Client, Session,
    imap_proto::{AttributeValue, Capability, MailboxDatum, Response, ResponseCode, Status},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs::default_provider,
    version::{TLS12, TLS13},
};
use rustls_pki_types::ServerName;
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use self::guard::Guard;
use super::{
    DialOptions, Dialer, TlsSetupError,
    resolver::{Families, Resolver},
};
use crate::{
    protocol::tls::Roots,
    terms::{MxHost, Octets},
};

/// RFC 8314 §7.3: IMAP over TLS.
pub const IMAPS_PORT: u16 = 993;

/// So many messages one search looks at: their numbers are one line of the answer.
const SEARCH_WINDOW: u32 = 5000;
/// So many of the newest messages of a mailbox are looked at in all: the reports of ten years to a thousand domains.
const MOST_SEARCHED: u32 = 1_000_000;
/// Addresses of a server that are tried.
const MAX_ADDRESSES: usize = 8;
/// The largest file of a password or token, in bytes: tokens have a few kilobytes.
const MAX_SECRET: u64 = 64 * 1024;
/// So much of a server's words is kept, in characters.
const MAX_WORDS: usize = 200;
/// Set beside `\Seen` on what was handled. A person who reads the mailbox sets `\Seen`, too, so that alone says nothing.
const KEYWORD: &str = "$TLSReportHandled";

/// The number of a message, valid while [`ImapSession::uid_validity`] stays (RFC 3501 §2.3.1.1).
pub type Uid = u32;

/// A mailbox on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImapAccount {
    /// The server, whose certificate has to be for this name.
    pub server: MxHost,
    /// [`IMAPS_PORT`], as a rule. Without TLS from the start nothing works.
    pub port: u16,
    /// The user.
    pub user: String,
    /// What proves the user.
    pub login: ImapLogin,
    /// The folder, as the server spells it.
    pub folder: String,
    /// Where a message goes once it is handled. Without it it stays and is marked.
    pub move_to: Option<String>,
}

/// Where the proof of the user is read, anew at each login: who changes a password or renews a token changes the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImapLogin {
    /// A file with the password.
    Password(PathBuf),
    /// A file with an OAuth 2.0 access token.
    Xoauth2(PathBuf),
}

/// How long the steps may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImapTimeouts {
    /// TCP, for each address.
    pub connect: Duration,
    /// The handshake, and the greeting.
    pub greeting: Duration,
    /// The whole answer to a command. Some servers delay the answer to a wrong password.
    pub command: Duration,
    /// The answer that carries a message: the largest over a slow line.
    pub message: Duration,
}

/// Opens sessions.
#[derive(Clone)]
pub struct ImapConnector {
    resolver: Resolver,
    families: Families,
    dialer: Dialer,
    tls: TlsConnector,
    timeouts: ImapTimeouts,
}

/// A session with a selected mailbox.
pub struct ImapSession {
    session: Session<Guard<TlsStream<TcpStream>>>,
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

/// Why a session does not begin or does not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImapError {
    /// The password or token cannot be read.
    #[error("{path}: {reason}")]
    Secret {
        /// The file.
        path: String,
        /// The system's words, or what is wrong with the content.
        reason: String,
    },
    /// The server's name leads to no address.
    #[error("{0} has no address")]
    NoAddress(String),
    /// The DNS gave no answer.
    #[error("the address of {0} cannot be looked up: {1}")]
    Lookup(String, &'static str),
    /// None of the addresses can be connected to; why not at the last.
    #[error("{address}: {reason}")]
    Connect {
        /// The address.
        address: SocketAddr,
        /// A word.
        reason: &'static str,
    },
    /// The handshake failed, or the certificate does not hold.
    #[error("no TLS: {0}")]
    Tls(String),
    /// The server refuses the user.
    #[error("the login was refused: {0}")]
    Login(String),
    /// The server refuses a command.
    #[error("{command} was refused: {text}")]
    Refused {
        /// Its first words.
        command: &'static str,
        /// The server's words.
        text: String,
        /// It would work if the folder were there (RFC 3501 §7.1, TRYCREATE).
        try_create: bool,
    },
    /// Nothing could be moved or marked, so that all of it would be read again and again.
    #[error("the folder {0:?} can be read and not be changed")]
    ReadOnly(String),
    /// A deadline passed.
    #[error("no answer in time to {0}")]
    Timeout(&'static str),
    /// The server ended the session, or the connection broke.
    #[error("the connection ended: {0}")]
    Closed(String),
    /// What the server sends is no IMAP, or too much of it.
    #[error("the answer cannot be read: {0}")]
    Protocol(String),
}

/// What the server can do beyond RFC 3501.
#[derive(Clone, Copy, Debug, Default)]
struct Extensions {
    idle: bool,
    r#move: bool,
    uid_plus: bool,
}

impl Default for ImapTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            greeting: Duration::from_secs(20),
            command: Duration::from_secs(60),
            message: Duration::from_secs(180),
        }
    }
}

impl ImapConnector {
    /// Servers may have private addresses: the operator named them.
    ///
    /// # Errors
    /// Only where the cryptographic library lacks TLS 1.2 or 1.3.
    pub fn new(
        resolver: Resolver,
        families: Families,
        roots: &Roots,
        timeouts: ImapTimeouts,
    ) -> Result<Self, TlsSetupError> {
        let roots = RootCertStore { roots: roots.anchors().to_vec() };
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| TlsSetupError::new(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let dialer = Dialer::new(DialOptions { allow_private_addresses: true });
        Ok(Self { resolver, families, dialer, tls: TlsConnector::from(Arc::new(config)), timeouts })
    }

    /// Connects, logs in and selects the folder.
    ///
    /// # Errors
    /// [`ImapError`]. Neither password nor token stands in one, even where the server repeats it.
    pub async fn open(&self, account: &ImapAccount) -> Result<ImapSession, ImapError> {
        // Before the server is troubled.
        let secret = read_secret(&account.login).await?;
        self.open_with(account, &secret).await.map_err(|error| error.without(&secret))
    }

    async fn open_with(&self, account: &ImapAccount, secret: &str) -> Result<ImapSession, ImapError> {
        let tcp = self.dial(account).await?;
        let name = ServerName::try_from(account.server.as_str().to_owned())
            .map_err(|_| ImapError::Tls("the server's name cannot be sent as SNI".into()))?;
        let deadline = Instant::now() + self.timeouts.greeting;
        let tls = timeout_at(deadline, self.tls.connect(name, tcp)).await;
        let tls =
            tls.map_err(|_| ImapError::Timeout("the TLS handshake"))?.map_err(|error| ImapError::Tls(words(&error)))?;
        let mut client = Client::new(Guard::new(tls));
        let greeting = timeout_at(deadline, client.read_response()).await;
        let greeting = greeting.map_err(|_| ImapError::Timeout("the connection"))?.map_err(|error| broken(&error))?;
        match greeting.as_ref().map(|greeting| greeting.parsed()) {
            // Where the server knows the user already it refuses the login, and says so.
            Some(Response::Data { status: Status::Ok | Status::PreAuth, .. }) => {}
            Some(Response::Data { outcome, .. }) => {
                return Err(ImapError::Closed(said(outcome.information.as_deref())));
            }
            Some(_) => return Err(ImapError::Protocol("it does not begin with a greeting".into())),
            None => return Err(ImapError::Closed("without a greeting".into())),
        }
        drop(greeting);
        let session = timeout_at(Instant::now() + self.timeouts.command, log_in(client, account, secret)).await;
        let mut session = ImapSession {
            session: session.map_err(|_| ImapError::Timeout("the login"))??,
            timeouts: self.timeouts,
            move_to: account.move_to.clone(),
            extensions: Extensions::default(),
            exists: 0,
            news: false,
            uid_validity: None,
            keeps_keywords: false,
        };
        session.look_around().await?;
        session.select(&account.folder).await?;
        Ok(session)
    }

    async fn dial(&self, account: &ImapAccount) -> Result<TcpStream, ImapError> {
        let name = account.server.as_str();
        let lookup = self.resolver.addresses(name, self.families).await;
        let mut last = match lookup.failure() {
            Some(failure) => ImapError::Lookup(name.to_owned(), failure.label()),
            None => ImapError::NoAddress(name.to_owned()),
        };
        for address in lookup.addresses().take(MAX_ADDRESSES) {
            let address = SocketAddr::new(address, account.port);
            match self.dialer.connect(address, Instant::now() + self.timeouts.connect).await {
                Ok(tcp) => return Ok(tcp),
                Err(failure) => last = ImapError::Connect { address, reason: failure.label() },
            }
        }
        Err(last)
    }
}

impl ImapSession {
    /// A search ends once it has found so many: they are handled before it goes on.
    pub const MOST_FOUND: usize = 5000;

    /// How long what a [`Uid`] names stays the same.
    pub const fn uid_validity(&self) -> Option<u32> {
        self.uid_validity
    }

    /// Whether the server tells of new messages by itself (RFC 2177).
    pub const fn can_idle(&self) -> bool {
        self.extensions.idle
    }

    /// The messages that were not handled yet; not all of them where there are more than [`MOST_FOUND`](Self::MOST_FOUND).
    ///
    /// # Errors
    /// [`ImapError`]; the session is of no use then.
    pub async fn unhandled(&mut self) -> Result<BTreeSet<Uid>, ImapError> {
        // Brings the number of messages up to date.
        self.command("NOOP", "NOOP", |_| ()).await?;
        self.news = false;
        let which = match (&self.move_to, self.keeps_keywords) {
            (Some(_), _) => "UNDELETED".to_owned(),
            (None, true) => format!("UNDELETED UNKEYWORD {KEYWORD}"),
            (None, false) => "UNDELETED UNSEEN".to_owned(),
        };
        let mut found = BTreeSet::new();
        let last = self.exists;
        let mut first = last.saturating_sub(MOST_SEARCHED.saturating_sub(1)).max(1);
        while first <= last && found.len() < Self::MOST_FOUND {
            let end = first.saturating_add(SEARCH_WINDOW.saturating_sub(1)).min(last);
            let search = format!("UID SEARCH {first}:{end} {which}");
            self.command("UID SEARCH", &search, |response| {
                if let Response::MailboxData(MailboxDatum::Search(uids)) = response {
                    found.extend(uids.iter().copied());
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
            size = size.or(attributes.iter().find_map(|attribute| match attribute {
                AttributeValue::Rfc822Size(size) => Some(*size),
                _ => None,
            }));
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
        let _ = self.exchange("LOGOUT", "LOGOUT", Instant::now() + Duration::from_secs(1), |_| ()).await;
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

impl ImapError {
    /// A server's words with the secret taken out.
    fn without(self, secret: &str) -> Self {
        let hide = |text: String| match text.contains(secret) || text.contains(&Octets::from(secret).to_string()) {
            true => "(words that have the secret in them)".to_owned(),
            false => text,
        };
        match self {
            Self::Login(text) => Self::Login(hide(text)),
            Self::Refused { command, text, try_create } => Self::Refused { command, text: hide(text), try_create },
            Self::Closed(text) => Self::Closed(hide(text)),
            Self::Protocol(text) => Self::Protocol(hide(text)),
            other => other,
        }
    }
}

impl fmt::Debug for ImapConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImapConnector").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

/// What the library sends may have a secret in it, and its buffers as well.
impl fmt::Debug for ImapSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImapSession").field("exists", &self.exists).finish_non_exhaustive()
    }
}

type Unknown = Client<Guard<TlsStream<TcpStream>>>;

async fn log_in(
    client: Unknown,
    account: &ImapAccount,
    secret: &str,
) -> Result<Session<Guard<TlsStream<TcpStream>>>, ImapError> {
    let user = &account.user;
    let outcome = match &account.login {
        ImapLogin::Xoauth2(_) => client.authenticate("XOAUTH2", Once::new(xoauth2(user, secret))).await,
        // A quoted string has only ASCII (RFC 3501 §4.3); PLAIN is UTF-8 (RFC 4616).
        ImapLogin::Password(_) if user.is_ascii() && secret.is_ascii() => client.login(user, secret).await,
        ImapLogin::Password(_) => client.authenticate("PLAIN", Once::new(format!("\0{user}\0{secret}"))).await,
    };
    outcome.map_err(|(error, _)| match failed("the login", error) {
        ImapError::Refused { text, .. } => ImapError::Login(text),
        other => other,
    })
}

/// The words of Google and Microsoft, who made this mechanism; no RFC has it.
fn xoauth2(user: &str, token: &str) -> String {
    format!("user={user}\x01auth=Bearer {token}\x01\x01")
}

/// Answers the first challenge with the proof, and the others with nothing: with XOAUTH2 a second one carries the reason of the
/// refusal, and the server waits for an empty answer before it refuses.
struct Once(Option<String>);

impl Once {
    const fn new(proof: String) -> Self {
        Self(Some(proof))
    }
}

impl Authenticator for Once {
    type Response = String;

    fn process(&mut self, _challenge: &[u8]) -> String {
        self.0.take().unwrap_or_default()
    }
}

async fn read_secret(login: &ImapLogin) -> Result<String, ImapError> {
    let (ImapLogin::Password(path) | ImapLogin::Xoauth2(path)) = login;
    let unusable =
        |reason: &dyn fmt::Display| ImapError::Secret { path: path.display().to_string(), reason: reason.to_string() };
    let text = read_small(path).await.map_err(|error| unusable(&error))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    match secret {
        "" => Err(unusable(&"it is empty")),
        _ if secret.contains(['\r', '\n', '\0']) => Err(unusable(&"it has more than one line")),
        _ => Ok(secret.to_owned()),
    }
}

async fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    tokio::fs::File::open(path).await?.take(MAX_SECRET).read_to_string(&mut text).await?;
    Ok(text)
}

/// A mailbox name as a quoted string (RFC 3501 §4.3). The configuration refuses names with other characters than printable ASCII.
fn quoted(name: &str) -> String {
    let plain = name.chars().filter(|character| !character.is_control());
    let escaped: String = plain.flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c])).collect();
    format!("\"{escaped}\"")
}

fn refusal(command: &'static str, text: String, code: Option<&ResponseCode<'_>>) -> ImapError {
    ImapError::Refused { command, text, try_create: matches!(code, Some(ResponseCode::TryCreate)) }
}

fn failed(command: &'static str, error: async_imap::error::Error) -> ImapError {
    use async_imap::error::Error;
    match error {
        Error::No(text) | Error::Bad(text) => {
            ImapError::Refused { command, text: said(Some(&text)), try_create: false }
        }
        Error::Io(error) => broken(&error),
        Error::ConnectionLost => ImapError::Closed(format!("before the answer to {command}")),
        other => ImapError::Protocol(words(&other)),
    }
}

fn broken(error: &io::Error) -> ImapError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::Other => ImapError::Protocol(words(error)),
        _ => ImapError::Closed(words(error)),
    }
}

fn said(text: Option<&str>) -> String {
    text.map_or_else(|| "no reason given".to_owned(), |text| words(&text))
}

/// Harmless, and not without end: an error of the library may have all that was received in it.
fn words(text: &dyn fmt::Display) -> String {
    let text: String = text.to_string().chars().take(MAX_WORDS).collect();
    Octets::from(text.as_str()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_xoauth2() {
        // The example of developers.google.com/workspace/gmail/imap/xoauth2-protocol.
        assert_eq!(
            xoauth2("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"),
            "user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01"
        );
        let mut once = Once::new("proof".into());
        assert_eq!((once.process(b""), once.process(b"{\"status\":\"401\"}")), ("proof".into(), String::new()));
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("INBOX/Reports"), "\"INBOX/Reports\"");
        assert_eq!(quoted("a\"b\\c\r\nA1 LOGOUT"), "\"a\\\"b\\\\cA1 LOGOUT\"");
    }

    #[test]
    fn a_secret_stays_secret() {
        let told = ImapError::Login("no, pa\\ss is wrong".into());
        assert!(!told.clone().without("pa\\ss").to_string().contains("ss is"));
        assert_eq!(told.clone().without("other"), told);
        let escaped = ImapError::Protocol(words(&"not pä, I fear"));
        assert_eq!(
            escaped.without("pä").to_string(),
            "the answer cannot be read: (words that have the secret in them)"
        );
    }
}
