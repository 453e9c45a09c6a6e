//! `serve` under a service manager: what it is told, the sockets it hands over, and the end.

use std::{
    io::Write as _,
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as UnixAddr, UnixDatagram},
    },
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    serve::{PATIENCE, Served},
    world::{
        dns::Behaviour,
        mail_world::MailWorld,
        smtp::{Act, SmtpScript},
    },
};

/// A service manager: keeps what it is told.
struct ServiceManager {
    socket: UnixDatagram,
    told: String,
}

impl ServiceManager {
    fn at(address: &UnixAddr) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Self { socket, told: String::new() }
    }

    /// All that it was told, once this is in it.
    async fn until(&mut self, wanted: &str) -> &str {
        let end = Instant::now() + PATIENCE;
        let mut buffer = [0; 4096];
        while !self.told.contains(wanted) {
            assert!(Instant::now() < end, "never told {wanted}: {}", self.told);
            match self.socket.recv(&mut buffer) {
                Ok(length) => self.told.push_str(std::str::from_utf8(&buffer[..length]).unwrap()),
                Err(_) => tokio::task::yield_now().await,
            }
        }
        &self.told
    }

    fn forget(&mut self) {
        self.told.clear();
    }
}

fn serve(config: &Path, state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smtptls-exporter"));
    command.arg("serve").args(arguments).arg("--config.file").arg(config).arg("--state.dir").arg(state);
    command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
    command
}

const ANYWHERE: [&str; 2] = ["--web.listen-address", "127.0.0.1:0"];

/// systemd.exec(5): a path, or @ and a name that is in no folder.
#[tokio::test(flavor = "multi_thread")]
async fn the_manager_is_told_of_the_start_reloads_the_watchdog_and_the_end() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    let path = world.file("notify");
    let name = format!("smtptls-exporter-test-{}", std::process::id());
    let places = [
        (path.display().to_string(), UnixAddr::from_pathname(&path).unwrap()),
        (format!("@{name}"), UnixAddr::from_abstract_name(&name).unwrap()),
    ];
    for (place, address) in places {
        let mut manager = ServiceManager::at(&address);
        let config = world.config_file("domains: [example.com]\n");
        let mut command = serve(&config, &world.file("state"), &ANYWHERE);
        command.env("NOTIFY_SOCKET", &place).env("WATCHDOG_USEC", "1000000");
        let mut served = Served::start_as(command).await;
        let told = manager.until("WATCHDOG=1\n").await;
        assert!(told.starts_with("READY=1\n"), "{told}");
        // What is told to be ready answers, with the domain in it.
        assert_eq!(served.get("/-/healthy").await.0, 200);
        assert!(served.get("/metrics").await.1.contains("smtptls_domain_info{domain=\"example.com\""));
        assert!(manager.until("STATUS=").await.contains("STATUS=1 domains, "), "{}", manager.told);

        for is_good in [true, false] {
            manager.forget();
            world.config_file(if is_good { "domains: [example.com]\n" } else { "domains: ['not a name']\n" });
            served.signal("HUP");
            let told = manager.until("READY=1\n").await;
            let reloading = told.split("RELOADING=1\nMONOTONIC_USEC=").nth(1).unwrap();
            assert!(reloading.lines().next().unwrap().parse::<u64>().unwrap() > 0, "{told}");
        }
        manager.until("STATUS=the configuration was refused").await;

        manager.forget();
        served.signal("TERM");
        let told = manager.until("STOPPING=1\n").await;
        assert!(!told.split_once("STOPPING=1").unwrap().1.contains("READY"), "{told}");
        assert_eq!(served.end().await.0.code(), Some(0));
    }
}

#[tokio::test]
async fn a_manager_that_is_not_there_stops_nothing() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    for place in ["/nowhere/notify", "notify", "@smtptls-exporter-test-nobody", ""] {
        let config = world.config_file("domains: [example.com]\n");
        let mut command = serve(&config, &world.file("state"), &ANYWHERE);
        command.env("NOTIFY_SOCKET", place).env("WATCHDOG_USEC", "soon");
        let mut served = Served::start_as(command).await;
        assert_eq!(served.get("/-/healthy").await.0, 200);
        served.signal("TERM");
        assert_eq!(served.end().await.0.code(), Some(0), "{place}");
    }
}

