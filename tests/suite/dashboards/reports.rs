//! TLS reports: what senders say of the domains (RFC 8460).

use super::{
    build::{BAD, Dashboard, GOOD, MUTED, Panel, QUIET, Variable, WARN, column},
    parts::{DAY, FIRING, GROUP},
};

/// Chooses the domains.
const CHOSEN: &str = r#",domain=~"$domain""#;

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "smtptls-reports",
        title: "SMTP TLS / TLS reports",
        description: "What senders report: sessions, failures and their reasons, who reports, and which reports were not taken. Needs a configured source of reports.",
        variables: vec![
            GROUP,
            Variable {
                name: "domain",
                label: "Domain",
                query: r#"label_values(smtptls_domain_info{@,group=~"$group"}, domain)"#,
                all: Some(".+"),
            },
        ],
        annotations: vec![(
            "Alerts",
            "red",
            FIRING.replace("SMTPTLS.+", "SMTPTLSReport.+"),
            "{{alertname}} {{domain}}",
        )],
        rows: vec![
            ("In the time range", summary()),
            ("Domains", vec![domains()]),
            ("Over time", history()),
            ("Who reports", reporters()),
            ("Reception", reception()),
        ],
        from: "now-30d",
    }
}

/// How much a counter of the chosen domains rose in the time range.
fn risen(metric: &str, more: &str) -> String {
    format!("increase({metric}{{@{CHOSEN}{more}}}[$__range])")
}

/// The share of failed sessions, of those domains that had any.
fn share(by: &str, failed: &str, all: &str) -> String {
    format!("sum by ({by}) ({failed}) / (sum by ({by}) ({all}) > 0)")
}

const NONE: &str = "no reports";

