//! What holds for all bytes that reach a parser or the dialogue: a function each, which panics where it does not hold.
//!
//! libFuzzer feeds them in `fuzz/`; `any_bytes.rs` feeds them seeds, stored data and noise in `cargo test`.
// `pub`: two crates have these files.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use smtptls_exporter::terms::{Problem, Reading};

mod certificate;
mod configuration;
mod dns_name;
mod domain_list;
mod media_type;
mod mx_pattern;
mod octets;
mod policy;
mod report_mail;
mod smtp_dialogue;
mod smtp_reply;
mod sts_record;
mod tls_flight;
mod tls_report;
mod tlsa;
mod tlsa_base_domain;
mod tlsa_verify;
mod tlsrpt_record;
mod web_configuration;
mod words;

pub use certificate::certificate;
pub use configuration::configuration;
pub use dns_name::dns_name;
pub use domain_list::domain_list;
pub use media_type::media_type;
pub use mx_pattern::mx_pattern;
pub use octets::octets;
pub use policy::policy;
pub use report_mail::report_mail;
pub use smtp_dialogue::smtp_dialogue;
pub use smtp_reply::smtp_reply;
pub use sts_record::sts_record;
pub use tls_flight::tls_flight;
pub use tls_report::tls_report;
pub use tlsa::tlsa;
pub use tlsa_base_domain::tlsa_base_domain;
pub use tlsa_verify::tlsa_verify;
pub use tlsrpt_record::tlsrpt_record;
pub use web_configuration::web_configuration;
pub use words::words;

/// A parser under its name: that of its file in `fuzz/fuzz_targets` and of its folders of seeds and findings.
pub type Target = (&'static str, fn(&[u8]));

/// Every parser that is tried.
pub const TARGETS: [Target; 20] = [
    ("certificate", certificate),
    ("configuration", configuration),
    ("dns_name", dns_name),
    ("domain_list", domain_list),
    ("media_type", media_type),
    ("mx_pattern", mx_pattern),
    ("octets", octets),
    ("policy", policy),
    ("report_mail", report_mail),
    ("smtp_dialogue", smtp_dialogue),
    ("smtp_reply", smtp_reply),
    ("sts_record", sts_record),
    ("tls_flight", tls_flight),
    ("tls_report", tls_report),
    ("tlsa", tlsa),
    ("tlsa_base_domain", tlsa_base_domain),
    ("tlsa_verify", tlsa_verify),
    ("tlsrpt_record", tlsrpt_record),
    ("web_configuration", web_configuration),
    ("words", words),
];

/// Ends a record, a reading or another whole in an input. No text in UTF-8 holds it, so texts fit as they are.
pub const SEPARATOR: u8 = 0xff;

/// Ends a part of such a whole: a string of a record.
pub const PART_SEPARATOR: u8 = 0xfe;

/// The most problems of one kind that a parser keeps; there are three kinds.
const MOST_PROBLEMS: usize = 3 * 50;

/// Problems lie within the text, stand in its order, are harmless to show, and do not grow with it.
fn check_problems(length: usize, problems: &[Problem]) {
    assert!(problems.len() <= MOST_PROBLEMS, "{} problems", problems.len());
    for problem in problems {
        assert!(problem.span.start <= problem.span.end && problem.span.end <= length, "{length}: {problem:?}");
        assert!(!problem.message.is_empty() && !problem.message.chars().any(char::is_control), "{problem:?}");
    }
    assert!(problems.is_sorted_by_key(|problem| problem.span), "{problems:?}");
}

/// A value is there exactly where nothing is wrong that everybody rejects; what all senders take, mainstream senders take.
fn check_verdict(usable: bool, valid: bool, problems: &[Problem]) {
    let worst = problems.iter().map(|problem| problem.reading).max();
    assert_eq!(usable, worst != Some(Reading::Invalid), "{problems:?}");
    assert_eq!(valid, worst.is_none_or(|worst| worst == Reading::Note), "{problems:?}");
    assert!(usable || !valid);
}

/// What is stored is read again as it was: observations are judged again later.
fn check_stored<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let stored = serde_json::to_string(value).unwrap();
    match serde_json::from_str::<T>(&stored) {
        Ok(read) => assert_eq!(&read, value, "{stored}"),
        Err(error) => panic!("{error}: {stored}"),
    }
}

/// Nothing that moves a cursor, colours or hides.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// `name` of extension fields: a letter or digit and up to 31 letters, digits, `_`, `-` and `.` (RFC 8461 §3.1 and §3.2).
fn is_extension_name(name: &[u8]) -> bool {
    (1..=32).contains(&name.len())
        && name[0].is_ascii_alphanumeric()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte))
}
