//! Connections: few, shared, and none that is waited for without an end.

use std::{
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, error::Elapsed, timeout},
};

use super::failure::{Failure, told, unreadable};
use crate::store::StoreError;

/// How many connections an instance has at most, beside the one of its leases: one that writes, one that files reports, and two
/// readers. A server has 100 by default, for all.
pub(super) const CONNECTIONS: usize = 4;
/// How long to wait for a place among them, and how long for a new one to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// One that is used again answers within this time, or is taken for dead.
const ALIVE: Duration = Duration::from_secs(3);
/// One that nobody needs ends after this time.
const IDLE: Duration = Duration::from_secs(300);
/// None is used for longer, so that a server that was moved is found again behind its name.
const LIFETIME: Duration = Duration::from_secs(1800);

/// How many statements are kept prepared on a connection: more than there are here.
const STATEMENTS: usize = 100;

/// What is said of a server that takes a request and says nothing.
const SILENT: &str = "the server does not answer";

/// Begins a reading of one moment. The time is far above what a page of anything takes.
pub(super) const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL statement_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// Begins a reading of all of a large fleet: as long as [`super::LONG_PATIENCE`].
pub(super) const READ_ALL: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL statement_timeout = '900s'; SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// Begins a writing. Where this process is stopped in the middle, the server ends the transaction, and its locks are free for the others.
pub(super) const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = '30s'; \
     SET LOCAL lock_timeout = '15s'; SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// The parameters of a URL that have a meaning. Another one is an error: a mistyped `sslmode` must not go by unseen.
const PARAMETERS: [&str; 14] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
];
/// … and those that may bear a secret, or more of them.
const MORE_PARAMETERS: [&str; 3] = ["password", "application_name", "options"];

/// A server, as far as it is reached, and the connections to it.
///
/// The pool of the library waits for an answer where a connection comes back, for ever where the server is gone without a word, and its
/// place is lost with it. Here nothing waits without an end, and whoever stops waiting closes the connection.
#[derive(Debug)]
pub(super) struct Server {
    options: PgConnectOptions,
    /// Without user and password, for messages.
    address: PathBuf,
    places: Arc<Semaphore>,
    resting: Mutex<Vec<Resting>>,
}

/// A connection that nobody uses now.
#[derive(Debug)]
struct Resting {
    connection: PgConnection,
    made: Instant,
    since: Instant,
}

/// A connection in use. It is closed when this is dropped; [`Server::settle`] takes it back.
pub(super) struct Lent {
    connection: PgConnection,
    made: Instant,
    place: OwnedSemaphorePermit,
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// Reads a URL, and beside it what libpq reads: PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE, PGSSLROOTCERT, PGSSLCERT,
/// PGSSLKEY, PGOPTIONS, and for a password that neither tells PGPASSFILE or `~/.pgpass`.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let failed = |why: String| StoreError::Url { why };
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("postgres" | "postgresql")) {
        return Err(failed("it begins with postgres://".to_owned()));
    }
    let query = url.split_once('?').map_or("", |(_, query)| query);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let key = pair.split_once('=').map_or(pair, |(key, _)| key);
        let known = PARAMETERS.contains(&key) || MORE_PARAMETERS.contains(&key) || is_option(key);
        if !known {
            return Err(failed(format!("it has no parameter {key:?}")));
        }
    }
    // What is wrong is told without the text, which has the password in it.
    let options = PgConnectOptions::from_str(url).map_err(|error| match error {
        sqlx::Error::Configuration(why) => failed(why.to_string()),
        _ => failed("it cannot be read".to_owned()),
    })?;
    let options = match options.get_application_name() {
        Some(_) => options,
        None => options.application_name(env!("CARGO_PKG_NAME")),
    };
    Ok(options.statement_cache_capacity(STATEMENTS).disable_statement_logging())
}

/// `options[search_path]`, also with its brackets escaped.
fn is_option(key: &str) -> bool {
    let key = key.replace("%5B", "[").replace("%5b", "[").replace("%5D", "]").replace("%5d", "]");
    key.strip_prefix("options[").and_then(|rest| rest.strip_suffix(']')).is_some_and(|name| !name.is_empty())
}

/// Where a database is, without user and password.
fn address(options: &PgConnectOptions) -> PathBuf {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("postgres://{}/{database}", socket.display()),
        None => format!("postgres://{}:{}/{database}", options.get_host(), options.get_port()),
    }
    .into()
}