fn summary() -> Vec<Panel> {
    let sessions = |policy: &str| {
        format!("sum({})", risen("smtptls_tlsrpt_sessions_total", &format!(r#",policy_type="{policy}""#)))
    };
    let failures = |policy: &str| {
        let more = format!(r#",policy_type="{policy}""#);
        format!(
            "sum({}) / (sum({}) > 0)",
            risen("smtptls_tlsrpt_failed_sessions_total", &more),
            risen("smtptls_tlsrpt_sessions_total", &more)
        )
    };
    let many = |title, description, policy| {
        Panel::stat(title, description, sessions(policy)).unit("locale").decimals(0).nothing(NONE).size(4, 4)
    };
    let failing = |title, description, policy| {
        Panel::stat(title, description, failures(policy))
            .unit("percentunit")
            .decimals(2)
            .steps(&[(GOOD, 0.0), (WARN, 0.001), (BAD, 0.05)])
            .nothing(NONE)
            .size(4, 4)
    };
    vec![
        many(
            "Sessions, MTA-STS",
            "Sessions that senders report under an MTA-STS policy. One session can stand under two types of policy: types are never added up.",
            "sts",
        ),
        failing("Failed, MTA-STS", "Share of the sessions under an MTA-STS policy that failed.", "sts"),
        many("Sessions, DANE", "Sessions that senders report under TLSA records.", "tlsa"),
        failing("Failed, DANE", "Share of the sessions under TLSA records that failed.", "tlsa"),
        many("Sessions without a policy", "Sessions of senders that found no policy.", "no-policy-found"),
        Panel::stat(
            "Latest report",
            "When the latest report came.",
            format!("max(smtptls_tlsrpt_last_report_timestamp_seconds{{@{CHOSEN}}}) * 1000"),
        )
        .unit("dateTimeFromNow")
        .nothing(NONE)
        .size(4, 4),
    ]
}

fn domains() -> Panel {
    let failed = risen("smtptls_tlsrpt_failed_sessions_total", r#",policy_type=~"sts|tlsa""#);
    let all = risen("smtptls_tlsrpt_sessions_total", r#",policy_type=~"sts|tlsa""#);
    Panel::table(
        "Domains by failed sessions",
        "Sessions under a policy in the time range, by domain and type of policy. The newest day covered: the end of the latest report.",
        &[("domain", "Domain"), ("policy_type", "Policy")],
        vec![
            column("Sessions", format!("sum by (domain, policy_type) ({all})")).unit("locale").decimals(0).width(120),
            column("Failed", format!("sum by (domain, policy_type) ({failed})")).unit("locale").decimals(0).steps(&[(MUTED, 0.0), (WARN, 1.0)]).width(120),
            column("Share", share("domain, policy_type", &failed, &all)).unit("percentunit").decimals(2)
                .steps(&[(GOOD, 0.0), (WARN, 0.001), (BAD, 0.05)]).width(120),
        ],
    )
    .link("Domain", "Show the domain", "smtptls-domain", "domain")
    .sorted("Failed", true)
    .nothing(NONE)
    .size(24, 9)
}

fn history() -> Vec<Panel> {
    // Reports come once a day: a shorter window would show combs.
    let day = |metric: &str, by: &str| format!("sum by ({by}) (increase({metric}{{@{CHOSEN}}}[1d]))");
    vec![
        Panel::lines("Sessions a day by type of policy", "Sessions of the last 24 hours' reports. Types overlap and are never added up.")
            .query(day("smtptls_tlsrpt_sessions_total", "policy_type"), "{{policy_type}}").nothing(NONE).size(12, 9),
        Panel::lines("Share of failed sessions", "Failed sessions of all, by type of policy, over the last 24 hours' reports.")
            .query(
                format!("{} / ({} > 0)", day("smtptls_tlsrpt_failed_sessions_total", "policy_type"), day("smtptls_tlsrpt_sessions_total", "policy_type")),
                "{{policy_type}}",
            ).unit("percentunit").nothing(NONE).size(12, 9),
        Panel::stack("Failures a day by result type", "Why sessions failed, by the words of RFC 8460 section 4.3. Details need not add up to the failed sessions.")
            .query(day("smtptls_tlsrpt_failure_details_total", "result_type"), "{{result_type}}").nothing("No failure was reported").size(24, 9),
    ]
}

fn reporters() -> Vec<Panel> {
    let failed = risen("smtptls_tlsrpt_reporter_failed_sessions_total", "");
    let all = risen("smtptls_tlsrpt_reporter_sessions_total", "");
    vec![
        Panel::table(
            "Reporters",
            "Who reports: the largest verified reporters, unverified ones together, and all others.",
            &[("reporter", "Reporter")],
            vec![
                column("Sessions", format!("sum by (reporter) ({all})")).unit("locale").decimals(0).width(110),
                column("Failed", format!("sum by (reporter) ({failed})")).unit("locale").decimals(0).steps(&[(MUTED, 0.0), (WARN, 1.0)]).width(110),
                column("Share", share("reporter", &failed, &all)).unit("percentunit").decimals(2)
                    .steps(&[(GOOD, 0.0), (WARN, 0.001), (BAD, 0.05)]).width(110),
            ],
        ).sorted("Sessions", true).nothing(NONE).size(12, 9),
        Panel::table(
            "Silence",
            "How long ago the latest report of each domain came, and how long ago the time that it covers ended. A domain that had reports and has none for days should look at its TLSRPT record.",
            &[("domain", "Domain")],
            vec![
                column("Last report came", format!("time() - max by (domain) (smtptls_tlsrpt_last_report_timestamp_seconds{{@{CHOSEN}}})"))
                    .unit("dtdurations").decimals(1).steps(&[(GOOD, 0.0), (WARN, 3.0 * DAY)]).width(170),
                column("Covered time ended", format!("time() - max by (domain) (smtptls_tlsrpt_last_report_end_timestamp_seconds{{@{CHOSEN}}})"))
                    .unit("dtdurations").decimals(1).steps(&[(GOOD, 0.0), (WARN, 3.0 * DAY)]).width(180),
            ],
        ).link("Domain", "Show the domain", "smtptls-domain", "domain").sorted("Last report came", true).nothing(NONE).size(12, 9),
    ]
}

fn reception() -> Vec<Panel> {
    let day = |metric: &str| format!("increase({metric}{{@}}[1d])");
    vec![
        Panel::stack("Reports a day", "Reports that were taken, by the way that they came.")
            .query(format!("sum by (transport) ({})", day("smtptls_tlsrpt_reports_total")), "{{transport}}").unit("none").nothing(NONE).size(8, 8),
        Panel::stack("Not taken", "Reports that were rejected, by the reason.")
            .query(format!("sum by (reason) ({})", day("smtptls_tlsrpt_reports_rejected_total")), "{{reason}}").colour("too-large", QUIET)
            .unit("none").nothing("None was rejected").size(8, 8),
        Panel::lines("Peculiar", "Reports that came twice, or so late that they are stored and not counted; and reports that were taken though they do not follow the specification.")
            .query(format!("sum({})", day("smtptls_tlsrpt_reports_duplicate_total")), "duplicate")
            .query(format!("sum({})", day("smtptls_tlsrpt_reports_late_total")), "late")
            .query(format!("sum by (quirk) ({})", day("smtptls_tlsrpt_report_quirks_total")), "{{quirk}}").unit("none").nothing(NONE).size(8, 8),
    ]
}
