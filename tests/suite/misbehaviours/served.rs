//! From the peer to what a scrape shows.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use smtptls_exporter::{
    metrics::families,
    protocol::tls_rpt::{Quirk, RefusalReason},
    terms::Timestamp,
    verdict::{Code, Outcome, Severity, State},
};
use tokio::time::sleep;

use super::{checked::by_name, scrape::Scrape};
use crate::{
    serve::{PATIENCE, Served},
    world::{
        dns::Behaviour,
        https::Answer,
        mail_world::{MailWorld, policy_text},
        pki::Leaf,
        smtp::{Act, SmtpScript},
    },
};

/// A configuration that looks every two seconds.
fn often(world: &MailWorld, domains: &str) -> PathBuf {
    let often = "timeout: 2s\n  interval: 2s\n  mx_interval: 2s\n  retry_interval: 1s\n  policy_retry_interval: 1s";
    let path = world.file("often.yml");
    let text = world.config_text(&format!("domains: [{domains}]\n")).replace("timeout: 20s", often);
    std::fs::write(&path, text).unwrap();
    path
}

async fn scrape(served: &Served) -> Scrape {
    let (status, text) = served.get("/metrics").await;
    assert_eq!(status, 200, "{text}");
    Scrape::read(&text)
}

/// The first scrape from now on in which this is so.
async fn until(served: &Served, what: &str, so: impl Fn(&Scrape) -> bool) -> Scrape {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = scrape(served).await;
        if so(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "never: {what}: {seen:#?}");
        sleep(Duration::from_millis(50)).await;
    }
}

fn is(scrape: &Scrape, series: &str, value: f64) -> bool {
    scrape.value(series).is_some_and(|seen| (seen - value).abs() < f64::EPSILON)
}

fn protected(domain: &str) -> String {
    format!("smtptls_domain_delivery{{domain=\"{domain}\",state=\"protected\"}}")
}

/// Everything that is said of a domain and of its mail host, by the names of the series.
fn said_of(scrape: &Scrape, domain: &str) -> BTreeSet<String> {
    scrape.about(domain).into_iter().chain(scrape.about(&format!("mx.{domain}"))).collect()
}

#[tokio::test]
async fn a_domain_with_servfail_leaves_the_scrape_whole() {
    let world = MailWorld::start().await;
    let _domains = [world.domain("one.example").await, world.domain("two.example").await];
    world.dns.behave("broken.example", Behaviour::ServFail);
    world.dns.behave("_mta-sts.broken.example", Behaviour::ServFail);
    let good = ["one.example", "two.example"];
    let all_good = |seen: &Scrape| good.iter().all(|domain| is(seen, &protected(domain), 1.0));

    let alone = Served::start(&world.config_file("domains: [one.example, two.example]\n")).await;
    let alone = until(&alone, "both are protected", all_good).await;
    let together = Served::start(&world.config_file("domains: [one.example, broken.example, two.example]\n")).await;
    let broken = "smtptls_finding{domain=\"broken.example\",code=\"dns-lookup-failed\",severity=\"warning\"}";
    let seen = until(&together, "all are judged", |seen| all_good(seen) && is(seen, broken, 1.0)).await;
    for domain in good {
        let expected = said_of(&alone, domain);
        assert!(expected.len() > 40, "{expected:?}");
        assert_eq!(said_of(&seen, domain), expected, "of {domain} nothing is missing");
    }
    assert!(is(&seen, "smtptls_mx_lookup_success{domain=\"broken.example\"}", 0.0));
    assert_eq!(seen.value("smtptls_mx_records{domain=\"broken.example\"}"), None);
}

