//! What is worth saying of a policy body before it is published (RFC 8461 §3.2).

use std::collections::BTreeSet;

use crate::{
    protocol::mta_sts::{Mode, MxPattern, Policy, PolicyReading, PublicSuffix, read_policy},
    terms::{MaxAge, MxHost, Reading, Rule, Span},
    verdict::Severity,
};

/// FET-13: RFC 8461 §3.3 lets senders stop at 64 kB, and hosts should stay far below that.
pub const SMALL_BODY: usize = 16 * 1024;

/// Beyond this senders stop reading (RFC 8461 §3.3): what follows says nothing.
pub const LARGEST_BODY: usize = 64 * 1024;

/// Remarks of one severity that are kept beside those of the parser, which has a limit of its own: nobody reads more.
const KEPT: usize = 50;

/// In enforce a policy should outlive the days in which nobody writes: RFC 8461 §3.2 expects weeks or more.
const WEEK: MaxAge = MaxAge(604_800);

/// What a policy body is worth, apart from the domain that serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLint {
    /// What the parser made of it.
    pub reading: PolicyReading,
    /// The problems of the parser, and what else a person should know, in the order of the text.
    pub remarks: Vec<Remark>,
    /// Of the hosts that were named, those that senders would not deliver to or would report.
    pub uncovered: Vec<MxHost>,
    /// It is larger than senders read.
    pub too_large: bool,
}

/// One thing that is wrong with a policy, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Errors alone make the policy unusable, or leave a named host out.
    pub severity: Severity,
    /// The rule that it follows from.
    pub rule: Rule,
    /// Where, in bytes of the body.
    pub span: Span,
    /// What was seen, in words, without a final full stop. What the file says is escaped.
    pub message: String,
    /// Who stumbles over it, or what to do.
    pub hint: Option<String>,
}

impl PolicyLint {
    /// Senders use the policy.
    pub fn usable(&self) -> bool {
        self.reading.usable() && !self.too_large
    }

    /// Senders use the policy, and it lists every host that was named.
    pub fn passes(&self) -> bool {
        self.usable() && self.uncovered.is_empty()
    }

    /// How many remarks have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.remarks.iter().filter(|remark| remark.severity == severity).count()
    }
}

/// Reads a policy body and says all that is worth saying; `hosts` are the mail hosts that it has to list, where they are known.
pub fn lint_policy(body: &[u8], hosts: &[MxHost]) -> PolicyLint {
    let reading = read_policy(body);
    let mut remarks: Vec<Remark> = reading
        .problems
        .iter()
        .map(|problem| Remark {
            severity: severity(problem.reading),
            rule: problem.rule,
            span: problem.span,
            message: problem.message.clone(),
            hint: Some(stumbles(problem.reading).to_owned()),
        })
        .collect();
    let mut uncovered = Vec::new();
    let mut linter = Linter { places: Places::of(body), parsed: remarks.len(), remarks: &mut remarks };
    linter.size(body);
    if let Some(policy) = &reading.value {
        linter.mode(policy);
        linter.max_age(policy);
        linter.patterns(policy);
        uncovered = linter.hosts(policy, hosts);
    }
    remarks.sort_by_key(|remark| remark.span);
    PolicyLint { reading, remarks, uncovered, too_large: body.len() > LARGEST_BODY }
}

const fn severity(reading: Reading) -> Severity {
    match reading {
        Reading::Invalid => Severity::Error,
        Reading::Lenient => Severity::Warning,
        Reading::Note => Severity::Info,
    }
}

/// Who stumbles over a problem of the parser.
const fn stumbles(reading: Reading) -> &'static str {
    match reading {
        Reading::Invalid => "no sender uses the policy while this stands in it",
        Reading::Lenient => "large senders accept this, others reject the policy for it",
        Reading::Note => "every sender accepts this",
    }
}

/// Where the values of a usable policy stand.
struct Places {
    mode: Span,
    max_age: Span,
    /// In the order of the policy.
    mx: Vec<Span>,
}

impl Places {
    /// A policy that is usable has lines that end with LF or CRLF, so that these are all its lines.
    fn of(body: &[u8]) -> Self {
        let mut places = Self { mode: Span::default(), max_age: Span::default(), mx: Vec::new() };
        let mut start = 0;
        for line in body.split(|byte| *byte == b'\n') {
            if let Some(colon) = line.iter().position(|byte| *byte == b':') {
                let (key, rest) = line.split_at(colon);
                let value = rest.get(1..).unwrap_or_default();
                let from = start + colon + 1 + (value.len() - value.trim_ascii_start().len());
                let span = Span::new(from, from + value.trim_ascii().len());
                match key.trim_ascii() {
                    // Of those that may stand there once, the first counts.
                    b"mode" if places.mode == Span::default() => places.mode = span,
                    b"max_age" if places.max_age == Span::default() => places.max_age = span,
                    b"mx" => places.mx.push(span),
                    _ => {}
                }
            }
            start += line.len() + 1;
        }
        places
    }
}

