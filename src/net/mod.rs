//! The only code that dials: DNS, policy hosts, MX hosts. It also reads the clock and the trust stores.

mod chain_cache;
mod clock;
mod dial;
mod dkim;
mod imap;
mod legacy_hello;
mod list_fetch;
mod own_file;
mod own_server;
mod policy_fetch;
pub mod resolver;
mod roots;
mod secret;
mod starttls;
mod survey;
mod tls_client;
mod tls_server;
mod web_tls;

pub use clock::now;
pub use dial::{DialOptions, Dialer};
pub use dkim::check_signatures;
pub use imap::{Fetched, IMAPS_PORT, ImapAccount, ImapConnector, ImapError, ImapLogin, ImapSession, ImapTimeouts, Uid};
pub use list_fetch::{FetchedList, ListError, ListFetcher, ListLogin, MAX_LIST, Validators};
pub use own_server::{OwnAnswer, ask_own_server};
pub use policy_fetch::{Endpoint, FetchOptions, FetchTimeouts, HTTPS_PORT, MAX_BODY, PolicyFetcher};
pub use roots::{RootChoice, RootsError, load_roots};
pub use starttls::{SMTP_PORT, SmtpOptions, SmtpProber, SmtpTimeouts, host_name};
pub use tls_client::{TlsClient, TlsSetupError};
pub use tls_server::{ServedTls, ServerCertificate, ServerCertificateError};
pub use web_tls::{TlsPart, WebTlsError, web_tls};
