//! Every edge that dials keeps to the rule of private addresses, whatever the DNS says and however often it says something else.

use std::{
    collections::BTreeSet,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use smtptls_exporter::config::Settings;

use crate::{
    check::{check_one, problems},
    world::{
        https::{Answer, HttpsPeer},
        mail_world::{MailWorld, policy_text},
        smtp::{SmtpPeer, SmtpScript, TlsAct},
    },
};

const DOMAIN: &str = "example.com";

/// A domain that leads to loopback in every way that there is, and who is asked there.
struct Inside {
    world: MailWorld,
    mail: SmtpPeer,
    legacy: SmtpPeer,
    policy: HttpsPeer,
    reports: HttpsPeer,
}

impl Inside {
    async fn start() -> Self {
        let world = MailWorld::start().await;
        let [mail, old, policy, reports] = [(); 4].map(|()| world.address());
        let mapped = |address: Ipv4Addr| address.to_ipv6_mapped().to_string();
        world.dns.mx(DOMAIN, &[(10, "mx.example.com"), (20, "old.example.com"), (30, "alias.example.com")]);
        world.dns.a("mx.example.com", &[&mail.to_string()]);
        world.dns.aaaa("mx.example.com", &[&mapped(mail)]);
        world.dns.a("old.example.com", &[&old.to_string()]);
        world.dns.cname("alias.example.com", "mx.example.com");
        world.dns.txt("_mta-sts.example.com", &["v=STSv1; id=1;"]);
        world.dns.a("mta-sts.example.com", &[&policy.to_string()]);
        world.dns.aaaa("mta-sts.example.com", &[&mapped(policy)]);
        world.dns.a("reports.example.com", &[&reports.to_string()]);
        let rua = format!(
            "v=TLSRPTv1; rua=https://reports.example.com/in,https://{reports}/in,https://[{}]/in",
            mapped(reports)
        );
        world.dns.txt("_smtp._tls.example.com", &[&rua]);
        let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
        // A handshake that breaks off is followed by one as other senders begin it.
        let broken = SmtpScript { tls: TlsAct::Instead(crate::world::smtp::Act::Close), ..good.clone() };
        let peers = Self {
            mail: world.smtp(mail, good).await,
            legacy: world.smtp(old, broken).await,
            policy: world.https(policy).await,
            reports: world.https(reports).await,
            world,
        };
        let identity = peers.world.pki.identity(&["mta-sts.example.com"]);
        peers.policy.serve("mta-sts.example.com", &identity, Answer::policy(&policy_text(&["*.example.com"])));
        peers
    }

    fn settings(&self, allow_private_addresses: bool) -> Settings {
        let mut settings = self.world.settings(&[DOMAIN]);
        settings.probe.legacy_tls = true;
        settings.probe.allow_private_addresses = allow_private_addresses;
        settings
    }

    fn connections(&self) -> [usize; 4] {
        [self.mail.connections(), self.legacy.connections(), self.policy.connections(), self.reports.connections()]
    }
}

#[tokio::test]
async fn no_edge_dials_the_inside() {
    let inside = Inside::start().await;
    check_one(&inside.settings(false)).await;
    assert_eq!(inside.connections(), [0; 4]);
    // The same with leave: policy fetch, dialogue, survey, second hello and the look at endpoints would all have dialled.
    check_one(&inside.settings(true)).await;
    let [mail, legacy, policy, reports] = inside.connections();
    assert!(mail >= 5 && legacy >= 2 && policy >= 1 && reports >= 1, "{:?}", inside.connections());
}

/// A policy host that is public itself sends on to the inside.
#[tokio::test]
async fn no_redirect_is_followed() {
    let world = MailWorld::start().await;
    let domain = world.domain(DOMAIN).await;
    let victim = world.https(world.address()).await;
    for location in [format!("https://{}:{}/", victim.ip(), victim.port()), "http://169.254.169.254/".to_owned()] {
        let identity = world.pki.identity(&["mta-sts.example.com"]);
        domain.https.serve("mta-sts.example.com", &identity, Answer::redirect(&location));
        let before = domain.https.connections();
        check_one(&world.settings(&[DOMAIN])).await;
        assert_eq!((domain.https.connections() - before, victim.connections()), (1, 0), "{location}");
    }
}

/// Rebinding: a name that has one address when it is judged and another when it is dialled. There is one question, and what it was
/// answered is dialled.
#[tokio::test]
async fn what_was_looked_up_is_what_is_dialled() {
    let world = MailWorld::start().await;
    let domain = world.domain(DOMAIN).await;
    world.dns.uncached();
    let [first_mail, first_policy] = [(); 2].map(|()| world.address());
    let mail = world.good_smtp("mx.example.com", first_mail).await;
    let policy = world.https(first_policy).await;
    let identity = world.pki.identity(&["mta-sts.example.com"]);
    policy.serve("mta-sts.example.com", &identity, Answer::policy(&policy_text(&["mx.example.com"])));
    let by_turns = || {
        let rebound = [domain.smtp.ip().to_string(), domain.https.ip().to_string()];
        world.dns.a_by_turns("mx.example.com", &[&first_mail.to_string(), &rebound[0]]);
        world.dns.a_by_turns("mta-sts.example.com", &[&first_policy.to_string(), &rebound[1]]);
    };
    by_turns();
    check_one(&world.settings(&[DOMAIN])).await;
    assert_eq!((mail.connections(), policy.connections()), (1, 1), "the addresses of the first answers");
    assert_eq!((domain.smtp.connections(), domain.https.connections()), (0, 0), "nobody asked again");
    // And where the first answer would be refused, the second is of no use.
    by_turns();
    let mut settings = world.settings(&[DOMAIN]);
    settings.probe.allow_private_addresses = false;
    check_one(&settings).await;
    assert_eq!((mail.connections(), policy.connections()), (1, 1));
    assert_eq!((domain.smtp.connections(), domain.https.connections()), (0, 0));
}

/// In whatever dress the inside stands among other addresses; that a public one is dialled no test can show that stays on its machine.
#[tokio::test]
async fn each_address_of_a_name_is_judged_by_itself() {
    let world = MailWorld::start().await;
    let domain = world.domain(DOMAIN).await;
    world.dns.a("mx.example.com", &["192.0.2.25", &domain.smtp.ip().to_string()]);
    world.dns.aaaa("mx.example.com", &["ff0e::25", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "::ffff:127.0.0.1", "::1"]);
    let mut settings = world.settings(&[DOMAIN]);
    settings.probe.allow_private_addresses = false;
    let assessment = check_one(&settings).await;
    assert_eq!(domain.smtp.connections(), 0);
    let private = problems(&assessment);
    assert!(private.contains(&("mx-address-private", "mx.example.com".to_owned())), "{private:?}");
}

/// The sources with what stands outside of their tests.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, files),
                false => files.push(path),
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.retain(|path| path.extension().is_some_and(|ending| ending == "rs"));
    let is_test =
        |path: &PathBuf| path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests");
    let mut sources = Vec::new();
    for path in files.into_iter().filter(|path| !is_test(path)) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
        sources.push((path.strip_prefix(&root).unwrap().display().to_string(), code));
    }
    sources
}

