//! How much one request, one report and one hostile domain can have this program do to others. SECURITY.md has the table.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use hickory_resolver::proto::rr::RecordType;
use smtptls_exporter::config::Settings;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    check::check_one,
    reports::made::REPORT,
    serve::{PATIENCE, Served},
    world::{
        dns::Behaviour,
        https::{AtAccept, HttpsPeer},
        mail_world::MailWorld,
        smtp::{Act, SmtpPeer, SmtpScript, TlsAct},
    },
};

const DOMAIN: &str = "hostile.example";
/// What the domain has, and what of it is looked at.
const HOSTS: usize = 100;
const ADDRESSES: usize = 60;
const DESTINATIONS: usize = 30;
/// `probe.max_mx`, `probe.max_addresses`.
const HOSTS_MOST: usize = 20;
const ADDRESSES_MOST: usize = 20;
/// `SmtpProber::probe`: the dialogue, and a connection that asks what is offered to others.
const CONNECTIONS_OF_A_LOOK: usize = 2;
/// `SmtpProber::survey`: no SNI, an unknown name, the TLSA base domain, TLS 1.1 and TLS 1.0.
const CONNECTIONS_OF_A_SURVEY: usize = 5;
/// Destinations of reports that are looked at, and addresses of each.
const DESTINATIONS_MOST: usize = 8;
const ADDRESSES_OF_A_DESTINATION: usize = 4;

/// A domain that names as much as it can, all of it one machine that answers and breaks off.
struct Hostile {
    world: MailWorld,
    mail: SmtpPeer,
    https: HttpsPeer,
}

impl Hostile {
    async fn start() -> Self {
        let world = MailWorld::start().await;
        let first = world.address().octets();
        let addresses = |group: usize| -> Vec<String> {
            let place =
                |host: usize| Ipv4Addr::new(127, first[1], 100 + (group % 100) as u8, 1 + host as u8).to_string();
            (0..ADDRESSES).map(place).collect()
        };
        let set = |name: &str, group: usize| {
            let all = addresses(group);
            world.dns.a(name, &all.iter().map(String::as_str).collect::<Vec<_>>());
        };
        let hosts: Vec<String> = (0..HOSTS).map(|number| format!("mx{number}.{DOMAIN}")).collect();
        world.dns.mx(DOMAIN, &hosts.iter().map(|host| (10, host.as_str())).collect::<Vec<_>>());
        hosts.iter().enumerate().for_each(|(group, host)| set(host, group));
        world.dns.txt(&format!("_mta-sts.{DOMAIN}"), &["v=STSv1; id=1;"]);
        set(&format!("mta-sts.{DOMAIN}"), 0);
        let destinations: Vec<String> =
            (0..DESTINATIONS).map(|number| format!("https://r{number}.{DOMAIN}/x")).collect();
        let record = format!("v=TLSRPTv1; rua={}", destinations.join(","));
        let parts: Vec<&[u8]> = record.as_bytes().chunks(255).collect();
        world.dns.txt_strings(&format!("_smtp._tls.{DOMAIN}"), &parts);
        (0..DESTINATIONS).for_each(|number| set(&format!("r{number}.{DOMAIN}"), number));
        let good = SmtpScript::good(&world.pki.identity(&["unused.example"]));
        let mail = world.smtp(Ipv4Addr::UNSPECIFIED, SmtpScript { tls: TlsAct::Instead(Act::Close), ..good }).await;
        let https = world.https(Ipv4Addr::UNSPECIFIED).await;
        https.at_accept(AtAccept::Close);
        Self { world, mail, https }
    }

    fn settings(&self) -> Settings {
        let mut settings = self.world.settings(&[DOMAIN]);
        settings.probe.legacy_tls = true;
        settings
    }
}

/// One look at everything: what an interval costs others at the very most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_look_at_a_hostile_domain_is_bounded() {
    let hostile = Hostile::start().await;
    let began = Instant::now();
    check_one(&hostile.settings()).await;
    let (mail, https) = (hostile.mail.connections(), hostile.https.connections());
    let questions = hostile.world.dns.queries();
    eprintln!(
        "one look at a hostile domain: {mail} connections to mail hosts, {https} to others, {} questions; {:?}",
        questions.len(),
        began.elapsed()
    );
    let dialogues = HOSTS_MOST * ADDRESSES_MOST;
    assert!(mail >= dialogues, "the bound is reached: {mail}");
    let most = dialogues * (CONNECTIONS_OF_A_LOOK + CONNECTIONS_OF_A_SURVEY);
    assert!(mail <= most, "{mail} of {most}");
    let others = ADDRESSES_MOST + DESTINATIONS_MOST * ADDRESSES_OF_A_DESTINATION;
    assert!(https > ADDRESSES_MOST && https <= others, "{https} of {others}");
    let hosts = questions.iter().filter(|query| query.name.starts_with("mx") && query.kind == RecordType::A).count();
    let destinations =
        questions.iter().filter(|query| query.name.starts_with('r') && query.kind == RecordType::A).count();
    // Over UDP and, where the answer is cut, over TCP.
    assert!(hosts <= 2 * HOSTS_MOST && destinations <= 2 * DESTINATIONS_MOST, "{hosts} {destinations}");
    // A, AAAA and TLSA of each host; addresses of each destination and of the policy host; MX and TXT of the domain.
    let most = 2 * (3 * HOSTS_MOST + 2 * DESTINATIONS_MOST + 2 + 4) + 10;
    assert!(questions.len() <= most, "{} of {most}", questions.len());
}