#[tokio::test]
async fn an_expired_certificate_still_has_its_date() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let address = domain.smtp.ip();
    let end = smtptls_exporter::net::now() - Duration::from_secs(3 * 86_400);
    let begin = end - Duration::from_secs(90 * 86_400);
    let seconds = |at: Timestamp| f64::from(u32::try_from(at.since(Timestamp::default()).as_secs()).unwrap());
    for leaf in [Leaf::named(&["mx.example.com"]), Leaf::named(&["mx.example.com"]).self_signed()] {
        domain.smtp.set_script(SmtpScript::good(&world.pki.issue(&leaf.clone().valid(begin, end))));
        let web = world.pki.issue(&Leaf::named(&["mta-sts.example.com"]).valid(begin, end));
        domain.https.serve("mta-sts.example.com", &web, Answer::policy(&policy_text(&["mx.example.com"])));
        let served = Served::start(&world.config_file("domains: [example.com]\n")).await;
        let of_mx = |name: &str| format!("smtptls_mx_{name}{{mx=\"mx.example.com\",address=\"{address}\"}}");
        let seen = until(&served, "the host is judged", |seen| {
            is(seen, &of_mx("certificate_verified"), 0.0)
                && seen.value("smtptls_sts_policy_fetch_success{domain=\"example.com\"}").is_some()
        })
        .await;
        assert_eq!(seen.value(&of_mx("certificate_not_after_timestamp_seconds")), Some(seconds(end)), "{leaf:?}");
        assert_eq!(seen.value(&of_mx("certificate_not_before_timestamp_seconds")), Some(seconds(begin)));
        assert!(is(&seen, &of_mx("starttls_success"), 1.0), "TLS works, whatever the certificate");
        let of_policy = "smtptls_sts_policy_certificate_not_after_timestamp_seconds{domain=\"example.com\"}";
        assert_eq!(seen.value(of_policy), Some(seconds(end)));
        assert!(is(&seen, "smtptls_sts_policy_fetch_success{domain=\"example.com\"}", 0.0));
    }
}

#[tokio::test]
async fn what_one_name_gets_at_an_address_is_not_said_of_another() {
    let world = MailWorld::start().await;
    let address = world.address();
    let hosts = ["mx.one.example", "mx.two.example"];
    let stranger = world.pki.identity(&["default.provider.example"]);
    let expired = world.pki.issue(&Leaf::named(&[hosts[1]]).expired());
    let script = by_name(&[(hosts[0], world.pki.identity(&[hosts[0]])), (hosts[1], expired)], &stranger);
    let _shared = world.smtp(address, script).await;
    for (domain, host) in ["one.example", "two.example"].into_iter().zip(hosts) {
        world.mail_host(domain, host, address);
    }
    let served = Served::start(&world.config_file("domains: [one.example, two.example]\n")).await;
    let of = |name: &str, host: &str| format!("smtptls_mx_{name}{{mx=\"{host}\",address=\"{address}\"}}");
    until(&served, "each has its own certificate", |seen| {
        hosts.iter().zip([1.0, 0.0]).all(|(host, verified)| {
            is(seen, &of("certificate_verified", host), verified) && is(seen, &of("certificate_name_match", host), 1.0)
        })
    })
    .await;
}

#[tokio::test]
async fn a_timeout_keeps_the_value_and_shows_itself() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    world.dns.uncached();
    let served = Served::start(&often(&world, "example.com")).await;
    let records = ["sts", "tlsrpt"];
    let present = |kind: &str| format!("smtptls_{kind}_record_present{{domain=\"example.com\"}}");
    let answered = |kind: &str| format!("smtptls_{kind}_record_lookup_success{{domain=\"example.com\"}}");
    let well = |seen: &Scrape| is(seen, &protected("example.com"), 1.0);
    let seen = until(&served, "it is protected", well).await;
    assert!(records.iter().all(|kind| is(&seen, &present(kind), 1.0) && is(&seen, &answered(kind), 1.0)));
    world.dns.behave("_mta-sts.example.com", Behaviour::Silent);
    world.dns.behave("_smtp._tls.example.com", Behaviour::Silent);
    let seen =
        until(&served, "the lookups fail", |seen| records.iter().all(|kind| is(seen, &answered(kind), 0.0))).await;
    assert!(records.iter().all(|kind| is(&seen, &present(kind), 1.0)), "the last answer stands: {seen:#?}");
    assert!(is(&seen, &protected("example.com"), 1.0));
    assert!(is(&seen, "smtptls_sts_policy_mode{domain=\"example.com\",mode=\"enforce\"}", 1.0));
    // And there the record really is gone.
    world.dns.behave("_mta-sts.example.com", Behaviour::NxDomain);
    until(&served, "it is gone", |seen| is(seen, &present("sts"), 0.0) && is(seen, &answered("sts"), 1.0)).await;
}

