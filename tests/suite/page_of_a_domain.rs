//! The page of one domain as the running program serves it.

use std::time::{Duration, Instant};

use smtptls_exporter::monitor::REST;
use tempfile::TempDir;

use super::{
    serve::{PATIENCE, Served},
    world::{
        mail_world::MailWorld,
        pki::Leaf,
        smtp::{Act, SmtpScript},
    },
};

/// What a peer would send to get into the page of who watches it.
const EVIL: &str = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>\"'&";
/// The same as the page shows it, without the part that a protocol may cut off.
const SHOWN: &str = "&lt;script&gt;alert(1)&lt;/script&gt;";

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (known, value) = line.split_once(": ")?;
        known.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[tokio::test]
async fn a_domain_has_a_page() {
    let world = MailWorld::start().await;
    let good = world.domain("good.example").await;
    let config = world.config_file("domains: [{domain: good.example, group: ours}]\n");
    let served = Served::start(&config).await;
    served.until(&["smtptls_domain_delivery{domain=\"good.example\",state=\"protected\"} 1"]).await;

    let (head, body) = served.exchange("GET", "/domains/good.example").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(header(&head, "content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(header(&head, "x-content-type-options"), Some("nosniff"));
    let policy = header(&head, "content-security-policy").unwrap();
    for directive in ["default-src 'none'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'"] {
        assert!(policy.split("; ").any(|known| known == directive), "{policy}");
    }
    let address = good.smtp.ip().to_string();
    for part in ["<h1>good.example</h1>", "protected", "mx.good.example", &address, "v=STSv1; id=1;", "60 days left"] {
        // Some hours of the sixty days may have gone.
        let found = body.contains(part) || (part == "60 days left" && body.contains("59 days left"));
        assert!(found, "{part}: {body}");
    }
    // The state folder is there, and nothing changed since.
    assert!(body.contains("Nothing changed since"), "{body}");
    assert!(body.contains("STARTTLS"), "the transcript is there");

    let (as_head, nothing) = served.exchange("HEAD", "/domains/good.example").await;
    assert!(as_head.starts_with("HTTP/1.1 200 ") && nothing.is_empty(), "{as_head}");
    assert!(header(&as_head, "content-length").unwrap().parse::<usize>().unwrap() > 5000, "{as_head}");
    let (upper, _) = served.exchange("GET", "/domains/GOOD.example").await;
    assert!(upper.starts_with("HTTP/1.1 200 "), "names have no case: {upper}");
}

#[tokio::test]
async fn probe_now_shows_what_was_mended() {
    let world = MailWorld::start().await;
    let good = world.domain("good.example").await;
    let script = SmtpScript::good(&world.pki.identity(&["mx.good.example"]));
    let without = Act::say("250 mx.good.example\r\n");
    good.smtp.set_script(SmtpScript { ehlo: without, ..script.clone() });
    let served = Served::start(&world.config_file("domains: [good.example]\n")).await;
    served.until(&["smtptls_domain_delivery{domain=\"good.example\",state=\"blocked\"} 1"]).await;
    let (_, body) = served.exchange("GET", "/domains/good.example").await;
    assert!(body.contains("<title>good.example: refused") && body.contains("starttls-not-offered"), "{body}");
    let action = body.split("method=\"post\" action=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(!body.contains("disabled"), "{body}");

    good.smtp.set_script(script);
    // What was looked at a moment ago is not looked at again.
    tokio::time::sleep(REST + Duration::from_millis(200)).await;
    let (head, _) = served.exchange("POST", action).await;
    assert!(head.starts_with("HTTP/1.1 303 "), "{head}");
    let location = header(&head, "location").unwrap();
    let (_, body) = served.exchange("GET", location).await;
    assert!(body.contains("<title>good.example: protected"), "{body}");
    // The way back is among the changes, as soon as it is stored.
    let end = Instant::now() + PATIENCE;
    loop {
        let (_, body) = served.exchange("GET", location).await;
        let changes = body.split("id=\"changes\"").nth(1).unwrap().split("</section>").next().unwrap();
        if changes.contains("refused") && changes.contains("protected") {
            return;
        }
        assert!(Instant::now() < end, "never: {changes}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_is_not_there_gets_a_page_too() {
    let world = MailWorld::start().await;
    let _good = world.domain("good.example").await;
    let served = Served::start(&world.config_file("domains: [good.example]\n")).await;
    served.until(&["smtptls_domain_delivery{domain=\"good.example\",state=\"protected\"} 1"]).await;
    let (head, body) = served.exchange("GET", "/domains/god.example").await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert!(header(&head, "content-security-policy").is_some());
    assert!(body.contains("Did you mean <a href=\"/domains/good.example\">"), "{body}");
    let (head, body) = served.exchange("GET", "/domains/mx.good.example").await;
    assert!(head.starts_with("HTTP/1.1 404 ") && body.contains("href=\"/hosts/mx.good.example\""), "{body}");
    let (head, body) = served.exchange("GET", "/domains/%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert!(!body.contains("<script") && body.contains(SHOWN), "{body}");
    let (head, _) = served.exchange("DELETE", "/domains/good.example").await;
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
}

#[tokio::test]
async fn what_peers_send_stays_text() {
    let world = MailWorld::start().await;
    let domain = world.domain("hostile.example").await;
    let identity = world.pki.issue(&Leaf::named(&["mx.hostile.example", EVIL]));
    domain.smtp.set_script(SmtpScript {
        banner: Act::say(&format!("220 mx.hostile.example {EVIL}\r\n")),
        ehlo: Act::say(&format!("250-mx.hostile.example {EVIL}\r\n250-{EVIL}\r\n250 STARTTLS\r\n")),
        ..SmtpScript::good(&identity)
    });
    world.dns.txt("_mta-sts.hostile.example", &["v=STSv1; id=1;", EVIL]);
    world.dns.txt(
        "_smtp._tls.hostile.example",
        &[&format!("v=TLSRPTv1; rua=mailto:a@reports.test,https://a.example/{EVIL}")],
    );
    let state = TempDir::new().unwrap();
    let config = world.config_file("domains: [hostile.example]\n");
    let served = Served::start_in(&config, state.path(), &[]).await;
    let address = domain.smtp.ip();
    let probed = format!("smtptls_mx_starttls_success{{mx=\"mx.hostile.example\",address=\"{address}\"}} 1");
    served.until(&[&probed]).await;
    let (_, body) = served.exchange("GET", "/domains/hostile.example").await;
    // Record, certificate, banner and EHLO at least.
    assert!(body.matches(SHOWN).count() >= 4, "{body}");
    for tag in ["<script", "<img", "onerror=alert(2)>\"'"] {
        assert!(!body.contains(tag), "{tag}: {body}");
    }
}
