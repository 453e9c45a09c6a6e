//! What reporters tell of the domains: a report a day, as RFC 8460 §4 has it.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::{
    DemoError, hostile,
    picture::{Answer, Picture},
    stage::Stage,
    table::Row,
};
use crate::{
    facts::{Authentication, Provenance, Reporter as Proven, Transport},
    protocol::tls_rpt::read_report,
    store::{IncomingReport, ReportBatch},
    terms::{PolicyDomain, Timestamp},
};

/// For so many days there are reports: a failure is new only against a month without it.
const DAYS: u32 = 38;
/// So long after the end of its day a report arrives (RFC 8460 §4.1 lets senders spread them).
const DELAY: Duration = Duration::from_secs(3 * 3600);
const DAY: Duration = Duration::from_secs(86_400);
const DAY_SECONDS: i64 = 86_400;
/// The address from which every sender sends; one of those for documentation (RFC 5737).
const SENDER: &str = "192.0.2.17";
/// Of a hundred usual sessions so many come at a weekend.
const WEEKEND: u64 = 35;

/// Who reports.
#[derive(Clone, Copy, Debug)]
struct Reporter {
    organization: &'static str,
    domain: &'static str,
    /// Sessions on a usual day.
    sessions: u64,
}

/// The first of them is a large sender; the second learns of a new policy late.
const REPORTERS: [Reporter; 3] = [
    Reporter { organization: "Megamail Inc.", domain: "megamail.test", sessions: 900 },
    Reporter { organization: "Officepost", domain: "officepost.test", sessions: 420 },
    Reporter { organization: "Small ISP", domain: "smallisp.test", sessions: 60 },
];
/// The place in [`REPORTERS`] of the one that holds old policies.
const LAZY: usize = 1;
/// Who reports while the world runs, one after the other.
const LATE_REPORTERS: [&str; 4] = ["campus.test", "hoster.test", "townhall.test", "newspaper.test"];

/// A report with the name of its file (RFC 8460 §5.1).
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) file_name: String,
    pub(super) domain: &'static str,
    pub(super) reporter: &'static str,
    pub(super) json: String,
    /// When it comes.
    pub(super) arrives: Timestamp,
}

/// Every report that came, or could have come by now, the oldest first; the last day of each reporter apart: it comes in when the
/// monitor runs.
pub(super) fn so_far(rows: &[Row], stage: &Stage, now: Timestamp) -> (Vec<Report>, Vec<Report>) {
    let today = now.unix_seconds().div_euclid(DAY_SECONDS);
    let (mut before, mut last) = (Vec::new(), Vec::new());
    for back in (1..=i64::from(DAYS)).rev() {
        let reports = rows.iter().flat_map(|row| of_day(row, stage, today, back)).filter(|one| one.arrives <= now);
        if back == 1 { last.extend(reports) } else { before.extend(reports) }
    }
    last.push(hostile_report(today));
    (before, last)
}

/// Reports ready to be filed, by the day of their arrival, with the time of it.
///
/// # Errors
/// [`DemoError::World`] where a report of this world cannot be read.
pub(super) fn batches(reports: &[Report]) -> Result<Vec<(Timestamp, ReportBatch)>, DemoError> {
    let mut batches: Vec<(Timestamp, ReportBatch)> = Vec::new();
    let labels: BTreeSet<String> = REPORTERS.iter().map(|reporter| reporter.domain.to_owned()).collect();
    for one in reports {
        let wrong = |why: &dyn std::fmt::Display| DemoError::World(format!("{}: {why}", one.file_name));
        let report = read_report(one.json.as_bytes()).map_err(|refusal| wrong(&refusal.detail))?;
        let domain = PolicyDomain::parse(one.domain).map_err(|error| wrong(&error))?;
        let reporter = PolicyDomain::parse(one.reporter).map_err(|error| wrong(&error))?;
        let incoming = IncomingReport {
            shares: vec![(domain, report.policies.clone())],
            label: one.reporter.to_owned(),
            late: false,
            provenance: Provenance {
                transport: Transport::File,
                authentication: Authentication::None,
                reporter: Proven::Verified(reporter),
                arrived_at: one.arrives,
                source: one.file_name.clone(),
            },
            report,
        };
        match batches.last_mut() {
            Some((at, batch)) if *at == one.arrives => batch.reports.push(incoming),
            _ => {
                let batch = ReportBatch { reports: vec![incoming], labels: labels.clone(), ..ReportBatch::default() };
                batches.push((one.arrives, batch));
            }
        }
    }
    Ok(batches)
}

/// One more report about yesterday; `number`: how many came before it.
pub(super) fn one_more(rows: &[Row], stage: &Stage, number: usize, now: Timestamp) -> Option<Report> {
    let told: Vec<&Row> = rows.iter().filter(|row| row.now().is_some_and(|now| !now.tlsrpt.is_empty())).collect();
    let row = told.get(number.checked_rem(told.len())?)?;
    let domain = LATE_REPORTERS.get(number / told.len() % LATE_REPORTERS.len())?;
    let sessions = 20 + u64::try_from(number).ok()? % 17;
    let yesterday = now.unix_seconds().div_euclid(DAY_SECONDS) - 1;
    let reporter = Reporter { organization: domain, domain, sessions };
    let picture = row.now()?;
    let policies = json!([policy(picture, stage, sessions, &[])]);
    Some(written(picture.name, reporter, yesterday, &format!("{number}"), &policies))
}

