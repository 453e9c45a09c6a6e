//! The output of a check plugin of Nagios and its kin (Icinga, Naemon, Checkmk): a line with the worst, performance data, then the
//! long text. By the guidelines of monitoring-plugins.org.

use std::{fmt::Write as _, time::Duration};

use super::{
    briefing::{Advice, Briefing},
    sentences::headline,
    text::clean,
    words,
};
use crate::{
    terms::Timestamp,
    verdict::{Assessment, Finding, Severity, State},
};

/// What Nagios takes of an output (`MAX_PLUGIN_OUTPUT_LENGTH`): the end of a longer one is lost, and the performance data with it where
/// they stand there.
const OUTPUT_MOST: usize = 8192;
/// The first line stands in lists and messages.
const LINE_MOST: usize = 240;

/// A service status, with the exit status of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceStatus {
    /// Nothing needs attention.
    Ok,
    /// A warning is active.
    Warning,
    /// An error is active, or mail is refused.
    Critical,
    /// It could not be looked at for a reason on this side.
    Unknown,
}

impl ServiceStatus {
    /// The exit status.
    pub const fn exit(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    /// The word in the first line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The status of one domain.
    pub fn of(assessment: &Assessment) -> Self {
        match assessment.worst() {
            Some(Severity::Error) => Self::Critical,
            // Where a person accepted what is found, the state that follows from it is no news.
            _ if assessment.delivery == State::Blocked && assessment.findings.iter().all(Finding::is_active) => {
                Self::Critical
            }
            Some(Severity::Warning) => Self::Warning,
            _ if assessment.own_side || assessment.delivery == State::Unknown => Self::Unknown,
            _ => Self::Ok,
        }
    }

    /// The worst of several: what could not be looked at is worse than what is well, and no more than that.
    pub fn worst(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().max_by_key(|status| status.rank()).unwrap_or(Self::Ok)
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Unknown => 1,
            Self::Warning => 2,
            Self::Critical => 3,
        }
    }
}

/// The status and the output of a plugin that checked these domains.
pub fn output(assessments: &[Assessment], now: Timestamp) -> (ServiceStatus, String) {
    let status = ServiceStatus::worst(assessments.iter().map(ServiceStatus::of));
    let mut text = match assessments {
        [one] => one_line(one, now),
        many => summary(many),
    };
    text = format!("SMTPTLS {}: {text}", status.as_str());
    if text.len() > LINE_MOST {
        text = text.chars().take(LINE_MOST).collect();
        text.push_str("...");
    }
    text.push_str(" | ");
    text.push_str(&performance(assessments, now));
    text.push('\n');
    let lines = match assessments {
        [one] => details(one, now),
        many => list(many, now),
    };
    let mut left = lines.len();
    for line in lines {
        /// The line that says how many there are beyond it.
        const REST: usize = 32;
        if text.len() + line.len() + REST > OUTPUT_MOST {
            // Writing to a String does not fail.
            let _ = writeln!(text, "... and {left} lines more");
            break;
        }
        text.push_str(&line);
        text.push('\n');
        left -= 1;
    }
    (status, text)
}

/// The output where the run itself failed.
pub fn failure(message: &str) -> String {
    format!("SMTPTLS {}: {}\n", ServiceStatus::Unknown.as_str(), plain(message))
}

