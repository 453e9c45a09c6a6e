//! Domain: one domain as `check` tells it, with time added.

use super::{
    build::{BAD, DELIVERY, Dashboard, EITHER, GOOD, MODE, MUTED, Panel, QUIET, Variable, WARN, YES_NO, column},
    parts::{DAY, FIRING, GROUP, LONG_AGO, delivery, left, mode, of_domain},
};

/// Chooses the one domain.
const ONE: &str = r#",domain="$domain""#;

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "smtptls-domain",
        title: "SMTP TLS / Domain",
        description: "One domain: what happens to its mail, what is wrong, its hosts, its record and policy, what senders may still hold, and what changed.",
        variables: vec![
            GROUP,
            Variable {
                name: "domain",
                label: "Domain",
                query: r#"label_values(smtptls_domain_info{@,group=~"$group"}, domain)"#,
                all: None,
            },
        ],
        annotations: vec![
            (
                "Policy changes",
                "purple",
                format!("smtptls_sts_policy_change_timestamp_seconds{{@{ONE}}} * 1000"),
                "The policy changed",
            ),
            (
                "Record changes",
                "blue",
                format!("smtptls_sts_record_id_change_timestamp_seconds{{@{ONE}}} * 1000"),
                "The id of the record changed",
            ),
            ("Alerts", "red", FIRING.replace('}', r#",domain="$domain"}"#), "{{alertname}}"),
        ],
        rows: vec![
            ("Now", now()),
            ("What is wrong", wrong()),
            ("Mail hosts", vec![hosts()]),
            ("What happened", happened()),
            ("Record and policy", record()),
            ("What senders may hold", caches()),
            ("Ready for enforce", enforce()),
            ("DNSSEC and TLSRPT", rest()),
        ],
        from: "now-24h",
    }
}

/// A number about the domain.
fn fact(metric: &str) -> String {
    format!("max({metric}{{@{ONE}}})")
}

/// A point in time, in the milliseconds that Grafana wants.
fn moment(metric: &str) -> String {
    format!("max({metric}{{@{ONE}}}) * 1000")
}