#[tokio::test]
async fn a_hundred_black_holes_hold_up_no_scrape() {
    let world = MailWorld::start().await;
    let _good = world.domain("good.example").await;
    let names: Vec<String> = (0..100).map(|number| format!("hole{number}.example")).collect();
    for name in &names {
        world.dns.behave(name, Behaviour::Silent);
        world.dns.behave(&format!("_mta-sts.{name}"), Behaviour::Silent);
    }
    let config = world.file("holes.yml");
    let text = world.config_text(&format!("domains: [{}, good.example]\n", names.join(", ")));
    // A scrape that waited for one single lookup would take as long as this.
    let lookup = Duration::from_secs(15);
    std::fs::write(&config, text.replace("dnssec: off, timeout: 1s", "dnssec: off, timeout: 15s")).unwrap();
    let served = Served::start(&config).await;
    until(&served, "the good one is judged, although the others were there first", |seen| {
        is(seen, &protected("good.example"), 1.0)
    })
    .await;
    for _ in 0..5 {
        let asked = Instant::now();
        let seen = scrape(&served).await;
        assert!(asked.elapsed() < lookup / 5, "{:?}", asked.elapsed());
        assert_eq!(seen.families["smtptls_domain_info"].samples.len(), 101);
    }
}

#[tokio::test]
async fn a_scrape_of_odd_peers_is_well_formed() {
    let world = MailWorld::start().await;
    let odd = world.domain("odd.example").await;
    let text = "\"quoted\\ {a=\"b\"} 1\u{1b}[2J";
    let identity = world.pki.identity(&["mx.odd.example"]);
    let banner = Act::Say(format!("220 {text}\r\n").into_bytes());
    odd.smtp.set_script(SmtpScript { banner, ..SmtpScript::good(&identity) });
    world.dns.mx("odd.example", &[(10, "mx.odd.example"), (20, "\"\\\n} 1.x"), (30, "$(id).x")]);
    world.dns.txt("_smtp._tls.odd.example", &[&format!("v=TLSRPTv1; rua=mailto:a@odd.example; {text}")]);
    world.dns.behave("dark.example", Behaviour::ServFail);
    let config = world.config_file("domains: [{domain: odd.example, group: \"a \\\"b\\\" \\\\\"}, dark.example]\n");
    let served = Served::start(&config).await;
    let invalid = "smtptls_finding{domain=\"odd.example\",code=\"mx-invalid-target\",severity=\"error\"}";
    // Each scrape on the way is read as strictly.
    let seen = until(&served, "the odd one is judged", |seen| {
        seen.value(invalid).is_some() && seen.about("mx.odd.example").len() > 10
    })
    .await;
    assert!(is(&seen, "smtptls_task_panics_total", 0.0));
    let groups: Vec<_> =
        seen.families["smtptls_domain_info"].samples.iter().map(|sample| &sample.labels["group"]).collect();
    assert!(groups.contains(&&"a \"b\" \\".to_owned()), "{groups:?}");
    let foreign = |value: &String| value.contains("quoted") || value.contains("$(id)") || value.contains('}');
    for sample in seen.samples() {
        assert!(!sample.labels.values().any(foreign), "what a peer says is no label: {sample:?}");
    }
}

