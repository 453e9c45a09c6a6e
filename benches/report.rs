//! What a TLS report costs to read: `cargo bench --bench report`.
//!
//! From gzip to the report, beside the floor: the same bytes inflated with a state that is kept, and read by serde_json into strict
//! structures with texts of their own; nothing judged, nothing odd taken, no checksum. Then from a whole mail, and what a bomb takes
//! of memory. Both sides take turns in one run, so that what the machine does meanwhile hits both.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a program for the person at the terminal"
)]

use std::{
    fmt::Write as _,
    fs,
    hint::black_box,
    io::Write as _,
    time::{Duration, Instant},
};

use flate2::{Compression, Decompress, FlushDecompress, write::GzEncoder};
use serde::Deserialize;
use smtptls_exporter::protocol::tls_rpt::{Declared, RefusalReason, ReportReader, read_mail};

/// Turns of both sides; the median of each counts.
const TURNS: usize = 25;
/// So long a turn goes on.
const TURN: Duration = Duration::from_millis(40);
/// The header that gzip writes where no name is given.
const GZIP_HEADER: usize = 10;

const SMALL: &str = concat!(
    r#"{"organization-name":"Google Inc.","date-range":{"start-datetime":"2026-01-11T00:00:00Z","#,
    r#""end-datetime":"2026-01-11T23:59:59Z"},"contact-info":"smtp-tls-reporting@google.com","#,
    r#""report-id":"2026-01-11T00:00:00Z_example.com","policies":[{"policy":{"policy-type":"sts","policy-string":["#,
    r#""version: STSv1","mode: enforce","mx: *.mail.example.com","max_age: 604800"],"policy-domain":"example.com","#,
    r#""mx-host":["*.mail.example.com"]},"summary":{"total-successful-session-count":23,"total-failure-session-count":0}}]}"#,
);

/// The floor's idea of a report: RFC 8460 §4.4 as it stands.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "it is only read")]
struct Strict {
    organization_name: String,
    date_range: DateRange,
    contact_info: String,
    report_id: String,
    policies: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "it is only read")]
struct DateRange {
    start_datetime: String,
    end_datetime: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "it is only read")]
struct Entry {
    policy: Policy,
    summary: Summary,
    #[serde(default)]
    failure_details: Vec<Detail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "it is only read")]
struct Policy {
    policy_type: String,
    policy_string: Vec<String>,
    policy_domain: String,
    mx_host: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "it is only read")]
struct Summary {
    total_successful_session_count: u64,
    total_failure_session_count: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "it is only read")]
struct Detail {
    result_type: String,
    sending_mta_ip: Option<String>,
    receiving_mx_hostname: Option<String>,
    receiving_ip: Option<String>,
    failed_session_count: u64,
    failure_reason_code: Option<String>,
}

fn main() {
    compare("small", SMALL);
    compare("large", &large());
    mails();
    bomb();
}

