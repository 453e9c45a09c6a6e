//! A domain that tries to reach whoever reads about it: markup, quotes and control characters in every field that comes from
//! outside. All of it has to be shown as the text that it is.

use super::{
    authority::Certificate,
    picture::{LEFT, Picture, REPORTS},
    table::{FIRST_DAY, Row},
};
use crate::verdict::{Code, State};

/// Markup that would run where it is not escaped.
pub(super) const SCRIPT: &str = "</script><script>alert(1)</script>";
/// An attribute's end, and an element that would run.
pub(super) const IMAGE: &str = "\"'><img src=x onerror=alert(1)>";
/// Escape sequences of a terminal: they would change its colour and its title.
pub(super) const TERMINAL: &str = "\u{1b}[31m\u{1b}]0;hostile\u{7}";

/// Two MX records, of which one is no host name; a policy of which a line is nonsense, so that it cannot be used; records that
/// break their grammar.
pub(super) fn row() -> Row {
    let label = "<script>alert(1)</script>";
    let mut now = Picture::plain("hostile.test", &["mx.hostile.test"]);
    now.mx.push((20, format!("{label}.hostile.test")));
    now.record = vec!["v=STSv1; id=20260301;".to_owned(), format!("{SCRIPT}{IMAGE}{TERMINAL}")];
    now.tlsrpt = vec![REPORTS.to_owned(), format!("{IMAGE}{SCRIPT}")];
    let policy = format!(
        "version: STSv1\nmode: {SCRIPT}\nmx: {label}.hostile.test\nmx: {IMAGE}\nmax_age: {TERMINAL}\n{SCRIPT}\n"
    );
    let now = now.policy(&policy).host("mx.hostile.test", |host| {
        host.banner = format!("{SCRIPT}{IMAGE}{TERMINAL} ESMTP");
        host.ehlo = vec![format!("mx.hostile.test {IMAGE}"), SCRIPT.to_owned(), format!("X-{IMAGE}{TERMINAL}")];
        host.certificate = Some(Certificate::of_90_days(&[IMAGE, "mx.hostile.test", SCRIPT], LEFT));
    });
    let now = now.aged();
    Row {
        group: "<b>hostile</b>",
        fault: "markup in every field that comes from outside",
        delivery: State::Unprotected,
        findings: vec![
            Code::StsPolicyInvalid,
            Code::MxInvalidTarget,
            Code::StsRecordUnrelatedTxt,
            Code::ReportsNewFailure,
        ],
        eras: vec![(FIRST_DAY, now)],
        failures: Vec::new(),
    }
}