/// Text that stands in a plugin's output: one line of ASCII. A bar begins performance data, and some pages show angle brackets and
/// ampersands as they are.
fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in clean(&text.split_whitespace().collect::<Vec<_>>().join(" "), false).chars() {
        match character {
            '|' | '<' | '>' | '&' => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    shown
}

fn one_line(assessment: &Assessment, now: Timestamp) -> String {
    let gist = headline(assessment, now);
    let gist = if gist.is_empty() { String::new() } else { format!(" - {gist}") };
    plain(&format!("{} {}{gist}", assessment.domain, words::state(assessment.delivery)))
}

fn summary(assessments: &[Assessment]) -> String {
    let of = |wanted| assessments.iter().filter(|one| ServiceStatus::of(one) == wanted).count();
    let counts = [
        (of(ServiceStatus::Critical), "critical"),
        (of(ServiceStatus::Warning), "warning"),
        (of(ServiceStatus::Unknown), "unknown"),
        (of(ServiceStatus::Ok), "ok"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}")).collect();
    let total = words::count(assessments.len(), "domain");
    if counts.is_empty() { total } else { format!("{total}: {}", counts.join(", ")) }
}

/// `label=value;warn;crit;min`. The days of the certificate that ends first are there for one domain, and where one was seen.
fn performance(assessments: &[Assessment], now: Timestamp) -> String {
    let sum = |severity| assessments.iter().map(|one| one.count(severity)).sum::<usize>();
    let took = assessments.iter().map(|one| one.duration).max().unwrap_or_default();
    let mut data = format!(
        "errors={};;0;0 warnings={};0;;0 time={:.3}s;;;0",
        sum(Severity::Error),
        sum(Severity::Warning),
        took.as_secs_f64()
    );
    match assessments {
        [one] => {
            if let Some(days) = days_left(one, now) {
                let _ = write!(data, " certificate_days={days}");
            }
        }
        many => {
            for state in State::ALL {
                let count = many.iter().filter(|one| one.delivery == state).count();
                let _ = write!(data, " {}={count};;;0;{}", state.as_str(), many.len());
            }
        }
    }
    data
}

/// Whole days until the first certificate ends, of the mail hosts and the policy host; negative after it.
fn days_left(assessment: &Assessment, now: Timestamp) -> Option<i64> {
    const DAY: i64 = Duration::from_secs(86_400).as_secs().cast_signed();
    let hosts = assessment.mx.iter().flat_map(|mx| &mx.addresses).filter_map(|one| one.path.certificate.as_ref());
    let all = hosts.chain(assessment.policy.certificate.as_ref());
    let first = all.map(|certificate| certificate.chain.leaf.not_after).min()?;
    Some((first.unix_seconds() - now.unix_seconds()).div_euclid(DAY))
}

/// What a person needs of one domain.
fn details(assessment: &Assessment, now: Timestamp) -> Vec<String> {
    let briefing = Briefing::new(assessment, now, false);
    let mut lines: Vec<String> = briefing.sentences.iter().map(|sentence| plain(sentence)).collect();
    for advice in briefing.fix_first.iter().chain(&briefing.also) {
        lines.extend(told(advice));
    }
    lines.extend(briefing.unseen.iter().map(|what| plain(&format!("not seen: {what}"))));
    lines
}

fn told(advice: &Advice) -> Vec<String> {
    let heads = advice.heads.iter().map(|head| format!("{} {}: {head}", advice.severity, advice.code));
    let todo = advice.todo.iter().map(|todo| match &advice.record {
        Some(record) => format!("  To do: {todo} {record}"),
        None => format!("  To do: {todo}"),
    });
    heads
        .chain(todo)
        .map(|line| format!("{}{}", if line.starts_with("  ") { "  " } else { "" }, plain(&line)))
        .collect()
}

/// A line a domain, worst first.
fn list(assessments: &[Assessment], now: Timestamp) -> Vec<String> {
    let mut sorted: Vec<&Assessment> = assessments.iter().collect();
    sorted.sort_by_cached_key(|one| (std::cmp::Reverse(ServiceStatus::of(one).rank()), one.domain.clone()));
    sorted.iter().map(|one| format!("{}: {}", ServiceStatus::of(one).as_str(), one_line(one, now))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::{fixture, text::is_dangerous};

    fn shown(assessments: &[Assessment]) -> String {
        output(assessments, fixture::NOW).1
    }

    #[test]
    fn the_status_of_a_domain() {
        for (assessment, status) in [
            (fixture::healthy("a.example"), ServiceStatus::Ok),
            (fixture::no_mail("a.example"), ServiceStatus::Ok),
            (fixture::unprotected("a.example"), ServiceStatus::Ok),
            (fixture::testing("a.example"), ServiceStatus::Warning),
            (fixture::backup_expired("a.example"), ServiceStatus::Critical),
            (fixture::blocked("a.example"), ServiceStatus::Critical),
            (fixture::own_side("a.example"), ServiceStatus::Unknown),
            (fixture::unknown("a.example"), ServiceStatus::Unknown),
        ] {
            assert_eq!(ServiceStatus::of(&assessment), status, "{:?}", assessment.delivery);
        }
        let mut accepted = fixture::backup_expired("a.example");
        accepted.findings.iter_mut().for_each(|finding| finding.accepted = Some("known".into()));
        assert_eq!(ServiceStatus::of(&accepted), ServiceStatus::Ok);
    }

    #[test]
    fn the_worst_of_several() {
        use ServiceStatus::{Critical, Ok, Unknown, Warning};
        for (all, worst) in [
            (&[][..], Ok),
            (&[Ok, Unknown], Unknown),
            (&[Warning, Unknown], Warning),
            (&[Unknown, Critical, Ok], Critical),
        ] {
            assert_eq!(ServiceStatus::worst(all.iter().copied()), worst, "{all:?}");
        }
        assert_eq!([Ok, Warning, Critical, Unknown].map(ServiceStatus::exit), [0, 1, 2, 3]);
    }

    #[test]
    fn one_domain() {
        insta::assert_snapshot!(shown(&[fixture::backup_expired("example.com")]));
    }

    #[test]
    fn a_healthy_domain() {
        insta::assert_snapshot!(shown(&[fixture::healthy("example.com")]));
    }

    #[test]
    fn several_domains() {
        insta::assert_snapshot!(shown(&[
            fixture::healthy("healthy.example"),
            fixture::own_side("own-side.example"),
            fixture::backup_expired("backup-expired.example"),
            fixture::testing("testing.example"),
        ]));
    }

    #[test]
    fn no_output_is_longer_than_nagios_takes_and_the_performance_data_come_first() {
        let many: Vec<Assessment> =
            (0..500).map(|number| fixture::backup_expired(&format!("domain-{number}.example"))).collect();
        let text = shown(&many);
        assert!(text.len() <= OUTPUT_MOST, "{}", text.len());
        let (first, rest) = text.split_once('\n').unwrap();
        assert!(first.starts_with("SMTPTLS CRITICAL: 500 domains: 500 critical | errors=500;;0;0"), "{first}");
        let told = rest.lines().filter(|line| line.starts_with("CRITICAL: ")).count();
        let more = format!("... and {} lines more\n", 500 - told);
        assert!(rest.ends_with(&more), "{rest}");
    }

    #[test]
    fn text_from_outside_cannot_end_a_line_or_begin_performance_data() {
        let mut hostile = fixture::hostile("example.com");
        for finding in &mut hostile.findings {
            finding.detail = format!("a | b=1\nSMTPTLS OK <b>&\u{1b}[2J{}", finding.detail);
        }
        let text = shown(&[hostile]);
        let (first, rest) = text.split_once('\n').unwrap();
        assert_eq!(first.matches('|').count(), 1, "{first}");
        assert!(!rest.contains(['|', '<', '>', '&']) && text.is_ascii(), "{rest}");
        assert!(!text.lines().any(|line| line.starts_with("SMTPTLS OK")), "{text}");
        assert!(text.lines().all(|line| !line.chars().any(is_dangerous)));
        assert_eq!(failure("no\nresolver | x"), "SMTPTLS UNKNOWN: no resolver \\u{7c} x\n");
    }
}
