//! Overview: what needs attention now, then certificates, modes, delivery and changes.

use super::{
    build::{BAD, Column, DELIVERY, Dashboard, GOOD, MODE, MUTED, Panel, QUIET, WARN, column},
    parts::{
        DAY, FIRING, GROUP, LIFE_ERROR, LIFE_WARNING, LONG_AGO, delivery, domains, hosts, in_group, life_left, mode,
        near_their_end, used_in_group,
    },
};

/// The groups of checks, as `smtptls_domain_check_passed` names them, with a heading.
const CHECKS: [(&str, &str); 8] = [
    ("dns", "DNS"),
    ("record", "Record"),
    ("policy", "Policy"),
    ("mx", "MX"),
    ("starttls", "STARTTLS"),
    ("certificate", "Certificate"),
    ("dane", "DANE"),
    ("tlsrpt", "TLSRPT"),
];

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "smtptls-overview",
        title: "SMTP TLS / Overview",
        description: "All domains: what needs attention now, certificates by time left, modes, delivery, changes.",
        variables: vec![GROUP],
        annotations: annotations(),
        rows: vec![
            ("Now", now()),
            ("Needs attention", vec![attention(), findings(), failures(), alerts()]),
            ("Certificates", certificates()),
            ("Modes and delivery", modes()),
            ("Changes", changes()),
        ],
        from: "now-24h",
    }
}

fn annotations() -> Vec<(&'static str, &'static str, String, &'static str)> {
    let changed = |metric: &str| format!("({}) * 1000", in_group(&format!("{metric}{{@}}")));
    vec![
        (
            "Policy changes",
            "purple",
            changed("smtptls_sts_policy_change_timestamp_seconds"),
            "{{domain}}: the policy changed",
        ),
        (
            "Record changes",
            "blue",
            changed("smtptls_sts_record_id_change_timestamp_seconds"),
            "{{domain}}: the id of the record changed",
        ),
        ("Alerts", "red", FIRING.to_owned(), "{{alertname}} {{domain}}{{mx}}"),
    ]
}