/// Five megabytes: one sender with many addresses, each of which failed at one of eight hosts.
fn large() -> String {
    const TYPES: [&str; 4] =
        ["certificate-expired", "starttls-not-supported", "validation-failure", "certificate-host-mismatch"];
    let mut details = String::new();
    let mut count = 0_u32;
    while details.len() < 5_000_000 {
        let [_, _, high, low] = count.to_be_bytes();
        let separator = if count == 0 { "" } else { "," };
        let result_type = TYPES.iter().cycle().nth(count as usize % TYPES.len()).unwrap();
        write!(
            details,
            r#"{separator}{{"result-type":"{result_type}","sending-mta-ip":"192.0.{high}.{low}","receiving-mx-hostname":"mx{}.mail.example.com","receiving-ip":"2001:db8:{high:x}::{low:x}","failed-session-count":{},"failure-reason-code":"certificate verify failed: certificate has expired (code {low})"}}"#,
            count % 8,
            count % 97 + 1,
        )
        .unwrap();
        count += 1;
    }
    SMALL.replace(
        r#""total-failure-session-count":0}"#,
        &format!(r#""total-failure-session-count":9}},"failure-details":[{details}]"#),
    )
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Inflated into the same buffer with the same state, and read.
fn floor(inflate: &mut Decompress, buffer: &mut Vec<u8>, packed: &[u8]) -> Strict {
    inflate.reset(false);
    buffer.clear();
    inflate.decompress_vec(packed.get(GZIP_HEADER..).unwrap(), buffer, FlushDecompress::Finish).unwrap();
    serde_json::from_slice(buffer).unwrap()
}

fn compare(name: &str, text: &str) {
    let packed = gzip(text);
    let mut reader = ReportReader::new();
    let mut inflate = Decompress::new(false);
    let mut buffer = Vec::with_capacity(text.len() + 1);
    let report = reader.read(&packed, Declared::default()).unwrap();
    assert_eq!(report.policies.len(), floor(&mut inflate, &mut buffer, &packed).policies.len());
    let mut ours = Vec::new();
    let mut floors = Vec::new();
    for _ in 0..TURNS {
        ours.push(turn(|| drop(black_box(reader.read(black_box(&packed), Declared::default())))));
        floors.push(turn(|| drop(black_box(floor(&mut inflate, &mut buffer, black_box(&packed))))));
    }
    let (ours, floor) = (median(ours), median(floors));
    println!("{name}: {} bytes of gzip, {} of JSON", packed.len(), text.len());
    println!("  read, microseconds            {:10.2}", ours * 1e6);
    println!("  floor, microseconds           {:10.2}", floor * 1e6);
    println!("  read / floor                  {:10.2}", ours / floor);
    println!("  reports a second and core     {:10.0}", 1.0 / ours);
}

fn mails() {
    let body = base64(&gzip(SMALL));
    let mail = format!(
        "Received: from mail.google.com by mx.example.com with ESMTPS; Mon, 12 Jan 2026 01:59:10 +0000\r\nMIME-Version: 1.0\r\n\
         Date: Mon, 12 Jan 2026 01:59:08 +0000\r\nTLS-Report-Domain: example.com\r\nTLS-Report-Submitter: google.com\r\n\
         Message-ID: <1@google.com>\r\nSubject: Report Domain: example.com Submitter: google.com Report-ID: <1@google.com>\r\n\
         From: noreply-smtp-tls-reporting@google.com\r\nTo: tls-reports@example.com\r\n\
         Content-Type: multipart/report; boundary=\"b1\"; report-type=tlsrpt\r\n\r\n--b1\r\n\
         Content-Type: text/plain; charset=\"UTF-8\"\r\n\r\nThis is an aggregate TLS report from google.com\r\n\r\n--b1\r\n\
         Content-Type: application/tlsrpt+gzip; name=\"google.com!example.com!1768089600!1768175999!001.json.gz\"\r\n\
         Content-Disposition: attachment; filename=\"google.com!example.com!1768089600!1768175999!001.json.gz\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{body}\r\n--b1--\r\n"
    );
    if let Some(path) = std::env::var_os("SMTPTLS_MAIL") {
        fs::write(path, &mail).unwrap();
    }
    let mut reader = ReportReader::new();
    assert_eq!(read_mail(&mut reader, mail.as_bytes()).unwrap().len(), 1);
    let turns = (0..TURNS).map(|_| turn(|| drop(black_box(read_mail(&mut reader, black_box(mail.as_bytes()))))));
    let seconds = median(turns.collect());
    println!("mail: {} bytes", mail.len());
    println!("  read, microseconds            {:10.2}", seconds * 1e6);
    println!("  reports a second and core     {:10.0}", 1.0 / seconds);
}

/// A stream of 10 GB in one member: the same compressed megabytes over and over.
fn bomb() {
    let zeros = vec![0; 10 << 20];
    let mut piece = Vec::with_capacity(1 << 20);
    let mut compress = flate2::Compress::new(Compression::fast(), false);
    compress.compress_vec(&zeros, &mut piece, flate2::FlushCompress::Full).unwrap();
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    (0..1000).for_each(|_| bytes.extend(&piece));
    drop(zeros);
    // Linux forgets the peak when 5 is written there.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak();
    let began = Instant::now();
    let refusal = ReportReader::new().read(&bytes, Declared::default()).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::TooLarge);
    println!("bomb: {} bytes of gzip for 10 GB", bytes.len());
    println!("  refused after, milliseconds   {:10.1}", began.elapsed().as_secs_f64() * 1e3);
    println!("  memory that it took, kB       {:10}", peak() - before);
}

/// The most memory that this process held, in kB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Seconds a call, over a turn.
fn turn(mut call: impl FnMut()) -> f64 {
    let began = Instant::now();
    let mut calls = 0_u32;
    while began.elapsed() < TURN {
        call();
        calls += 1;
    }
    began.elapsed().as_secs_f64() / f64::from(calls)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap()
}

/// RFC 2045 §6.8, in lines of 76 letters.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for (number, three) in bytes.chunks(3).enumerate() {
        if number > 0 && number % 19 == 0 {
            text.push_str("\r\n");
        }
        let bits = three.iter().chain([&0; 2]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..4 {
            let letter = LETTERS.get(bits >> (18 - 6 * place) & 63).copied().map_or('=', char::from);
            text.push(if place > three.len() { '=' } else { letter });
        }
    }
    text
}
