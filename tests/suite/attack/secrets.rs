//! Secrets in every place that the configuration has for them, while everything fails that uses them: no face and no log has one.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tokio::{io::AsyncWriteExt, net::TcpListener, task::spawn_blocking, time::sleep};

use crate::{
    check,
    inventory::http::ListServer,
    serve::{PATIENCE, Served},
    world::{
        imap::{ImapPeer, base64},
        mail_world::MailWorld,
    },
};

/// Each of them names its place.
const SECRETS: [&str; 10] = [
    "canaryOfThePasswordFile",
    "canaryOfTheTokenFile",
    "canaryOfTheListCredentials",
    "canaryOfTheListPassword",
    "canaryOfTheUserInfo",
    "canaryOfTheQuery",
    "canaryOfTheDatabase",
    "canaryOfTheKey",
    "canaryOfTheEnvironment",
    "canaryOfAnUnknownKey",
];

/// The secrets as they are and in the forms in which they are sent.
fn forms() -> Vec<String> {
    let plain = SECRETS.map(str::to_owned);
    let logins = [("joe", SECRETS[3]), ("joe", SECRETS[4]), ("joe", SECRETS[6])];
    let basic = logins.map(|(user, secret)| base64(format!("{user}:{secret}").as_bytes()));
    let bearer = base64(format!("user=reports\u{1}auth=Bearer {}\u{1}\u{1}", SECRETS[1]).as_bytes());
    plain.into_iter().chain(basic).chain([bearer]).collect()
}

#[track_caller]
fn has_none(where_from: &str, text: &str) {
    for secret in forms() {
        assert!(!text.contains(&secret), "{where_from} tells {secret}: {text}");
    }
}

/// Files with secrets, and the servers that they are for.
struct Places {
    world: MailWorld,
    imap: ImapPeer,
    lists: ListServer,
}

impl Places {
    async fn start() -> Self {
        let world = MailWorld::start().await;
        for (name, secret) in [("password", 0), ("token", 1), ("credentials", 2), ("list-password", 3)] {
            std::fs::write(world.file(name), format!("{}\n", SECRETS[secret])).unwrap();
        }
        let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", SECRETS[7]);
        std::fs::write(world.file("key.pem"), key).unwrap();
        std::fs::write(world.file("chain.pem"), world.pki.root_pem()).unwrap();
        world.dns.a("imap.example", &["127.0.0.1"]);
        // It says in its refusals what it was sent.
        let imap = ImapPeer::start(&world.pki.identity(&["imap.example"])).await;
        let moved = format!(
            "HTTP/1.1 301 Moved\r\nLocation: https://joe:{}@elsewhere.example/?token={}\r\nContent-Length: 0\r\n\r\n",
            SECRETS[4], SECRETS[5]
        );
        let lists = ListServer::start(&moved).await;
        Self { world, imap, lists }
    }

    fn config(&self, database: Option<u16>) -> String {
        let file = |name: &str| self.world.file(name).display().to_string();
        let lists = self.lists.address;
        let state = database.map_or_else(String::new, |port| {
            format!("state: {{url: 'postgres://joe:{}@127.0.0.1:{port}/db?password={}'}}\n", SECRETS[6], SECRETS[5])
        });
        self.world.config_text(&format!(
            "{state}domains: [example.com]\n\
             http_sd:\n\
             - {{url: 'http://joe:{user_info}@{lists}/a?token={query}', refresh_interval: 1s}}\n\
             - {{url: 'http://{lists}/b?token={query}', credentials_file: {credentials}, refresh_interval: 1s}}\n\
             - {{url: 'http://{lists}/c', username: joe, password_file: {list_password}, refresh_interval: 1s}}\n\
             - {{url: 'http://joe:{user_info}@127.0.0.1:1/d?token={query}', refresh_interval: 1s}}\n\
             reports:\n  \
               http: {{listen: '127.0.0.1:0'}}\n  \
               imap:\n  \
               - {{server: imap.example, port: {imap}, user: reports, auth: password, password_file: {password}}}\n  \
               - {{server: imap.example, port: {imap}, user: reports, auth: xoauth2, token_file: {token}}}\n  \
               - {{server: imap.example, port: 1, user: reports, auth: password, password_file: {password}}}\n",
            user_info = SECRETS[4],
            query = SECRETS[5],
            credentials = file("credentials"),
            list_password = file("list-password"),
            imap = self.imap.port(),
            password = file("password"),
            token = file("token"),
        ))
    }