/// Hands over what stands at standard input, as systemd does: from descriptor 3 on.
fn handed_over(command: &Command, listener: impl Into<OwnedFd>, variables: &str) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("exec 3<&0 </dev/null; {variables} exec \"$0\" \"$@\"");
    shell.args(["-c", &script]).arg(command.get_program()).args(command.get_args());
    let listener: OwnedFd = listener.into();
    shell.stdin(Stdio::from(listener));
    shell
}

#[tokio::test]
async fn sockets_that_are_handed_over_are_served() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    let config = world.config_file("domains: [example.com]\n");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let command = serve(&config, &world.file("state"), &["--web.systemd-socket"]);
    let served = Served::start_as(handed_over(&command, listener, "LISTEN_FDS=1 LISTEN_PID=$$")).await;
    assert_eq!(served.address(), address);
    assert_eq!(served.get("/-/healthy").await.0, 200);
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_said_and_ends_with_2() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    let config = world.config_file("domains: [example.com]\n");
    let tcp = || OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let datagrams = OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    for (socket, variables, expected) in [
        (tcp(), "", "no socket was handed over"),
        (tcp(), "LISTEN_FDS=1 LISTEN_PID=1", "no socket was handed over"),
        (datagrams, "LISTEN_FDS=1 LISTEN_PID=$$", "socket 1 of 1 cannot be served"),
    ] {
        let command = serve(&config, &world.file("state"), &["--web.systemd-socket"]);
        let mut command = handed_over(&command, socket, variables);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = tokio::time::timeout(PATIENCE, output).await.unwrap().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected) && !said.contains("panicked"), "{said}");
    }
}

/// As much as can hang at a time: a name server that says nothing, mail hosts that do not greet, a client that does not read. The unit
/// gives it 30 seconds (`TimeoutStopSec`), and it takes 20 at the most.
#[tokio::test]
async fn the_end_is_bounded_whatever_hangs() {
    let world = MailWorld::start().await;
    let mut domains = Vec::new();
    for number in 0..40 {
        let name: &'static str = format!("hang{number}.example").leak();
        let domain = world.domain(name).await;
        let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
        domain.smtp.set_script(SmtpScript { banner: Act::Hang, ..good });
        domains.push((name, domain));
    }
    let names: Vec<String> = (0..300).map(|number| format!("silent{number}.example")).collect();
    for name in &names {
        world.dns.behave(name, Behaviour::Silent);
    }
    let all: Vec<&str> = domains.iter().map(|(name, _)| *name).chain(names.iter().map(String::as_str)).collect();
    let config = world.config_file(&format!("domains: [{}]\n", all.join(", ")));
    let mut served = Served::start_as(serve(&config, &world.file("state"), &ANYWHERE)).await;
    let end = Instant::now() + PATIENCE;
    while domains.iter().map(|(_, domain)| domain.smtp.connections()).sum::<usize>() < 8 {
        assert!(Instant::now() < end, "few are probed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut slow = std::net::TcpStream::connect(served.address()).unwrap();
    for _ in 0..20 {
        slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    served.signal("TERM");
    let (status, took) = served.end().await;
    assert_eq!(status.code(), Some(0), "{took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// A probe that hangs holds the end up for its grace; whoever says stop a second time does not wait for it.
#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    domain.smtp.set_script(SmtpScript { banner: Act::Hang, ..good });
    let config = world.config_file("domains: [example.com]\n");
    let mut served = Served::start_as(serve(&config, &world.file("state"), &ANYWHERE)).await;
    let end = Instant::now() + PATIENCE;
    while domain.smtp.connections() == 0 {
        assert!(Instant::now() < end, "never probed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    served.signal("TERM");
    served.until_said("stopping");
    served.signal("TERM");
    let (status, _) = served.end().await;
    assert_eq!(status.code(), Some(3), "the first one alone ends with 0");
    served.until_said("a second time");
}
