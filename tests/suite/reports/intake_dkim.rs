//! Report mails and their signatures (RFC 8460 §3), with real keys in a name server.

use std::time::Duration;

use smtptls_exporter::{
    facts::{Authentication, Transport},
    monitor::{RawReport, Receipt},
    net::now,
    protocol::tls_rpt::{Quirk, RefusalReason},
    store::Filed,
};

use super::{
    intake::{Bench, fresh, fresh_mail, raw, refused, taken},
    made::{HEADER, gzip, mail_under, part, with},
    signing::{Canonical, Signer, Signing, USUAL},
};
use crate::world::dns::Behaviour;

async fn bench(signers: &[&Signer]) -> Bench {
    let bench = Bench::start(|_| {}).await;
    for signer in signers {
        publish(&bench, signer, "");
    }
    bench
}

/// In strings of 255 octets at most, as the DNS has them.
fn publish(bench: &Bench, signer: &Signer, tags: &str) {
    let record = signer.record(tags);
    let strings: Vec<&[u8]> = record.as_bytes().chunks(255).collect();
    bench.dns.txt_strings(&signer.name(), &strings);
}

/// A mail of another report each time.
fn mail_of(id: &str) -> Vec<u8> {
    let report = fresh(&with(r#""r1""#, &format!("\"{id}\"")));
    super::made::mail(&[part("application/tlsrpt+gzip", &gzip(report.as_bytes()))])
}

#[tokio::test]
async fn a_good_signature_proves_the_reporter() {
    let (rsa, ed25519) = (Signer::rsa("sender.test"), Signer::ed25519("reports.mail.sender.test"));
    let bench = bench(&[&rsa, &ed25519]).await;
    let mut number = 0;
    for signer in [&rsa, &ed25519] {
        for header in [Canonical::Simple, Canonical::Relaxed] {
            for body in [Canonical::Simple, Canonical::Relaxed] {
                number += 1;
                let signing = Signing { canonical: (header, body), ..USUAL };
                let signed = signer.sign(&mail_of(&number.to_string()), signing);
                taken(&bench.submit(Transport::Mail, signed).await, &[Filed::New]);
            }
        }
    }
    let kept = bench.stored("example.com").await;
    assert_eq!(kept.len(), 8);
    for one in kept {
        let found =
            (one.provenance.authentication, one.provenance.reporter.as_str().to_owned(), one.provenance.transport);
        assert_eq!(found, (Authentication::Dkim, "sender.test".to_owned(), Transport::Mail));
    }
    assert_eq!(bench.sessions("example.com").await, 64);
    bench.monitor.stop().await;
}

/// REP-J44.
#[tokio::test]
async fn rep_j44_an_unsigned_mail_is_refused_and_kept_for_a_person() {
    let bench = bench(&[]).await;
    refused(&bench.submit(Transport::Mail, fresh_mail()).await, RefusalReason::Unauthenticated, "sender.test");
    assert_eq!(bench.sessions("example.com").await, 0);
    let [copy] = <[_; 1]>::try_from(bench.quarantined()).unwrap();
    assert_eq!(std::fs::read(copy).unwrap(), fresh_mail());
    bench.monitor.stop().await;
}

/// REP-J46 (REP-13): large senders sign with their ordinary key. A key for reports alone is good too.
#[tokio::test]
async fn rep_j46_the_key_need_not_be_one_for_reports() {
    let signer = Signer::rsa("google.com");
    let bench = bench(&[]).await;
    for (number, tags) in ["", "s=email; ", "s=*; ", "s=tlsrpt; ", "s=email:tlsrpt; "].into_iter().enumerate() {
        publish(&bench, &signer, tags);
        let report =
            fresh(&with("tls@sender.test", "smtp-tls-reporting@google.com")).replace("r1", &number.to_string());
        let mail = super::made::mail(&[part("application/tlsrpt+gzip", &gzip(report.as_bytes()))]);
        taken(&bench.submit(Transport::Mail, signer.sign(&mail, USUAL)).await, &[Filed::New]);
    }
    assert_eq!(bench.stored("example.com").await[0].provenance.reporter.as_str(), "google.com");
    bench.monitor.stop().await;
}

/// REP-J47.
#[tokio::test]
async fn rep_j47_a_stranger_s_signature_proves_nothing() {
    let (stranger, sender) = (Signer::rsa("other.test"), Signer::ed25519("sender.test"));
    let bench = bench(&[&stranger, &sender]).await;
    let signed = stranger.sign(&mail_of("1"), USUAL);
    refused(
        &bench.submit(Transport::Mail, signed.clone()).await,
        RefusalReason::Unauthenticated,
        "no DKIM signature for sender.test",
    );
    assert_eq!(bench.dns.count(&stranger.name()), 0, "nobody asks for a key that proves nothing");
    taken(&bench.submit(Transport::Mail, sender.sign(&signed, USUAL)).await, &[Filed::New]);
    bench.monitor.stop().await;
}

/// REP-J48.
#[tokio::test]
async fn rep_j48_the_report_wins_over_the_header() {
    let signer = Signer::rsa("b.test");
    let bench = bench(&[&signer]).await;
    let report = fresh(&with("tls@sender.test", "tls@b.test"));
    let header = HEADER.replace("Submitter: sender.test\r\nMIME", "Submitter: a.test\r\nMIME");
    let attached = [part("application/tlsrpt+gzip", &gzip(report.as_bytes()))];
    let mail = mail_under(&header, "multipart/report; report-type=tlsrpt", &attached);
    taken(&bench.submit(Transport::Mail, signer.sign(&mail, USUAL)).await, &[Filed::New]);
    let kept = bench.stored("example.com").await.remove(0);
    assert!(kept.report.quirks.contains(&Quirk::SubmitterMismatch), "{:?}", kept.report.quirks);
    assert_eq!(kept.provenance.reporter.as_str(), "b.test");
    bench.monitor.stop().await;
}

#[tokio::test]
async fn a_signature_that_does_not_hold_proves_nothing() {
    let signer = Signer::rsa("sender.test");
    let bench = bench(&[&signer]).await;
    let good = signer.sign(&fresh_mail(), USUAL);
    let changed = |from: &str, to: &str| {
        let text = String::from_utf8(good.clone()).unwrap();
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1).into_bytes()
    };
    let signed = |signing: Signing<'_>| signer.sign(&fresh_mail(), signing);
    let short = signed(Signing { length: Some(60), ..USUAL });
    let whole = signed(Signing { length: Some(1_000_000), ..USUAL });
    for (mail, why) in [
        (changed("This is an aggregate", "This is no aggregate"), "ody"),
        (changed("Subject: Report", "Subject: report"), "erif"),
        (signed(Signing { tags: "t=1600000000; x=1600000001; ", ..USUAL }), "xpired"),
        (short.clone(), "l="),
        (whole, "l="),
        (signed(Signing { fields: &["To", "Subject"], ..USUAL }), "From"),
        (changed("a=rsa-sha256", "a=rsa-sha1"), ""),
        (changed("s=r;", "s=x;"), "there is no key at x._domainkey.sender.test"),
    ] {
        refused(&bench.submit(Transport::Mail, mail).await, RefusalReason::Unauthenticated, why);
    }
    // What stands behind the signed part is anybody's.
    let appended = [&short[..], b"anything"].concat();
    refused(&bench.submit(Transport::Mail, appended).await, RefusalReason::Unauthenticated, "l=");
    // Of two signatures one is enough, in either order.
    let broken_first = changed(
        "DKIM-Signature:",
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=sender.test; s=r; h=From; bh=eA==; b=eA==\r\nDKIM-Signature:",
    );
    taken(&bench.submit(Transport::Mail, broken_first).await, &[Filed::New]);
    let broken_inside = Signer::ed25519("sender.test").sign(&good, USUAL);
    taken(&bench.submit(Transport::Mail, broken_inside).await, &[Filed::Duplicate]);
    bench.monitor.stop().await;
}

#[tokio::test]
async fn a_key_that_was_revoked_or_makes_no_sense_is_none() {
    let signer = Signer::ed25519("sender.test");
    let bench = bench(&[]).await;
    let signed = signer.sign(&fresh_mail(), USUAL);
    for record in ["v=DKIM1; k=ed25519; p=", "v=DKIM1; k=ed25519; p=AAAA", "v=spf1 -all", "v=DKIM1; k=rsa; p=AAAA", ""]
    {
        bench.dns.txt(&signer.name(), &[record]);
        bench.dns.uncached();
        refused(&bench.submit(Transport::Mail, signed.clone()).await, RefusalReason::Unauthenticated, &signer.name());
    }
    bench.monitor.stop().await;
}

/// "Could not look" is never "is not there": the mail stays and is tried again, but not for ever.
#[tokio::test]
async fn a_key_that_cannot_be_looked_up_is_waited_for() {
    let signer = Signer::ed25519("sender.test");
    let bench = bench(&[&signer]).await;
    let signed = signer.sign(&fresh_mail(), USUAL);
    let waiting = |days: u64| RawReport {
        waiting_since: Some(now() - Duration::from_secs(days * 86_400)),
        ..raw(Transport::Mail, signed.clone())
    };
    for behaviour in [Behaviour::Silent, Behaviour::ServFail, Behaviour::Refused] {
        bench.dns.behave(&signer.name(), behaviour);
        let receipt = bench.intake().submit(waiting(1)).await;
        assert!(
            matches!(&receipt, Receipt::Later(why) if why.to_string().contains("sender.test")),
            "{behaviour:?}: {receipt:?}"
        );
        assert!(matches!(bench.submit(Transport::Mail, signed.clone()).await, Receipt::Later(_)), "without a time");
    }
    assert!(bench.quarantined().is_empty());
    refused(&bench.intake().submit(waiting(4)).await, RefusalReason::Unauthenticated, "two days");
    assert_eq!(bench.quarantined().len(), 1);
    bench.dns.remove(&signer.name());
    bench.monitor.stop().await;
}

/// Mailboxes on Unix keep bare line feeds.
#[tokio::test]
async fn line_feeds_of_a_mailbox_break_no_signature() {
    let signer = Signer::rsa("sender.test");
    let bench = bench(&[&signer]).await;
    let signed = String::from_utf8(signer.sign(&fresh_mail(), USUAL)).unwrap().replace("\r\n", "\n");
    taken(&bench.submit(Transport::Mail, signed.clone()).await, &[Filed::New]);
    let with_line = format!("From tls@sender.test Sat Jan  1 00:00:00 2026\n{signed}");
    taken(&bench.submit(Transport::Mail, with_line).await, &[Filed::Duplicate]);
    bench.monitor.stop().await;
}

/// FLD-04 and REP-06: a report that names nobody, in a mail that names nobody, is its From's.
#[tokio::test]
async fn a_report_without_a_contact_is_that_of_the_signed_from() {
    let signer = Signer::ed25519("sender.test");
    let bench = bench(&[&signer]).await;
    let report = fresh(&with(r#""tls@sender.test""#, "null"));
    let header: String = HEADER.split_inclusive("\r\n").filter(|line| !line.starts_with("TLS-Report-")).collect();
    let attached = [part("application/tlsrpt+gzip", &gzip(report.as_bytes()))];
    let mail = mail_under(&header, "multipart/report; report-type=tlsrpt", &attached);
    taken(&bench.submit(Transport::Mail, signer.sign(&mail, USUAL)).await, &[Filed::New]);
    assert_eq!(bench.stored("example.com").await[0].provenance.reporter.as_str(), "sender.test");
    bench.monitor.stop().await;
}

/// Many signatures cost few questions.
#[tokio::test]
async fn only_a_few_signatures_are_looked_at() {
    let signer = Signer::ed25519("sender.test");
    let bench = bench(&[&signer]).await;
    let mut mail = signer.sign(&fresh_mail(), USUAL);
    for number in 0..1000 {
        let field =
            format!("DKIM-Signature: v=1; a=rsa-sha256; d=sender.test; s=s{number}; h=From; bh=eA==; b=eA==\r\n");
        mail = [field.as_bytes(), &mail].concat();
    }
    refused(&bench.submit(Transport::Mail, mail).await, RefusalReason::Unauthenticated, "no key");
    let asked = bench.dns.queries().iter().filter(|query| query.name.contains("_domainkey")).count();
    assert_eq!(asked, 5);
    bench.monitor.stop().await;
}

/// RFC 6376 §3.4.4 takes a last line of white space away; the library that checks signatures keeps it. Then a report is refused, and
/// a person can hand it in again. Of a report without such a line, as all known senders write them, nothing is lost.
#[tokio::test]
async fn a_last_line_of_white_space_is_a_known_weakness() {
    let signer = Signer::rsa("sender.test");
    let bench = bench(&[&signer]).await;
    let trailing = [&fresh_mail()[..], b" \r\n"].concat();
    refused(&bench.submit(Transport::Mail, signer.sign(&trailing, USUAL)).await, RefusalReason::Unauthenticated, "ody");
    let simple = Signing { canonical: (Canonical::Relaxed, Canonical::Simple), ..USUAL };
    taken(&bench.submit(Transport::Mail, signer.sign(&trailing, simple)).await, &[Filed::New]);
    bench.monitor.stop().await;
}