fn files_with(words: &str) -> BTreeSet<String> {
    sources().into_iter().filter(|(_, code)| code.contains(words)).map(|(file, _)| file).collect()
}

/// Who adds another way out has to think of the rule, and to name it here.
#[test]
fn connections_are_opened_in_few_places() {
    let set = |files: &[&str]| files.iter().map(|file| (*file).to_owned()).collect::<BTreeSet<_>>();
    // The rule; the configured resolver; the own server, on loopback.
    let connecting = set(&["net/dial.rs", "net/own_server.rs", "net/resolver/exchange.rs"]);
    assert_eq!(files_with("TcpStream::connect"), connecting);
    for never in ["TcpSocket", "UnixStream", "reqwest", "to_socket_addrs"] {
        assert_eq!(files_with(never), set(&[]), "{never}");
    }
    // Names are dialled nowhere: only servers that the operator named are looked up by the system.
    assert_eq!(files_with("lookup_host"), set(&["net/list_fetch.rs"]));
    // Where the operator named the server: a list of domains, a mailbox, a canary.
    let allowed = "allow_private_addresses: true";
    let mut waived = files_with(allowed);
    waived.remove("demo/folder.rs");
    assert_eq!(waived, set(&["monitor/edges.rs", "net/imap.rs", "net/list_fetch.rs"]));
}