fn now() -> Vec<Panel> {
    let count = |severity: &str| format!(r#"max(smtptls_domain_findings{{@{ONE},severity="{severity}"}})"#);
    vec![
        Panel::stat("Delivery", "What happens to mail for the domain.", delivery(ONE)).words(DELIVERY).size(4, 4),
        Panel::stat("Mode", "Mode of the last usable policy while senders may hold it.", mode(ONE))
            .words(MODE)
            .size(3, 4),
        Panel::stat(
            "Errors",
            "Findings that are errors: conforming senders fail, ignore the policy, or lose its protection.",
            count("error"),
        )
        .unit("none")
        .steps(&[(GOOD, 0.0), (BAD, 1.0)])
        .size(2, 4),
        Panel::stat("Warnings", "Findings that will become errors, or that some senders fail at.", count("warning"))
            .unit("none")
            .steps(&[(GOOD, 0.0), (WARN, 1.0)])
            .size(2, 4),
        Panel::stat(
            "First certificate ends in",
            "The certificate of a mail host that ends first.",
            format!("min({})", of_domain(&left("smtptls_mx_certificate_not_after_timestamp_seconds", ""))),
        )
        .unit("dtdurations")
        .decimals(1)
        .steps(&[(MUTED, 0.0), (BAD, LONG_AGO), (WARN, 3.0 * DAY), (GOOD, 14.0 * DAY)])
        .nothing("none seen")
        .size(4, 4),
        Panel::stat(
            "Policy host's certificate ends in",
            "The certificate of the policy host. Once it ends, senders can fetch no policy.",
            format!("min({})", left("smtptls_sts_policy_certificate_not_after_timestamp_seconds", ONE)),
        )
        .unit("dtdurations")
        .decimals(1)
        .steps(&[(MUTED, 0.0), (BAD, LONG_AGO), (WARN, 3.0 * DAY), (GOOD, 14.0 * DAY)])
        .nothing("none seen")
        .size(5, 4),
        Panel::stat(
            "Last looked at",
            "When the last probe of the domain began.",
            moment("smtptls_domain_last_probe_timestamp_seconds"),
        )
        .unit("dateTimeFromNow")
        .size(4, 4),
    ]
}

fn wrong() -> Vec<Panel> {
    let about_hosts = format!("max by (mx, code) ({})", of_domain("smtptls_mx_finding{@}"));
    vec![
        Panel::table(
            "Findings about the domain",
            "What stands against the domain, its policy host and its TLSRPT record. docs/findings.md says what each does to mail and how to mend it.",
            &[("code", "Finding"), ("severity", "Severity")],
            vec![column("Active", format!("max by (code, severity) (smtptls_finding{{@{ONE}}})")).words(EITHER).width(80)],
        ).nothing("Nothing was found").size(8, 7),
        Panel::table(
            "Findings about its mail hosts",
            "What stands against the hosts, for this domain or for another one that uses them.",
            &[("mx", "Mail host"), ("code", "Finding")],
            vec![column("Active", about_hosts).words(EITHER).width(80)],
        ).link("Mail host", "Show the mail host", "smtptls-mx", "mx").nothing("Nothing was found").size(8, 7),
        Panel::table(
            "Ways to the domain",
            "Addresses of its mail hosts by what a sender of each kind does there: deliver securely, deliver without being sure, not deliver, or it cannot be told.",
            &[("sender", "Sender")],
            [("secure", "Secure", GOOD), ("open", "Open", QUIET), ("refused", "Refused", BAD), ("cannot-tell", "Cannot tell", "purple")]
                .map(|(outcome, heading, colour)| {
                    column(heading, format!(r#"max by (sender) (smtptls_domain_paths{{@{ONE},outcome="{outcome}"}})"#))
                        .unit("none").steps(&[(MUTED, 0.0), (colour, 1.0)]).width(95)
                }).into(),
        ).size(8, 7),
    ]
}

fn hosts() -> Panel {
    let by_address = |metric: &str| format!("max by (mx, address) ({})", of_domain(metric));
    let ends = by_address(&left("smtptls_mx_certificate_not_after_timestamp_seconds", ""));
    // The policy covers the host: the fact of each of its addresses.
    let in_policy = format!(
        "max by (mx, address) (0 * smtptls_mx_last_probe_timestamp_seconds{{@}} + on (job, instance, mx) group_left () smtptls_mx_in_policy{{@{ONE}}})"
    );
    Panel::table(
        "Mail hosts",
        "Each address of each mail host. In policy: whether an mx line of the policy in force covers the host; empty without one. DANE: empty where the host has no secure TLSA record that can be used.",
        &[("mx", "Mail host"), ("address", "Address")],
        vec![
            column("Last looked at", by_address("smtptls_mx_last_probe_timestamp_seconds{@} * 1000")).unit("dateTimeFromNow").width(150),
            column("In policy", in_policy).words(YES_NO).width(100),
            column("TLS", by_address("smtptls_mx_starttls_success{@}")).words(YES_NO).width(90),
            column("Certificate verified", by_address("smtptls_mx_certificate_verified{@}")).words(YES_NO).width(160),
            column("DANE", by_address("smtptls_mx_dane_valid{@}")).words(&[("0", "✗ mismatch", BAD), ("1", "✓ match", GOOD)]).width(110),
            column("Certificate ends in", ends).unit("dtdurations").decimals(1)
                .steps(&[(MUTED, 0.0), (BAD, LONG_AGO), (WARN, 3.0 * DAY), (GOOD, 14.0 * DAY)]).width(180),
            column("Failures in a row", by_address("smtptls_mx_consecutive_failures{@}")).unit("none")
                .steps(&[(MUTED, 0.0), (WARN, 1.0), (BAD, 3.0)]).width(140),
        ],
    )
    .link("Mail host", "Show the mail host", "smtptls-mx", "mx")
    .nothing("No mail host is known")
    .size(24, 7)
}

fn happened() -> Vec<Panel> {
    vec![
        Panel::bands("Delivery", "What happened to mail for the domain.", DELIVERY)
            .query(delivery(ONE), "delivery")
            .size(24, 4),
        Panel::bands("Mode", "Mode of the policy that senders may hold.", MODE).query(mode(ONE), "mode").size(24, 4),
        Panel::bands(
            "Checks",
            "Groups of checks: a group fails while an error of it is active.",
            &[("0", "fails", BAD), ("1", "passes", GOOD)],
        )
        .query(format!("min by (check) (smtptls_domain_check_passed{{@{ONE}}})"), "{{check}}")
        .size(24, 8),
    ]
}

fn record() -> Vec<Panel> {
    vec![
        Panel::stat("Record", "Whether _mta-sts.DOMAIN has a record by the last answer.", fact("smtptls_sts_record_present")).words(&[("0", "none", MUTED), ("1", "present", GOOD)]).size(3, 4),
        Panel::stat("Record valid", "Whether the record follows the grammar of RFC 8461.", fact("smtptls_sts_record_valid")).words(YES_NO).nothing("–").size(3, 4),
        Panel::stat("Policy fetched", "Whether a usable policy can be fetched as RFC 8461 asks.", fact("smtptls_sts_policy_fetch_success")).words(YES_NO).nothing("–").size(3, 4),
        Panel::stat("HTTP status", "Status code of the policy host's answer; 0 where none came.", fact("smtptls_sts_policy_http_status_code"))
            .unit("none").steps(&[(BAD, 0.0), (GOOD, 200.0), (BAD, 201.0)]).nothing("–").size(3, 4),
        Panel::stat("max_age", "How long senders hold the policy after they last saw it.", fact("smtptls_sts_policy_max_age_seconds"))
            .unit("dtdurations").decimals(1).steps(&[(WARN, 0.0), (GOOD, DAY)]).nothing("–").size(3, 4),
        Panel::stat("Unused mx lines", "Lines of the policy that match no MX of today.", fact("smtptls_sts_policy_mx_patterns_unused"))
            .unit("none").nothing("–").size(3, 4),
        Panel::stat("Id is stale", "Whether the policy changed, the id did not, and the time for an orderly publication is over: senders may keep the old policy without end.",
            fact("smtptls_sts_policy_id_stale")).words(&[("0", "✓ no", GOOD), ("1", "✗ yes", BAD)]).nothing("–").size(3, 4),
        Panel::stat("Safe to remove", "From when record and policy may go without loss of mail. Only while the policy is withdrawn in order: mode none under a new id.",
            moment("smtptls_sts_policy_safe_to_remove_timestamp_seconds")).unit("dateTimeFromNow").nothing("–").size(3, 4),
        Panel::bands("Id of the record", "Which id the record had.", &[("1", "announced", QUIET)])
            .query(format!("max by (id) (smtptls_sts_record_info{{@{ONE}}})"), "{{id}}").nothing("No usable record").size(12, 5),
        Panel::bands("Fetch of the policy", "Why the policy could not be fetched, by the word that senders would report.", &[("1", "fails", BAD)])
            .query(format!("max by (result_type) (smtptls_sts_policy_fetch_failure{{@{ONE}}})"), "{{result_type}}")
            .nothing("The fetch did not fail").size(12, 5),
    ]
}

fn caches() -> Vec<Panel> {
    let time = |title, description, metric: &str| {
        Panel::stat(title, description, moment(metric)).unit("dateTimeFromNow").nothing("–").size(4, 4)
    };
    vec![
        Panel::stat("Protected for, if renewal stops", "How long until the first senders that refresh daily lose the policy in enforce, if nothing renews it from now on.",
            format!("min({})", left("smtptls_sts_policy_protected_until_timestamp_seconds", ONE)))
            .unit("dtdurations").decimals(1).steps(&[(MUTED, 0.0), (BAD, LONG_AGO), (WARN, DAY), (GOOD, 3.0 * DAY)]).nothing("–").size(4, 4),
        time("Last cache ends", "Latest expiry of any policy in enforce in a conforming sender's cache.", "smtptls_sts_policy_cache_expiry_timestamp_seconds"),
        time("In this mode since", "First observation of the policy in its present mode.", "smtptls_sts_policy_mode_since_timestamp_seconds"),
        time("Policy last fetched", "When a usable policy was last fetched.", "smtptls_sts_policy_last_success_timestamp_seconds"),
        time("Policy last changed", "When the last change of the policy by meaning was seen.", "smtptls_sts_policy_change_timestamp_seconds"),
        time("Id last changed", "When the last change of the id of the record was seen.", "smtptls_sts_record_id_change_timestamp_seconds"),
    ]
}

fn enforce() -> Vec<Panel> {
    vec![
        Panel::stat("Ready for enforce", "Whether every required condition holds for mode enforce.", fact("smtptls_sts_enforce_ready"))
            .words(&[("0", "not yet", WARN), ("1", "✓ ready", GOOD)]).nothing("not in testing").size(4, 8),
        Panel::bands("Conditions for enforce", "Each condition over time: one whose evidence is missing does not hold. max-age-suitable is advice, the others are required.",
            &[("0", "not yet", WARN), ("1", "holds", GOOD)])
            .query(format!("min by (condition) (smtptls_sts_enforce_condition{{@{ONE}}})"), "{{condition}}")
            .nothing("The policy is not in mode testing").size(20, 8),
    ]
}

fn reported(metric: &str) -> String {
    format!("sum by (policy_type) (increase({metric}{{@{ONE}}}[1d]))")
}

fn rest() -> Vec<Panel> {
    vec![
        Panel::table(
            "DNSSEC",
            "Whether the answers for MX, _mta-sts and TLSRPT are validated. Not secure is no fault by itself; DANE needs it.",
            &[("record", "Answer")],
            vec![
                column("Secure", format!("min by (record) (smtptls_dnssec_secure{{@{ONE}}})")).words(EITHER).width(90),
                column("First signature ends in", format!("min by (record) ({})", left("smtptls_dnssec_signature_expiry_timestamp_seconds", ONE)))
                    .unit("dtdurations").decimals(1).steps(&[(MUTED, 0.0), (BAD, LONG_AGO), (WARN, DAY), (GOOD, 3.0 * DAY)]).width(190),
            ],
        ).nothing("DNSSEC cannot be seen from here").size(10, 6),
        Panel::stat("TLSRPT record", "Whether _smtp._tls.DOMAIN has a record: senders that fail report there.", fact("smtptls_tlsrpt_record_present"))
            .words(&[("0", "none", WARN), ("1", "present", GOOD)]).size(4, 6),
        Panel::stat("TLSRPT valid", "Whether the TLSRPT record follows the grammar of RFC 8460.", fact("smtptls_tlsrpt_record_valid")).words(YES_NO).nothing("–").size(4, 6),
        Panel::bars("Report destinations", "How many destinations of each kind the record names.")
            .query(format!("max by (scheme) (smtptls_tlsrpt_record_destinations{{@{ONE}}})"), "{{scheme}}").unit("none").nothing("no record").size(6, 6),
        Panel::lines("Sessions that senders report", "Sessions of the last 24 hours' reports by type of policy, and the failed ones among them. Needs a configured source of reports.")
            .query(reported("smtptls_tlsrpt_sessions_total"), "{{policy_type}}")
            .query(reported("smtptls_tlsrpt_failed_sessions_total"), "{{policy_type}} failed")
            .nothing("no reports").size(24, 7),
    ]
}