struct Linter<'a> {
    places: Places,
    /// How many of the remarks are the parser's.
    parsed: usize,
    remarks: &'a mut Vec<Remark>,
}

impl Linter<'_> {
    fn say(&mut self, severity: Severity, rule: &'static str, span: Span, message: String, hint: &str) {
        let said = self.remarks.iter().skip(self.parsed).filter(|remark| remark.severity == severity).count();
        if said < KEPT {
            self.remarks.push(Remark { severity, rule: Rule(rule), span, message, hint: Some(hint.to_owned()) });
        }
    }

    fn size(&mut self, body: &[u8]) {
        let end = Span::new(body.len(), body.len());
        let hint = "list the mail hosts by fewer lines";
        if body.len() > LARGEST_BODY {
            let message = format!("the policy has more than {LARGEST_BODY} bytes: senders stop reading there");
            self.say(Severity::Error, "FET-13", end, message, hint);
        } else if body.len() > SMALL_BODY {
            let message = format!("the policy has {} bytes; senders may stop reading at {LARGEST_BODY}", body.len());
            self.say(Severity::Warning, "FET-13", end, message, hint);
        }
    }

    fn mode(&mut self, policy: &Policy) {
        let span = self.places.mode;
        match policy.mode {
            Mode::Enforce => {}
            Mode::Testing => self.say(
                Severity::Info,
                "APP-03",
                span,
                "in mode testing senders deliver whatever they find, and report failures".to_owned(),
                "it protects nobody yet: it is the step before enforce",
            ),
            Mode::None => self.say(
                Severity::Info,
                "APP-03",
                span,
                "mode none asks senders to behave as if there were no policy".to_owned(),
                "it is for leaving MTA-STS: serve it until no sender holds an older policy",
            ),
        }
    }

    fn max_age(&mut self, policy: &Policy) {
        let (age, span) = (policy.max_age, self.places.max_age);
        let (severity, message, hint) = match policy.mode {
            _ if age > MaxAge::CAP => (
                Severity::Warning,
                format!("max_age {age} is above {}, the most that RFC 8461 allows", MaxAge::CAP),
                "some senders reject the policy for it; 2419200 is four weeks",
            ),
            // Who leaves wants to be forgotten soon.
            Mode::None => return,
            _ if age == MaxAge(0) => (
                Severity::Warning,
                "with max_age 0 no sender keeps the policy: it protects nothing".to_owned(),
                "604800 is a week",
            ),
            _ if age < MaxAge::SHORT => (
                Severity::Warning,
                format!(
                    "max_age {age} is less than a day: a sender that writes once a day never has the policy at hand"
                ),
                "86400 is a day, 604800 a week",
            ),
            Mode::Enforce if age < WEEK => (
                Severity::Info,
                format!("max_age {age} is less than a week"),
                "right for the first days in enforce; RFC 8461 section 3.2 expects weeks or more later",
            ),
            _ => return,
        };
        self.say(severity, "POL-12", span, message, hint);
    }

    fn patterns(&mut self, policy: &Policy) {
        let mut seen: BTreeSet<&MxPattern> = BTreeSet::new();
        let placed: Vec<(&MxPattern, Span)> = policy.mx.iter().zip(self.places.mx.iter().copied()).collect();
        for (pattern, span) in placed {
            if !seen.insert(pattern) {
                let message = format!("{pattern} stands there again");
                self.say(Severity::Info, "POL-15", span, message, "once is enough");
            } else if pattern.is_ipv4_like() {
                let message = format!("{pattern} is an address: senders compare names, so that it matches no host");
                self.say(Severity::Warning, "POL-17", span, message, "write the name of the mail host");
            } else if pattern.is_single_label() {
                let message = format!("{pattern} is a single label; no mail host on the Internet has such a name");
                self.say(Severity::Warning, "POL-17", span, message, "write the full name of the mail host");
            } else if pattern.is_wildcard() {
                self.wildcard(pattern, span);
            }
        }
    }

    /// POL-20: whoever has a certificate for a name under it passes for a mail host.
    fn wildcard(&mut self, pattern: &MxPattern, span: Span) {
        let under = pattern.domain();
        match pattern.public_suffix() {
            Some(PublicSuffix::Registry) => {
                let message = format!("anybody can register a name under {under}, and pass for a mail host of yours");
                self.say(Severity::Warning, "POL-20", span, message, "list the mail hosts by name");
            }
            Some(PublicSuffix::Private) => {
                let message =
                    format!("the customers of a company get names under {under}, and pass for a mail host of yours");
                self.say(Severity::Warning, "POL-20", span, message, "list the mail hosts by name");
            }
            None => {
                let message = format!(
                    "{pattern} covers every name of one more label under {under}: neither {under} itself nor a.b.{under}"
                );
                let hint = "whoever gets a certificate for such a name passes for a mail host; exact names are safer";
                self.say(Severity::Info, "POL-20", span, message, hint);
            }
        }
    }

    /// Whether the named hosts are listed; gives those that are not.
    fn hosts(&mut self, policy: &Policy, hosts: &[MxHost]) -> Vec<MxHost> {
        if hosts.is_empty() || policy.mode == Mode::None {
            return Vec::new();
        }
        let last = self.places.mx.last().copied().unwrap_or_default();
        let uncovered: Vec<MxHost> = hosts.iter().filter(|host| !policy.matches(host)).cloned().collect();
        for host in &uncovered {
            let effect = match policy.mode {
                Mode::Enforce => "senders that apply the policy do not deliver to it",
                _ => "senders report it, and would not deliver to it in enforce",
            };
            let message = format!("no pattern matches {host}: {effect}");
            self.say(Severity::Error, "POL-21", last, message, &format!("add the line \"mx: {host}\""));
        }
        let unused = policy.unused_patterns(hosts);
        let placed: Vec<(MxPattern, Span)> = policy.mx.iter().cloned().zip(self.places.mx.iter().copied()).collect();
        for (pattern, span) in placed.iter().filter(|(pattern, _)| unused.contains(&pattern)) {
            let message = format!("{pattern} matches none of the hosts that were named");
            self.say(
                Severity::Info,
                "POL-22",
                *span,
                message,
                "right for a host that is yet to come; else take it out",
            );
        }
        uncovered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Vec<MxHost> {
        names.iter().map(|name| MxHost::parse(name).unwrap()).collect()
    }

    fn body(mode: &str, max_age: u64, mx: &[&str]) -> String {
        let mx: String = mx.iter().map(|pattern| format!("mx: {pattern}\r\n")).collect();
        format!("version: STSv1\r\nmode: {mode}\r\n{mx}max_age: {max_age}\r\n")
    }

    /// Severity, rule and marked text of each remark.
    fn told(body: &str, named: &[&str]) -> Vec<(Severity, &'static str, String)> {
        let lint = lint_policy(body.as_bytes(), &hosts(named));
        let marked = |span: Span| body[span.start..span.end].to_owned();
        lint.remarks.iter().map(|remark| (remark.severity, remark.rule.0, marked(remark.span))).collect()
    }

    #[test]
    fn of_a_policy_without_fault_nothing_is_said() {
        let body = body("enforce", 604_800, &["mx1.example.com", "mx2.example.com"]);
        assert_eq!(told(&body, &["mx1.example.com", "mx2.example.com"]), []);
        assert!(lint_policy(body.as_bytes(), &[]).passes());
    }

    #[test]
    fn ages_are_judged_by_the_mode() {
        use Severity::{Info, Warning};
        let age = |mode, seconds| {
            let told = told(&body(mode, seconds, &["mx.example.com"]), &[]);
            told.into_iter().find(|(_, rule, _)| *rule == "POL-12").map(|(severity, _, marked)| (severity, marked))
        };
        for (mode, seconds, expected) in [
            ("enforce", 0, Some(Warning)),
            ("enforce", 86_399, Some(Warning)),
            ("enforce", 86_400, Some(Info)),
            ("enforce", 604_799, Some(Info)),
            ("enforce", 604_800, None),
            ("enforce", 31_557_600, None),
            ("enforce", 31_557_601, Some(Warning)),
            ("testing", 86_400, None),
            ("testing", 3_600, Some(Warning)),
            ("none", 60, None),
            ("none", 31_557_601, Some(Warning)),
        ] {
            let expected = expected.map(|severity| (severity, seconds.to_string()));
            assert_eq!(age(mode, seconds), expected, "{mode} {seconds}");
        }
    }

    #[test]
    fn patterns_that_say_more_or_less_than_meant() {
        use Severity::{Info, Warning};
        let patterns = ["*.example.com", "*.co.uk", "*.github.io", "192.0.2.1", "localhost", "a.example", "a.example"];
        let body = body("enforce", 604_800, &patterns);
        assert_eq!(
            told(&body, &[]),
            [
                (Info, "POL-20", "*.example.com".to_owned()),
                (Warning, "POL-20", "*.co.uk".to_owned()),
                (Warning, "POL-20", "*.github.io".to_owned()),
                (Warning, "POL-17", "192.0.2.1".to_owned()),
                (Warning, "POL-17", "localhost".to_owned()),
                (Info, "POL-15", "a.example".to_owned()),
            ]
        );
    }

    #[test]
    fn a_host_that_is_not_listed_fails_the_policy() {
        let enforce = body("enforce", 604_800, &["mx1.example.com", "old.example.com"]);
        let lint = lint_policy(enforce.as_bytes(), &hosts(&["mx1.example.com", "mx2.example.com"]));
        assert_eq!(lint.uncovered, hosts(&["mx2.example.com"]));
        assert!(lint.reading.usable() && !lint.passes());
        assert_eq!(
            told(&enforce, &["mx1.example.com", "mx2.example.com"]),
            [
                (Severity::Error, "POL-21", "old.example.com".to_owned()),
                (Severity::Info, "POL-22", "old.example.com".to_owned()),
            ]
        );
        let none = body("none", 60, &[]);
        assert!(lint_policy(none.as_bytes(), &hosts(&["mx1.example.com"])).passes(), "mode none lists nothing");
    }

    #[test]
    fn problems_of_the_parser_are_all_there() {
        let text = "version: STSv1\n\nMode: enforce\nmax_age: 1w\n";
        let reading = read_policy(text.as_bytes());
        let lint = lint_policy(text.as_bytes(), &hosts(&["mx.example.com"]));
        assert_eq!(lint.remarks.len(), reading.problems.len());
        for problem in &reading.problems {
            let same = |remark: &&Remark| remark.span == problem.span && remark.rule == problem.rule;
            assert_eq!(lint.remarks.iter().find(same).map(|remark| &remark.message), Some(&problem.message));
        }
        assert!(!lint.passes() && lint.uncovered.is_empty(), "nothing is said of hosts where there is no policy");
    }

    #[test]
    fn a_large_body_is_told() {
        let many: Vec<String> = (0..900).map(|number| format!("mx{number}.example.com")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let large = body("enforce", 604_800, &many);
        assert!(large.len() > SMALL_BODY);
        assert_eq!(told(&large, &[]), [(Severity::Warning, "FET-13", String::new())]);
        assert!(lint_policy(large.as_bytes(), &[]).passes());
        let larger = large.repeat(4);
        assert!(larger.len() > LARGEST_BODY);
        assert!(!lint_policy(larger.as_bytes(), &[]).passes());
    }

    #[test]
    fn a_flood_is_cut_and_the_worst_is_kept() {
        let same = vec!["mx.example.com"; 2000];
        let other: Vec<String> = (0..200).map(|number| format!("mx{number}.example.com")).collect();
        let other: Vec<&str> = other.iter().map(String::as_str).collect();
        let lint = lint_policy(body("enforce", 604_800, &same).as_bytes(), &hosts(&other));
        assert_eq!((lint.count(Severity::Info), lint.count(Severity::Error)), (KEPT, KEPT));
        assert_eq!(lint.uncovered.len(), 200, "for programs all are there");
    }

    proptest::proptest! {
        /// Whatever the bytes, the verdict is the parser's, and every place lies inside.
        #[test]
        fn any_bytes_are_judged_as_the_parser_does(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
            let lint = lint_policy(&body, &[]);
            proptest::prop_assert_eq!(lint.passes(), read_policy(&body).usable());
            for remark in &lint.remarks {
                proptest::prop_assert!(remark.span.start <= remark.span.end && remark.span.end <= body.len());
            }
        }

        /// The places are those of the values, whatever stands around them.
        #[test]
        fn places_are_those_of_the_values(blanks in "[ \t]{0,3}", end in "(\r)?\n", names in proptest::collection::vec("[a-z]{1,9}", 1..4)) {
            let mx: String = names.iter().map(|name| format!("mx:{blanks}*.{name}.example{blanks}{end}")).collect();
            let body = format!("version:{blanks}STSv1{end}{mx}mode:{blanks}testing{blanks}{end}max_age:{blanks}1{end}");
            let lint = lint_policy(body.as_bytes(), &[]);
            proptest::prop_assert!(lint.reading.usable(), "{:?}", lint.reading);
            for remark in lint.remarks.iter().filter(|remark| remark.rule.0 == "POL-20") {
                let marked = &body[remark.span.start..remark.span.end];
                proptest::prop_assert!(marked.starts_with("*.") && marked.ends_with(".example"), "{:?}", marked);
            }
            let age = lint.remarks.iter().find(|remark| remark.rule.0 == "POL-12").unwrap();
            proptest::prop_assert_eq!(&body[age.span.start..age.span.end], "1");
        }
    }
}