/// What the reporters tell of one day of a domain, `back` days before today.
fn of_day(row: &Row, stage: &Stage, today: i64, back: i64) -> Vec<Report> {
    let day = today - back;
    let then = |days: i64| row.eras.iter().rev().find(|(from, _)| i64::from(*from) >= days).map(|(_, picture)| picture);
    let Some(picture) = then(back).filter(|picture| !picture.tlsrpt.is_empty()) else { return Vec::new() };
    let since = row.eras.last().map_or(0, |(from, _)| i64::from(*from));
    REPORTERS
        .into_iter()
        .enumerate()
        .map(|(place, reporter)| {
            let sessions = sessions_on(reporter, picture.name, day);
            let failing = row.failures.iter().filter(|failures| i64::from(failures.days) >= back);
            // An old policy is held by one sender; the others have learnt of the new one.
            let failing: Vec<_> = failing.filter(|failures| !failures.by_old_policy || place == LAZY).collect();
            let old = then(since + 1).filter(|_| failing.iter().any(|failures| failures.by_old_policy));
            let details: Vec<(&str, &str, u64)> = failing
                .iter()
                .map(|failures| (failures.result_type, failures.mx, sessions * failures.of_hundred / 100))
                .collect();
            let policies = json!([policy(old.unwrap_or(picture), stage, sessions, &details)]);
            written(picture.name, reporter, day, "001", &policies)
        })
        .collect()
}

/// More on some days than on others, and few at weekends.
fn sessions_on(reporter: Reporter, name: &str, day: i64) -> u64 {
    let spread = name.bytes().fold(day.unsigned_abs() * 31, |sum, letter| sum * 7 % 1009 + u64::from(letter)) % 40;
    // 1970-01-01 was a Thursday.
    let weekend = matches!(day.rem_euclid(7), 2 | 3);
    let usual = reporter.sessions * (80 + spread) / 100;
    if weekend { usual * WEEKEND / 100 } else { usual }
}

/// One element of `policies`.
fn policy(picture: &Picture, stage: &Stage, sessions: u64, failures: &[(&str, &str, u64)]) -> Value {
    let failed: u64 = failures.iter().map(|(.., sessions)| sessions).sum();
    let summary = json!({"total-successful-session-count": sessions - failed, "total-failure-session-count": failed});
    let details: Vec<Value> = failures
        .iter()
        .filter(|(.., sessions)| *sessions > 0)
        .map(|(result_type, mx, sessions)| match stage.addresses.of(mx) {
            Some(address) => json!({
                "result-type": result_type,
                "sending-mta-ip": SENDER,
                "receiving-mx-hostname": mx,
                "receiving-ip": address,
                "failed-session-count": sessions,
            }),
            None => json!({"result-type": result_type, "sending-mta-ip": SENDER, "failed-session-count": sessions}),
        })
        .collect();
    match details.is_empty() {
        true => json!({"policy": applied(picture), "summary": summary}),
        false => json!({"policy": applied(picture), "summary": summary, "failure-details": details}),
    }
}

/// The policy that a sender applies.
fn applied(picture: &Picture) -> Value {
    let pinned = picture.hosts.iter().any(|host| host.pinned.is_some());
    let served = picture.policy_host.as_ref().map(|host| &host.answer);
    match served {
        Some(Answer::Policy(body)) if body.contains("mode: enforce\n") || body.contains("mode: testing\n") => {
            let lines: Vec<&str> = body.lines().collect();
            let mx: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("mx: ")).collect();
            json!({"policy-type": "sts", "policy-domain": picture.name, "policy-string": lines, "mx-host": mx})
        }
        // A redirect is not followed: they still hold the policy of before, which they do not quote.
        Some(Answer::Redirect(_)) => json!({"policy-type": "sts", "policy-domain": picture.name}),
        _ if pinned => json!({"policy-type": "tlsa", "policy-domain": picture.name}),
        _ => json!({"policy-type": "no-policy-found", "policy-domain": picture.name}),
    }
}

fn written(domain: &'static str, reporter: Reporter, day: i64, unique: &str, policies: &Value) -> Report {
    let begin = Timestamp::from_unix_seconds(day * DAY_SECONDS);
    let end = Timestamp::from_unix_seconds((day + 1) * DAY_SECONDS - 1);
    let json = json!({
        "organization-name": reporter.organization,
        "date-range": {"start-datetime": begin.to_string(), "end-datetime": end.to_string()},
        "contact-info": format!("mailto:tls-reports@{}", reporter.domain),
        "report-id": format!("{}T{unique}-{domain}@{}", begin.unix_seconds(), reporter.domain),
        "policies": policies,
    });
    let (from, to) = (begin.unix_seconds(), end.unix_seconds());
    Report {
        file_name: format!("{}!{domain}!{from}!{to}!{unique}.json", reporter.domain),
        domain,
        reporter: reporter.domain,
        json: json.to_string(),
        arrives: begin + DAY + DELAY,
    }
}

/// A report in which every text is hostile.
fn hostile_report(today: i64) -> Report {
    let texts = format!("{}{}{}", hostile::IMAGE, hostile::SCRIPT, hostile::TERMINAL);
    let sender = Reporter { organization: hostile::SCRIPT, domain: "hostile-sender.test", sessions: 0 };
    let policies = json!([{
        "policy": {
            "policy-type": "sts",
            "policy-domain": "hostile.test",
            "policy-string": [texts, hostile::SCRIPT],
            "mx-host": [hostile::SCRIPT],
        },
        "summary": {"total-successful-session-count": 40, "total-failure-session-count": 3},
        "failure-details": [{
            "result-type": "validation-failure",
            "sending-mta-ip": "192.0.2.66",
            "receiving-mx-hostname": hostile::SCRIPT,
            "receiving-mx-helo": hostile::IMAGE,
            "failed-session-count": 3,
            "additional-information": format!("javascript:alert(1)//{}", hostile::IMAGE),
            "failure-reason-code": texts,
        }],
    }]);
    written("hostile.test", sender, today - 1, "001", &policies)
}
