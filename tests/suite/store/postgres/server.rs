//! A server of PostgreSQL for the tests alone: in a temporary folder, on a socket there, gone when the tests end.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

/// Where it is set, tests that need the server fail where there is none.
const REQUIRED: &str = "SMTPTLS_REQUIRE_POSTGRES";

/// How long a server may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the server and ends it with whoever holds the other end of its standard input: also with tests that are killed.
const SUPERVISOR: &str = r#""$0" "$@" </dev/null & server=$!; cat >/dev/null; kill -QUIT "$server"; wait "$server""#;

/// A server. It stands when this is dropped.
pub(crate) struct Server {
    programs: PathBuf,
    user: Option<(u32, u32)>,
    folder: TempDir,
    running: Option<Child>,
}

/// The server that all tests share which leave it alone; nothing where PostgreSQL is not installed.
pub(crate) fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(Server::begin).as_ref()
}

/// The folder of initdb: on Debian no path leads there.
fn programs() -> Option<PathBuf> {
    let debian =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = debian.chain(std::env::split_paths(&path)).map(|folder| folder.join("initdb"));
    // What lies in a path may be a link to where the others are.
    let real = programs.filter_map(|initdb| Some(initdb.canonicalize().ok()?.parent()?.to_owned()));
    let mut found: Vec<PathBuf> = real.collect();
    found.sort();
    found.pop()
}

/// The server refuses to run as root.
fn unprivileged() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(user("postgres").or_else(|| user("nobody")).expect("a user without rights"))
}

impl Server {
    /// A server of its own, for a test that stops it; nothing where PostgreSQL is not installed.
    pub(crate) fn begin() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(std::env::var_os(REQUIRED).is_none(), "{REQUIRED} is set, and there is no initdb");
            eprintln!("SKIPPED: there is no initdb, so nothing is known of PostgreSQL");
            return None;
        };
        let (user, folder) = (unprivileged(), TempDir::new().unwrap());
        if let Some((user, group)) = user {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let mut server = Self { programs, user, folder, running: None };
        let made = server
            .command(&server.programs.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=tester", "--encoding=UTF8", "--locale=C", "--pgdata"])
            .arg(server.data())
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success());
        server.start();
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command.current_dir(self.folder.path());
        command
    }

    /// Starts it, also again.
    pub(crate) fn start(&mut self) {
        let mut command = self.command(Path::new("/bin/sh"));
        command.args(["-c", SUPERVISOR]).arg(self.programs.join("postgres")).arg("-D").arg(self.data());
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "shared_buffers=64MB",
            "max_connections=300",
            "max_wal_size=2GB",
            "log_min_messages=fatal",
            "log_destination=stderr",
            "logging_collector=off",
        ] {
            command.args(["-c", setting]);
        }
        command.arg("-c").arg(format!("unix_socket_directories={}", self.folder.path().display()));
        self.running = Some(command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        let begun = Instant::now();
        while !self.answers() {
            assert!(begun.elapsed() < PATIENCE, "the server does not begin");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn answers(&self) -> bool {
        let ready =
            self.command(&self.programs.join("pg_isready")).arg("-q").arg("-h").arg(self.folder.path()).status();
        ready.unwrap().success()
    }

    /// Stops it at once, as a crash does.
    pub(crate) fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            drop(running.stdin.take());
            running.wait().unwrap();
        }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    fn url(&self) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://tester@{folder}/postgres")
    }

    /// The URL of a new schema.
    pub(crate) async fn schema(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("s{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        sqlx::query(&format!("CREATE SCHEMA {name}")).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        format!("{}?options[search_path]={name}", self.url())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