fn with_delivery(state: &str) -> String {
    domains(&in_group(&format!(r#"smtptls_domain_delivery{{@,state="{state}"}}"#)), "smtptls_domain_delivery")
}

/// Trouble from one on.
fn trouble(title: &'static str, description: &'static str, expr: String, colour: &'static str) -> Panel {
    Panel::stat(title, description, expr).unit("none").steps(&[(GOOD, 0.0), (colour, 1.0)])
}

fn now() -> Vec<Panel> {
    let dane = "smtptls_mx_dane_valid{@} == 0";
    vec![
        trouble(
            "Refused",
            "Domains with senders that deliver nothing: their mail waits and is returned.",
            with_delivery("blocked"),
            BAD,
        ),
        trouble(
            "Partly deliverable",
            "Domains with senders that are refused by some of the mail hosts, or that an attacker can steer to an open one.",
            with_delivery("partial"),
            WARN,
        ),
        trouble(
            "Errors",
            "Domains with a finding that is an error: conforming senders fail, ignore the policy, or lose its protection.",
            domains(&in_group(r#"smtptls_domain_findings{@,severity="error"} > 0"#), "smtptls_domain_findings"),
            BAD,
        ),
        trouble(
            "Certificates to renew",
            "Mail hosts with a certificate that has ended, or has less than a quarter of its life and less than 30 days left.",
            hosts(&used_in_group(&near_their_end("")), "smtptls_mx_certificate_not_after_timestamp_seconds"),
            WARN,
        ),
        trouble(
            "DANE mismatches",
            "Mail hosts with an address that presents none of the keys that their TLSA records name: senders that apply DANE do not deliver there.",
            hosts(&used_in_group(dane), "smtptls_mx_dane_valid"),
            BAD,
        ).nothing("no DANE"),
        trouble(
            "Not seen",
            "Domains of which too little could be looked at from here to say anything.",
            with_delivery("unknown"),
            "purple",
        ),
        Panel::stat(
            "This monitor sees",
            "Whether this monitor reaches port 25 and its resolver. While it does not, nothing is blamed on a domain.",
            "max(smtptls_vantage_smtp_blocked{@} + smtptls_vantage_dns_failing{@})",
        )
        .words(&[("0", "all it asks", GOOD), ("1", "not all", BAD), ("2", "nothing", BAD)]),
        Panel::stat(
            "Protected",
            "Domains that every sender who enforces MTA-STS or DANE delivers to securely and on all ways.",
            with_delivery("protected"),
        )
        .unit("none")
        .steps(&[(GOOD, 0.0)]),
    ]
}

/// Those domains that have an error or a warning.
fn attended(expr: &str) -> String {
    let listed =
        in_group(r#"sum by (job, instance, domain) (smtptls_domain_findings{@,severity=~"error|warning"}) > 0"#);
    format!("{expr} and on (domain) ({listed})")
}

fn check_column(check: &str, heading: &'static str) -> Column {
    column(heading, attended(&format!(r#"min by (domain) (smtptls_domain_check_passed{{@,check="{check}"}})"#)))
        .words(&[("0", "✗", BAD), ("1", "✓", GOOD)])
        .width(92)
}

fn attention() -> Panel {
    let ends = "min by (domain) (smtptls_domain_mx_info{@} * on (job, instance, mx) group_left () \
                min by (job, instance, mx) (smtptls_mx_certificate_not_after_timestamp_seconds{@})) - time()";
    let count =
        |severity: &str| attended(&format!(r#"max by (domain) (smtptls_domain_findings{{@,severity="{severity}"}})"#));
    let mut columns = vec![
        column("Delivery", attended(&delivery(""))).words(DELIVERY).width(150),
        column("Mode", attended(&mode(""))).words(MODE).width(100),
        column("Errors", count("error")).unit("none").steps(&[(MUTED, 0.0), (BAD, 1.0)]).width(75),
        column("Warnings", count("warning")).unit("none").steps(&[(MUTED, 0.0), (WARN, 1.0)]).width(90),
        column("First certificate ends in", attended(&format!("({ends})")))
            .unit("dtdurations")
            .decimals(1)
            .steps(&[(MUTED, 0.0), (BAD, LONG_AGO), (WARN, 3.0 * DAY), (GOOD, 14.0 * DAY)])
            .width(190),
    ];
    columns.extend(CHECKS.map(|(check, heading)| check_column(check, heading)));
    Panel::table(
        "Domains that need attention",
        "Every domain with an error or a warning, worst first. A check fails while an error of its group is active; an empty cell means that it does not apply or could not be looked at.",
        &[("domain", "Domain")],
        columns,
    )
    .link("Domain", "Show the domain", "smtptls-domain", "domain")
    .sorted("Delivery", false)
    .size(24, 11)
    .nothing("No domain needs attention")
}

fn findings() -> Panel {
    let of_domains = format!("count by (code) ({})", in_group(r#"smtptls_finding{@,severity=~"error|warning"}"#));
    let of_hosts = format!("count by (code) ({})", used_in_group("smtptls_mx_finding{@}"));
    Panel::table(
        "Findings",
        "What was found, with the number of domains (errors and warnings) and of mail hosts (all) that it was found on. docs/findings.md tells what each does to mail and how to mend it.",
        &[("code", "Finding")],
        vec![column("Domains", of_domains).unit("none").width(100), column("Mail hosts", of_hosts).unit("none").width(110)],
    )
    .size(8, 9)
    .nothing("Nothing was found")
}

fn failures() -> Panel {
    let hosts = format!("count by (result_type) ({})", used_in_group("smtptls_mx_failure{@}"));
    let policies = format!("count by (result_type) ({})", in_group("smtptls_sts_policy_fetch_failure{@}"));
    Panel::bars("Failures by result type", "Addresses of mail hosts and policy hosts that fail now, by the word that senders would report (RFC 8460 section 4.3).")
        .query(hosts, "{{result_type}}")
        .query(policies, "{{result_type}}")
        .unit("none")
        .nothing("Nothing fails")
        .size(8, 9)
}

fn alerts() -> Panel {
    Panel::table(
        "Alerts",
        "The alerts of this project that fire now. Job, instance and group do not choose here: an alert about an exporter that is gone has no instance.",
        &[("alertname", "Alert"), ("severity", "Severity")],
        vec![column("Firing", format!("count by (alertname, severity) ({FIRING})")).unit("none").width(80)],
    )
    .size(8, 9)
    .nothing("No alert fires")
}

/// The number of certificates of mail hosts between two times left, in days.
fn between(from: Option<f64>, to: Option<f64>) -> String {
    let left = "min by (mx, address) (smtptls_mx_certificate_not_after_timestamp_seconds{@}) - time()";
    let lower = from.map(|days| format!(" >= {}", days * DAY)).unwrap_or_default();
    let upper = to.map(|days| format!(" < {}", days * DAY)).unwrap_or_default();
    format!("count(({left}){lower}{upper}) or 0 * count(smtptls_mx_certificate_not_after_timestamp_seconds{{@}})")
}

fn certificates() -> Vec<Panel> {
    let horizon = Panel::bars(
        "Certificates by time left",
        "Addresses of mail hosts by the time that their certificate has left, whether or not it verifies.",
    )
    .query(between(None, Some(0.0)), "ended")
    .query(between(Some(0.0), Some(3.0)), "under 3 days")
    .query(between(Some(3.0), Some(14.0)), "3 to 14 days")
    .query(between(Some(14.0), Some(30.0)), "14 to 30 days")
    .query(between(Some(30.0), Some(90.0)), "30 to 90 days")
    .query(between(Some(90.0), None), "90 days and more")
    .colour("ended", BAD)
    .colour("under 3 days", BAD)
    .colour("3 to 14 days", WARN)
    .colour("14 to 30 days", "yellow")
    .colour("30 to 90 days", GOOD)
    .colour("90 days and more", GOOD)
    .unit("none")
    .size(8, 9);
    let first = |expr: &str| format!("bottomk(20, {expr})");
    let lives = |metric: &str| format!("min by (mx) ({})", used_in_group(metric));
    let hosts = Panel::table(
        "Mail hosts whose certificates end first",
        "The twenty mail hosts whose certificate ends first. Less than a quarter of its life left is a warning, less than a twelfth an error.",
        &[("mx", "Mail host")],
        vec![
            column("Ends in", first(&lives("smtptls_mx_certificate_not_after_timestamp_seconds{@} - time()")))
                .unit("dtdurations").decimals(1).steps(&[(MUTED, 0.0), (BAD, LONG_AGO), (WARN, 3.0 * DAY), (GOOD, 14.0 * DAY)]).width(150),
            column("Life left", first(&lives(&life_left(""))))
                .unit("percentunit").decimals(0).steps(&[(MUTED, 0.0), (BAD, LONG_AGO), (WARN, LIFE_ERROR), (GOOD, LIFE_WARNING)]).width(80),
        ],
    )
    .link("Mail host", "Show the mail host", "smtptls-mx", "mx")
    .sorted("Ends in", false)
    .size(8, 9);
    let policy = format!(
        "min by (domain) ({})",
        in_group("smtptls_sts_policy_certificate_not_after_timestamp_seconds{@} - time()")
    );
    let policy_hosts = Panel::table(
        "Policy hosts whose certificates end first",
        "The twenty policy hosts (mta-sts.DOMAIN) whose certificate ends first. Once it ends senders can fetch no policy.",
        &[("domain", "Domain")],
        vec![
            column("Ends in", first(&policy)).unit("dtdurations").decimals(1)
                .steps(&[(MUTED, 0.0), (BAD, LONG_AGO), (WARN, 3.0 * DAY), (GOOD, 14.0 * DAY)]).width(150),
        ],
    )
    .link("Domain", "Show the domain", "smtptls-domain", "domain")
    .sorted("Ends in", false)
    .nothing("No policy host was seen")
    .size(8, 9);
    vec![horizon, hosts, policy_hosts]
}

fn modes() -> Vec<Panel> {
    let with_mode = |mode: &str| {
        domains(&in_group(&format!(r#"smtptls_sts_policy_mode{{@,mode="{mode}"}}"#)), "smtptls_sts_policy_mode")
    };
    vec![
        Panel::stack("Domains by mode of the policy", "The mode of the policy that senders may hold.")
            .query(with_mode("enforce"), "enforce").colour("enforce", GOOD)
            .query(with_mode("testing"), "testing").colour("testing", QUIET)
            .query(with_mode("none"), "none").colour("none", "#8e8e8e")
            .query(with_mode("missing"), "no policy").colour("no policy", "#5f6368")
            .unit("none").size(8, 8),
        Panel::stack("Domains by delivery", "What happens to mail for the domains.")
            .query(with_delivery("blocked"), "refused").colour("refused", BAD)
            .query(with_delivery("partial"), "partly deliverable").colour("partly deliverable", WARN)
            .query(with_delivery("unknown"), "not seen").colour("not seen", "purple")
            .query(with_delivery("unprotected"), "not protected").colour("not protected", QUIET)
            .query(with_delivery("protected"), "protected").colour("protected", GOOD)
            .query(with_delivery("no-mail"), "takes no mail").colour("takes no mail", "#8e8e8e")
            .unit("none").size(8, 8),
        Panel::bars("In testing: what enforce still lacks", "Domains in mode testing for which the condition for mode enforce does not hold yet, or has no evidence yet.")
            .query(format!("count by (condition) ({})", in_group("smtptls_sts_enforce_condition{@} == 0")), "{{condition}}")
            .unit("none").nothing("No domain in testing lacks anything").size(8, 8),
    ]
}

fn changes() -> Vec<Panel> {
    let risen = |metric: &str| format!("sum({})", in_group(&format!("increase({metric}{{@}}[$__rate_interval])")));
    let last = |metric: &str| format!("topk(50, max by (domain) ({}) * 1000)", in_group(&format!("{metric}{{@}}")));
    vec![
        Panel::lines("Changes seen", "Changes of policies by meaning and of the ids of records. A policy that changes while its id does not is a fault.")
            .query(risen("smtptls_sts_policy_changes_total"), "policies")
            .query(risen("smtptls_sts_record_id_changes_total"), "ids of records")
            .unit("none").size(12, 9),
        Panel::table(
            "Latest changes",
            "When the policy of each domain last changed, and the id of its record. The id has to change with the policy.",
            &[("domain", "Domain")],
            vec![
                column("Policy changed", last("smtptls_sts_policy_change_timestamp_seconds")).unit("dateTimeAsIso").width(180),
                column("Id changed", last("smtptls_sts_record_id_change_timestamp_seconds")).unit("dateTimeAsIso").width(180),
                column("Id is stale", format!("max by (domain) ({})", in_group("smtptls_sts_policy_id_stale{@} == 1")))
                    .words(&[("1", "✗ stale", BAD)]).width(110),
            ],
        )
        .link("Domain", "Show the domain", "smtptls-domain", "domain")
        .sorted("Policy changed", true)
        .nothing("No change was seen")
        .size(12, 9),
    ]
}