#[tokio::test]
async fn the_age_of_what_is_known_is_shown() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    world.dns.uncached();
    let served = Served::start(&often(&world, "example.com")).await;
    let address = domain.smtp.ip();
    let of_domain = |name: &str| format!("smtptls_{name}_timestamp_seconds{{domain=\"example.com\"}}");
    let of_mx =
        |name: &str| format!("smtptls_mx_{name}_timestamp_seconds{{mx=\"mx.example.com\",address=\"{address}\"}}");
    let began = served_at();
    until(&served, "it is protected", |seen| is(seen, &protected("example.com"), 1.0)).await;

    world.dns.behave("_mta-sts.example.com", Behaviour::Silent);
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    domain.smtp.set_script(SmtpScript { banner: Act::Close, ..good });
    domain.https.serve(
        "mta-sts.example.com",
        &world.pki.identity(&["mta-sts.example.com"]),
        Answer::status("500 Broken", &[], b""),
    );
    let pairs = [
        (of_domain("domain_last_success"), of_domain("domain_last_probe")),
        (of_mx("last_success"), of_mx("last_probe")),
        (of_domain("sts_policy_last_success"), of_domain("domain_last_probe")),
    ];
    let older = |seen: &Scrape, apart: f64| {
        pairs.iter().all(|(success, probe)| {
            seen.value(success).zip(seen.value(probe)).is_some_and(|(success, probe)| probe - success > apart)
        })
    };
    let first = until(&served, "the success falls behind", |seen| older(seen, 2.0)).await;
    let later = until(&served, "and stays where it is", |seen| older(seen, 5.0)).await;
    for (success, probe) in &pairs {
        assert_eq!(first.value(success), later.value(success), "{success}");
        assert!(later.value(probe) > first.value(probe), "{probe}");
        assert!(first.value(success).unwrap() >= began, "{success}");
    }
}

/// The present time in seconds, as a metric has it, less what clocks of files and processes differ by.
fn served_at() -> f64 {
    let now = smtptls_exporter::net::now().since(Timestamp::default());
    now.as_secs_f64() - 60.0
}

/// Labels that say what a sample is about: as many values as subjects are configured or found in DNS. A reporter is one that is
/// configured, or among the largest that prove who they are; a source is a pattern or a URL of the configuration.
const SUBJECTS: &[&str] = &["domain", "mx", "address", "group", "canary", "le", "reporter", "source", "slot"];

/// The words of a label that tells a state, a kind or a reason. They are the ones that docs/metrics.md and the standards have.
fn words(label: &str) -> Option<Vec<&'static str>> {
    Some(match label {
        "state" => State::ALL.map(State::as_str).to_vec(),
        "outcome" => Outcome::ALL.map(Outcome::as_str).to_vec(),
        "severity" => Severity::ALL.map(Severity::as_str).to_vec(),
        "code" => Code::ALL.iter().map(|code| code.as_str()).collect(),
        "sender" => vec!["opportunistic", "sts", "dane"],
        "check" => vec!["dns", "record", "policy", "mx", "starttls", "certificate", "dane", "tlsrpt"],
        "expectation" => vec!["mode", "min_max_age", "mx", "issuer", "mail", "dane"],
        "mode" => vec!["enforce", "testing", "none", "missing"],
        // What has to hold before a policy is enforced, reports among it.
        "condition" => vec![
            "record-valid",
            "policy-fetchable",
            "policy-stable",
            "mx-covered",
            "mx-starttls",
            "mx-certificates",
            "dane-consistent",
            "probes-complete",
            "tlsrpt-record",
            "testing-long-enough",
            "reports-clean",
            "reports-seen",
            "max-age-suitable",
        ],
        "scheme" => vec!["mailto", "https"],
        "family" => vec!["ip4", "ip6"],
        "record" => vec!["mx", "sts", "tlsrpt", "address", "tlsa"],
        // What is probed; what scrapes keep in common.
        "kind" => vec!["domain", "mx", "mx-address", "canary", "survey", "gzip", "samples"],
        "type" => vec!["A", "AAAA", "MX", "TXT", "TLSA", "DNSKEY", "DS", "SOA", "CNAME", "NS", "other"],
        "phase" => {
            vec!["resolve", "connect", "tls", "processing", "transfer", "banner", "ehlo", "starttls"]
        }
        // RFC 8460 §4.3, and the words for what it has none for.
        "result_type" => vec![
            "starttls-not-supported",
            "certificate-host-mismatch",
            "certificate-expired",
            "certificate-not-trusted",
            "validation-failure",
            "tlsa-invalid",
            "dnssec-invalid",
            "dane-required",
            "sts-policy-fetch-error",
            "sts-policy-invalid",
            "sts-webpki-invalid",
            "connect-refused",
            "timeout",
            "smtp-error",
            "dns-error",
            "other",
        ],
        "reason" => {
            let lookup =
                ["bogus", "cname-chain", "malformed", "rcode", "refused", "servfail", "timeout", "unreachable"];
            // What a scrape leaves out.
            let dropped = ["max-series", "unreadable"];
            // Why the web server ended a connection.
            let ended = ["peer-limit", "limit", "displaced", "slow"];
            lookup
                .into_iter()
                .chain(dropped)
                .chain(ended)
                .chain(RefusalReason::ALL.map(RefusalReason::as_str))
                .collect()
        }
        "policy_type" => vec!["sts", "tlsa", "no-policy-found", "other"],
        "transport" => vec!["https", "mail", "file"],
        "quirk" => Quirk::ALL.iter().map(|quirk| quirk.as_str()).collect(),
        _ => return None,
    })
}