/// A chain of aliases is followed for a few links, each a question at most.
#[tokio::test]
async fn a_chain_of_aliases_is_cut() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    world.dns.remove("_mta-sts.example.com");
    let link =
        |number: usize| if number == 0 { "_mta-sts.example.com".to_owned() } else { format!("a{number}.example.com") };
    for number in 0..100 {
        world.dns.cname(&link(number), &link(number + 1));
        world.dns.behave(&link(number), Behaviour::OnlyAlias);
    }
    check_one(&world.settings(&["example.com"])).await;
    let asked = |number: usize| world.dns.count(&link(number));
    let questions: usize = (0..100).map(asked).sum();
    assert!(questions <= 1 + 8, "{questions}");
    assert!(asked(0) >= 1);
}

async fn send(served: &Served, request: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n");
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Whoever posts a report, true or forged, has nobody asked anything: neither the DNS nor a server that it names.
#[tokio::test]
async fn a_posted_report_asks_nobody() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let long = "interval: 1h\n  mx_interval: 1h\n  timeout: 20s";
    let config = world.config_file("");
    let rest = "reports: {http: {path: /tlsrpt}}\ndomains: [example.com]\n";
    std::fs::write(&config, world.config_text(rest).replace("timeout: 20s", long)).unwrap();
    let served = Served::start(&config).await;
    served.until(&["smtptls_domain_delivery{domain=\"example.com\",state=\"protected\"} 1"]).await;
    let asked = || (world.dns.queries().len(), domain.smtp.connections(), domain.https.connections());
    let before = asked();
    for number in 0..50 {
        let report = REPORT.replace("r1", &format!("r{number}"));
        let status = send(&served, "POST /tlsrpt", &report).await;
        assert!([201, 503].contains(&status), "{status}");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(asked(), before);
}

/// A page of another site makes a browser ask; nothing is looked at, and nothing is loaded.
#[tokio::test]
async fn a_browser_that_was_led_here_causes_nothing() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let served = Served::start(&world.config_file("domains: [example.com]\n")).await;
    served.until(&["smtptls_domain_delivery{domain=\"example.com\",state=\"protected\"} 1"]).await;
    tokio::time::sleep(smtptls_exporter::monitor::REST).await;
    let before = domain.smtp.connections();
    let rebound = "Host: evil.example\r\nOrigin: http://evil.example";
    for (request, header) in [
        ("POST /-/reload", "Origin: http://evil.example"),
        ("POST /-/reload", "Sec-Fetch-Site: cross-site"),
        ("POST /-/reload", "Sec-Fetch-Site: same-site"),
        ("POST /-/reload", "Origin: null"),
        ("POST /-/reload", rebound),
        ("POST /domains/example.com/probe", "Origin: http://evil.example"),
        ("POST /domains/example.com/probe", rebound),
        ("POST /api/v1/domains/example.com/probe", "Sec-Fetch-Site: cross-site"),
        ("POST /api/v1/domains/example.com/probe", rebound),
        ("GET /probe?target=example.com", "Sec-Fetch-Site: cross-site"),
        ("GET /probe?target=example.com&debug=true", "Sec-Fetch-Site: cross-site"),
    ] {
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        let host = if header.starts_with("Host") { String::new() } else { format!("Host: {}\r\n", served.address()) };
        let request = format!("{request} HTTP/1.1\r\n{host}{header}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{request}{answer}");
        assert!(!answer.to_lowercase().contains("access-control-"), "{answer}");
    }
    assert_eq!(domain.smtp.connections(), before);
    let end = Instant::now() + PATIENCE;
    // The same without a browser: it would all have been done.
    while send(&served, "POST /api/v1/domains/example.com/probe", "").await != 200 {
        assert!(Instant::now() < end, "it is never looked at");
    }
    assert_eq!(domain.smtp.connections(), before + 1);
}
