//! blackbox_exporter at the same work: `cargo bench --bench check -- blackbox`. Debian has it (prometheus-blackbox-exporter).

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use tempfile::TempDir;

use crate::{
    Cost,
    running::Running,
    town::{self, Town},
};

/// Names of the program: of Debian's package, and of its own makers.
const PROGRAMS: [&str; 2] = ["prometheus-blackbox-exporter", "blackbox_exporter"];
/// How many probes are asked for at a time, as Prometheus would.
const AT_ONCE: usize = 8;

/// The program, and the modules that ask what the monitor asks.
pub(crate) struct Blackbox {
    running: Running,
    town: Doors,
    _folder: TempDir,
}

struct Doors {
    dns: String,
    smtp_port: String,
    https_port: String,
}

impl Blackbox {
    pub(crate) fn start(town: &Town, domains: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the files");
        let config = write_modules(folder.path(), town, domains);
        let program = PROGRAMS.into_iter().find(|program| Command::new(program).arg("--version").output().is_ok());
        let mut command = Command::new(program.expect("apt-get install prometheus-blackbox-exporter"));
        command.arg("--config.file").arg(config).args(["--web.listen-address", "127.0.0.1:0"]);
        let running = Running::start(&mut command, "istening on");
        let town =
            Doors { dns: town.dns.clone(), smtp_port: town.smtp_port.clone(), https_port: town.https_port.clone() };
        Self { running, town, _folder: folder }
    }

    /// All probes of all domains, each of which must succeed.
    pub(crate) fn measure(&self, domains: usize) -> Cost {
        let (next, (user, system), began) = (AtomicUsize::new(0), self.running.used(), Instant::now());
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    loop {
                        match next.fetch_add(1, Ordering::Relaxed) {
                            number if number < domains => self.probe(number),
                            _ => break,
                        }
                    }
                });
            }
        });
        let (wall, (user_after, system_after)) = (began.elapsed(), self.running.used());
        Cost { user: user_after - user, system: system_after - system, wall, peak_kib: None }
    }

    /// Two TXT records, the MX records, the policy, the dialogue. The addresses are told, so it looks up fewer names than the
    /// monitor does.
    fn probe(&self, number: usize) {
        let Doors { dns, smtp_port, https_port } = &self.town;
        let policy_host = town::policy_host(number);
        let (policy_address, mail_address) = (town::policy_address(number), town::mail_address(number));
        let url = format!("https://{policy_address}:{https_port}/.well-known/mta-sts.txt");
        for query in [
            format!("module=sts-{number}&target={dns}"),
            format!("module=tlsrpt-{number}&target={dns}"),
            format!("module=mx-{number}&target={dns}"),
            format!("module=policy&target={url}&hostname={policy_host}"),
            format!("module=starttls-{number}&target={mail_address}:{smtp_port}"),
        ] {
            let metrics = self.running.get(&format!("/probe?{query}"));
            assert!(metrics.contains("\nprobe_success 1\n"), "{query}: {metrics}");
        }
    }
}

/// Modules of its own for each domain: they hold the question and the name of the mail host, not the request.
fn write_modules(folder: &Path, town: &Town, domains: usize) -> PathBuf {
    let (config, root) = (folder.join("blackbox.yml"), folder.join("root.pem"));
    fs::write(&root, &town.root_pem).expect("the root is written");
    let root = root.display();
    let mut text = format!(
        r#"modules:
  policy:
    prober: http
    http:
      valid_status_codes: [200]
      fail_if_body_not_matches_regexp: ["mode: enforce"]
      tls_config: {{ca_file: {root}}}
"#
    );
    for number in 0..domains {
        let (domain, mail_host) = (town::domain(number), town::mail_host(number));
        let dialogue = format!(
            r#"  starttls-{number}:
    prober: tcp
    tcp:
      tls_config: {{ca_file: {root}, server_name: {mail_host}}}
      query_response:
        - expect: "^220 "
        - send: "EHLO bench.example\r"
        - expect: "^250[- ]STARTTLS"
        - expect: "^250 "
        - send: "STARTTLS\r"
        - expect: "^220 "
        - starttls: true
        - send: "EHLO bench.example\r"
        - expect: "^250 "
        - send: "QUIT\r"
        - expect: "^221"
"#
        );
        text += &dialogue;
        for (module, name, kind) in [
            ("sts", format!("_mta-sts.{domain}"), "TXT"),
            ("tlsrpt", format!("_smtp._tls.{domain}"), "TXT"),
            ("mx", domain.clone(), "MX"),
        ] {
            let dns = format!("dns: {{query_name: {name}, query_type: {kind}, valid_rcodes: [NOERROR]}}");
            writeln!(text, "  {module}-{number}: {{prober: dns, {dns}}}").expect("a String takes all");
        }
    }
    fs::write(&config, text).expect("the modules are written");
    config
}