impl Server {
    /// Without a connection yet.
    pub(super) fn new(options: &PgConnectOptions, connections: usize) -> Self {
        Self {
            options: options.clone(),
            address: address(options),
            places: Arc::new(Semaphore::new(connections)),
            resting: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn address(&self) -> &Path {
        &self.address
    }

    /// A connection that answers.
    pub(super) async fn lend(&self) -> Result<Lent, StoreError> {
        let refused = |why: &str| StoreError::NotWritable { path: self.address.clone(), why: why.to_owned() };
        let place = match timeout(CONNECT, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(refused("it is closed")),
            Err(Elapsed { .. }) => return Err(refused("all connections are busy")),
        };
        while let Some(Resting { mut connection, made, .. }) = self.rested() {
            if matches!(timeout(ALIVE, connection.ping()).await, Ok(Ok(()))) {
                return Ok(Lent { connection, made, place });
            }
        }
        match timeout(CONNECT, self.options.connect()).await {
            Ok(Ok(connection)) => Ok(Lent { connection, made: Instant::now(), place }),
            Ok(Err(error)) => Err(told(&error, &self.address)),
            Err(Elapsed { .. }) => Err(refused(SILENT)),
        }
    }

    /// The connection that was used last, and is not too old.
    fn rested(&self) -> Option<Resting> {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|one| one.since.elapsed() < IDLE && one.made.elapsed() < LIFETIME);
        resting.pop()
    }

    /// What came of a work, as the store says it. Only a connection on which it went well to the end is used again: on any other there may
    /// still be a transaction, or an answer to come.
    pub(super) fn settle<T, E: Into<Failure>>(
        &self,
        lent: Lent,
        worked: Result<Result<T, E>, Elapsed>,
    ) -> Result<T, StoreError> {
        match worked {
            Ok(Ok(value)) => {
                let Lent { connection, made, place } = lent;
                let rests = Resting { connection, made, since: Instant::now() };
                self.resting.lock().unwrap_or_else(PoisonError::into_inner).push(rests);
                drop(place);
                Ok(value)
            }
            Ok(Err(failure)) => Err(failure.into().told(&self.address)),
            Err(Elapsed { .. }) => Err(StoreError::NotWritable { path: self.address.clone(), why: SILENT.to_owned() }),
        }
    }

    /// The same for a reading.
    pub(super) fn read<T, E: Into<Failure>>(
        &self,
        lent: Lent,
        worked: Result<Result<T, E>, Elapsed>,
    ) -> Result<T, StoreError> {
        self.settle(lent, worked).map_err(unreadable)
    }

    /// Nothing is lent any more; what is in use ends with its work.
    pub(super) async fn close(&self) {
        self.places.close();
        let resting = std::mem::take(&mut *self.resting.lock().unwrap_or_else(PoisonError::into_inner));
        for one in resting {
            // Whether the server hears the farewell is no matter.
            let _ = timeout(ALIVE, one.connection.close()).await;
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl Failure {
    fn told(self, address: &Path) -> StoreError {
        match self {
            Self::Database(error) => told(&error, address),
            Self::Other(why) => StoreError::Other { path: address.to_owned(), why },
            Self::Store(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        address(&options(url).unwrap()).display().to_string()
    }

    #[test]
    fn an_address_is_shown_without_user_and_password() {
        assert_eq!(shown("postgres://me:secret@db.example:5433/mail"), "postgres://db.example:5433/mail");
        assert_eq!(
            shown("postgresql://me@db.example/mail?sslmode=verify-full&password=secret"),
            "postgres://db.example:5432/mail"
        );
        assert_eq!(shown("postgres://me@%2Fvar%2Frun%2Fpostgresql/mail"), "postgres:///var/run/postgresql/mail");
        assert_eq!(
            shown("postgres://me@h/mail?options[search_path]=tls&options%5Bwork_mem%5D=8MB"),
            "postgres://h:5432/mail"
        );
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secret() {
        for (url, why) in [
            ("mysql://me:secret@h/mail", "postgres://"),
            ("secret", "postgres://"),
            ("postgres://me:secret@h/mail?sslmod=require", "sslmod"),
            ("postgres://me:secret@h/mail?sslmode=never", "never"),
            ("postgres://me:secret@h:port/mail", "port"),
            ("postgres://me:secret@h/mail?options[]=x", "options[]"),
        ] {
            let error = options(url).unwrap_err();
            assert!(!error.passes(), "{url}");
            let error = error.to_string();
            assert!(error.contains(why) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