/// What changes at a peer (a digest, an id, a cipher, a text) is the value of a sample, or stands on a series of the constant 1 that
/// is there for it; every other label is the subject, or a word of a closed list.
#[tokio::test]
async fn no_label_follows_what_a_peer_says() {
    for family in families().filter(|family| !family.name.ends_with("_info")) {
        for label in family.labels {
            assert!(SUBJECTS.contains(label) || words(label).is_some(), "{}: {label} is open", family.name);
        }
    }
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let _other = world.domain("other.example").await;
    world.dns.uncached();
    let served = Served::start(&often(&world, "example.com, other.example")).await;
    let before = until(&served, "both are protected", |seen| {
        is(seen, &protected("example.com"), 1.0) && is(seen, &protected("other.example"), 1.0)
    })
    .await;
    // When something changed is not known until it did: those series come with the first change, one for each subject.
    let constant = |series: &String| series.contains("_info{") || series.contains("_change_timestamp_seconds{");
    let series = |seen: &Scrape| -> BTreeSet<String> {
        seen.samples().map(|sample| sample.series.clone()).filter(|series| !constant(series)).collect()
    };
    // Another certificate, id, length and banner: all in order, and other than before.
    let renewed = world.pki.issue(&Leaf::named(&["mx.example.com"]).signed_by_root());
    let good = SmtpScript::good(&renewed);
    domain.smtp.set_script(SmtpScript { banner: Act::say("220 mx2 another day\r\n"), ..good });
    let host = "mta-sts.example.com";
    let policy = policy_text(&["mx.example.com"]).replace("604800", "1209600");
    domain.https.serve(host, &world.pki.identity(&[host]), Answer::policy(&policy));
    world.dns.txt("_mta-sts.example.com", &["v=STSv1; id=20261124;"]);
    // A look in between may find the one without the other, and say so for a moment.
    let after = until(&served, "the new policy is in force, and no series came or went", |seen| {
        is(seen, "smtptls_sts_policy_max_age_seconds{domain=\"example.com\"}", 1_209_600.0)
            && seen.value("smtptls_sts_record_info{domain=\"example.com\",id=\"20261124\"}").is_some()
            && series(seen) == series(&before)
    })
    .await;

    domain.smtp.set_script(SmtpScript::good(&world.pki.issue(&Leaf::named(&["x.example"]).expired())));
    let bad = until(&served, "the host fails", |seen| {
        is(seen, "smtptls_mx_finding{mx=\"mx.example.com\",code=\"certificate-expired\"}", 1.0)
    })
    .await;
    for seen in [before, after, bad] {
        for (name, family) in seen.families.iter().filter(|(name, _)| !name.ends_with("_info")) {
            for (label, value) in family.samples.iter().flat_map(|sample| &sample.labels) {
                if let Some(words) = words(label) {
                    assert!(words.contains(&value.as_str()), "{name}: {label}={value} is in no list");
                }
            }
        }
    }
}