    fn write(&self, text: &str) -> PathBuf {
        let path = self.world.file("secrets.yml");
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// What can be read; of these `/probe` alone looks at something.
pub(crate) const PATHS: [&str; 20] = [
    "/metrics",
    "/",
    "/hosts",
    "/hosts/mx.example.com",
    "/certificates",
    "/failures",
    "/domains/example.com",
    "/api/v1/domains",
    "/api/v1/domains/example.com",
    "/api/v1/domains/example.com/changes",
    "/api/v1/domains/example.com/reports",
    "/api/v1/changes",
    "/api/v1/findings",
    "/api/v1/shards",
    "/api/v1/openapi.json",
    "/probe?target=example.com&debug=true",
    "/sd",
    "/config",
    "/-/ready",
    "/nothing",
];

#[tokio::test]
async fn no_face_and_no_log_has_a_secret() {
    let places = Places::start().await;
    let config = places.write(&places.config(None));
    let state = tempfile::TempDir::new().unwrap();
    let served = Served::start_in(&config, state.path(), &["--log.level", "debug"]).await;
    // Every list was asked for with its secret, and every mailbox refused one.
    let end = Instant::now() + PATIENCE;
    let (mut asked, mut log) = (String::new(), String::new());
    let has_all = |asked: &str| ["/a?", "/b?", "/c "].iter().all(|path| asked.contains(path));
    let logins = || places.imap.commands().iter().filter(|one| one.contains(SECRETS[0])).count();
    while !has_all(&asked) || logins() == 0 || !log.contains("the login was refused") {
        assert!(Instant::now() < end, "not all was tried: {asked} {} {log}", logins());
        asked += &places.lists.asked().concat();
        log += &served.logged().join("\n");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(asked.contains(SECRETS[2]) && asked.contains(SECRETS[5]), "the secrets are sent: {asked}");
    for answer in ["HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n<html>", "junk\r\n\r\n"] {
        places.lists.answer(answer);
        sleep(Duration::from_millis(1200)).await;
    }
    for path in PATHS {
        let (head, body) = served.exchange("GET", path).await;
        has_none(path, &format!("{head}\n{body}"));
    }
    // What cannot be loaded is told, and not what is secret in it.
    let good = places.config(None);
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| places.world.file(name).display().to_string());
    for broken in [
        good.replace("refresh_interval: 1s", "refresh_interval: soon"),
        good.replace("reports:\n", &format!("password: {}\nreports:\n", SECRETS[9])),
        good.replace("port: 1,", &format!("port: 1, client_secret: {},", SECRETS[9])),
        good.replace("http://joe", "ftp://joe"),
        good.replace("domains: [example.com]", &format!("domains: ['postgres://joe:{}@db/x']", SECRETS[6])),
        good.replace("domains: [example.com]", "domains: [example.com"),
        // Its key is none.
        good.replace("127.0.0.1:0'", &format!("127.0.0.1:0', tls: {{cert_file: {chain}, key_file: {key}}}")),
    ] {
        assert_ne!(broken, good);
        places.write(&broken);
        let (status, said) = served.request("POST", "/-/reload").await;
        assert_eq!(status, 500, "{said}");
        has_none("a refused reload", &said);
        for command in [&["config", "check"][..], &["config", "show"]] {
            let output = check::run(&[command, &["--config.file", config.to_str().unwrap()]].concat()).await;
            has_none("a command", &String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
        }
    }
    places.write(&good);
    log += &served.logged().join("\n");
    assert!(log.contains("elsewhere.example") && log.contains("the configuration was refused"), "{log}");
    has_none("the log", &log);
    for command in [&["config", "check"][..], &["config", "show"], &["check", "example.com"]] {
        let output = check::run(&[command, &["--config.file", config.to_str().unwrap()]].concat()).await;
        has_none("a command", &String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    }
}

/// What a program says until its time is over.
async fn words(config: &Path, state: &Path, format: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smtptls-exporter"));
    command.args(["serve", "--web.listen-address", "127.0.0.1:0", "--log.level", "debug", "--log.format", format]);
    command.arg("--config.file").arg(config).arg("--state.dir").arg(state).env("PGPASSWORD", SECRETS[8]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    sleep(Duration::from_secs(5)).await;
    // It may have ended by itself.
    let _ = child.kill();
    let output = spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn neither_has_the_log_of_a_database_that_refuses() {
    let places = Places::start().await;
    // Nobody, and a server that speaks something else.
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = other.local_addr().unwrap().port();
    let answering = tokio::spawn(async move {
        loop {
            let (mut stream, _) = other.accept().await.unwrap();
            // The client may be gone.
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    for port in [1, port] {
        let config = places.write(&places.config(Some(port)));
        let state = tempfile::TempDir::new().unwrap();
        for format in ["logfmt", "json"] {
            let said = words(&config, state.path(), format).await;
            assert!(said.contains("listening") && said.contains("127.0.0.1"), "{said}");
            has_none(format, &said);
        }
    }
    answering.abort();
}
