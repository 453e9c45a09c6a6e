//! One session with an IMAP server (RFC 3501): log in, see which messages nobody has handled, read them, and mark or move them.
//!
//! TLS begins with the connection (RFC 8314 §3.2), and the server has to prove its name before it learns the password. Every wait has
//! a deadline, and [`guard`] bounds what comes back. Of the library only its reading and the two ways to log in are used: its other
//! calls take a refusal for an empty answer.

mod error;
mod guard;
mod session;

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use async_imap::{
    Authenticator, Client, Session,
    imap_proto::{Response, Status},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs::default_provider,
    version::{TLS12, TLS13},
};
use rustls_pki_types::ServerName;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub use self::{
    error::ImapError,
    session::{Fetched, ImapSession, Uid},
};
use self::{
    error::{broken, failed, said, words},
    guard::Guard,
};
use super::{
    DialOptions, Dialer, TlsSetupError,
    resolver::{Families, Resolver},
    secret::{SecretError, read_secret},
};
use crate::{protocol::tls::Roots, terms::MxHost};

/// RFC 8314 §7.3: IMAP over TLS.
pub const IMAPS_PORT: u16 = 993;

/// Addresses of a server that are tried.
const MAX_ADDRESSES: usize = 8;

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
        let secret = secret_of(&account.login).await?;
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
        let session = session.map_err(|_| ImapError::Timeout("the login"))??;
        ImapSession::begin(session, account, self.timeouts).await
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

impl fmt::Debug for ImapConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImapConnector").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

/// What the server speaks through.
type Wire = Guard<TlsStream<TcpStream>>;

async fn log_in(client: Client<Wire>, account: &ImapAccount, secret: &str) -> Result<Session<Wire>, ImapError> {
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

/// What proves the user, as the file has it now.
async fn secret_of(login: &ImapLogin) -> Result<String, ImapError> {
    let (ImapLogin::Password(path) | ImapLogin::Xoauth2(path)) = login;
    read_secret(path).await.map_err(|SecretError { path, reason }| ImapError::Secret { path, reason })
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
}
