//! MX and certificates: mail hosts, each once, however many domains use them.

use super::{
    build::{BAD, Dashboard, EITHER, GOOD, MUTED, Panel, QUIET, TLS, Variable, WARN, YES_NO, column},
    parts::{DAY, FIRING, GROUP, LIFE_ERROR, LIFE_WARNING, LONG_AGO, hosts, left, life_left, near_their_end},
};

/// Chooses the mail hosts.
const CHOSEN: &str = r#",mx=~"$mx""#;

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "smtptls-mx",
        title: "SMTP TLS / MX and certificates",
        description: "Mail hosts and their addresses: certificates, TLS, DANE, failures, and the domains that they serve.",
        variables: vec![
            GROUP,
            Variable {
                name: "domain",
                label: "Domain",
                query: r#"label_values(smtptls_domain_info{@,group=~"$group"}, domain)"#,
                all: Some(".+"),
            },
            Variable {
                name: "mx",
                label: "Mail host",
                query: r#"label_values(smtptls_domain_mx_info{@,domain=~"$domain"}, mx)"#,
                all: Some(".+"),
            },
        ],
        annotations: vec![("Alerts", "red", FIRING.replace('}', r#",mx=~"$mx"}"#), "{{alertname}} {{mx}}")],
        rows: vec![
            ("Now", now()),
            ("Certificates", vec![certificates()]),
            ("What happened", happened()),
            ("What is wrong", wrong()),
            ("DANE", vec![dane(), dane_bands()]),
            ("TLS", tls()),
        ],
        from: "now-24h",
    }
}

fn of(metric: &str) -> String {
    format!("{metric}{{@{CHOSEN}}}")
}

/// Hosts of which a fact of an address is a trouble.
fn trouble(title: &'static str, description: &'static str, expr: &str, fact: &str, colour: &'static str) -> Panel {
    Panel::stat(title, description, hosts(expr, fact)).unit("none").steps(&[(GOOD, 0.0), (colour, 1.0)]).size(4, 4)
}

fn now() -> Vec<Panel> {
    vec![
        Panel::stat(
            "Mail hosts",
            "Mail hosts that the chosen domains use.",
            format!("count(count by (mx) ({}))", of("smtptls_mx_domains")),
        )
        .unit("none")
        .size(4, 4),
        trouble(
            "Without TLS",
            "Mail hosts with an address that finishes no handshake after STARTTLS, or is down.",
            &format!("{} == 0", of("smtptls_mx_starttls_success")),
            "smtptls_mx_starttls_success",
            BAD,
        ),
        trouble(
            "Not verified",
            "Mail hosts with an address whose certificate does not verify. Where DANE matches, or nothing is enforced, that harms nobody.",
            &format!("{} == 0", of("smtptls_mx_certificate_verified")),
            "smtptls_mx_certificate_verified",
            WARN,
        ),
        trouble(
            "Certificates to renew",
            "Mail hosts with a certificate that has ended, or has less than a quarter of its life and less than 30 days left.",
            &near_their_end(CHOSEN),
            "smtptls_mx_certificate_not_after_timestamp_seconds",
            WARN,
        ),
        trouble(
            "DANE mismatches",
            "Mail hosts with an address that presents none of the keys that their TLSA records name.",
            &format!("{} == 0", of("smtptls_mx_dane_valid")),
            "smtptls_mx_dane_valid",
            BAD,
        )
        .nothing("no DANE"),
        trouble(
            "Old TLS accepted",
            "Mail hosts that still negotiate TLS 1.0 or 1.1.",
            &format!("{} == 1", of("smtptls_mx_tls_legacy_accepted")),
            "smtptls_mx_tls_legacy_accepted",
            QUIET,
        )
        .nothing("not looked at"),
    ]
}

fn certificates() -> Panel {
    let by_address = |expr: &str| format!("max by (mx, address) ({expr})");
    // The domains that a host serves: the fact of each of its addresses.
    let domains = format!(
        "max by (mx, address) (0 * {} + on (job, instance, mx) group_left () {})",
        of("smtptls_mx_last_probe_timestamp_seconds"),
        of("smtptls_mx_domains")
    );
    let end = "smtptls_mx_certificate_not_after_timestamp_seconds";
    Panel::table(
        "Certificates by their end",
        "Every address, the certificate that ends first on top. Chain and name are judged apart from the dates. Life left: less than a quarter is a warning, less than a twelfth an error.",
        &[("mx", "Mail host"), ("address", "Address")],
        vec![
            column("Ends in", by_address(&left(end, CHOSEN))).unit("dtdurations").decimals(1)
                .steps(&[(MUTED, 0.0), (BAD, LONG_AGO), (WARN, 3.0 * DAY), (GOOD, 14.0 * DAY)]).width(170),
            column("Ends", by_address(&format!("{} * 1000", of(end)))).unit("dateTimeAsIso").width(170),
            column("Life left", by_address(&life_left(CHOSEN))).unit("percentunit").decimals(0)
                .steps(&[(MUTED, 0.0), (BAD, LONG_AGO), (WARN, LIFE_ERROR), (GOOD, LIFE_WARNING)]).width(90),
            column("Verified", by_address(&of("smtptls_mx_certificate_verified"))).words(YES_NO).width(90),
            column("Chain", by_address(&of("smtptls_mx_certificate_chain_valid"))).words(YES_NO).width(90),
            column("Name", by_address(&of("smtptls_mx_certificate_name_match"))).words(YES_NO).width(90),
            column("DANE", by_address(&of("smtptls_mx_dane_valid"))).words(&[("0", "✗ mismatch", BAD), ("1", "✓ match", GOOD)]).width(110),
            column("TLS done", by_address(&of("smtptls_mx_starttls_success"))).words(YES_NO).width(95),
            column("Failures in a row", by_address(&of("smtptls_mx_consecutive_failures"))).unit("none")
                .steps(&[(MUTED, 0.0), (WARN, 1.0), (BAD, 3.0)]).width(140),
            column("Domains", domains).unit("none").width(85),
        ],
    )
    .sorted("Ends in", false)
    .size(24, 11)
}

fn happened() -> Vec<Panel> {
    let state = format!(
        "min by (mx, address) ({} + {})",
        of("smtptls_mx_starttls_success"),
        of("smtptls_mx_certificate_verified")
    );
    vec![
        Panel::bands("TLS of each address", "How far TLS goes: no handshake, a certificate that does not verify, or all as MTA-STS asks. A gap: it could not be told from here.", TLS)
            .query(state, "{{mx}} {{address}}").size(24, 12),
    ]
}

fn wrong() -> Vec<Panel> {
    vec![
        Panel::table(
            "Findings",
            "What stands against each host. docs/findings.md says what each does to mail and how to mend it.",
            &[("mx", "Mail host"), ("code", "Finding")],
            vec![
                column(
                    "Domains",
                    format!(
                        "max by (mx, code) ({} * on (job, instance, mx) group_left () {})",
                        of("smtptls_mx_finding"),
                        of("smtptls_mx_domains")
                    ),
                )
                .unit("none")
                .width(90),
                column(
                    "Enforcing",
                    format!(
                        "max by (mx, code) ({} * on (job, instance, mx) group_left () {})",
                        of("smtptls_mx_finding"),
                        of("smtptls_mx_domains_enforcing")
                    ),
                )
                .unit("none")
                .steps(&[(MUTED, 0.0), (WARN, 1.0)])
                .width(100),
            ],
        )
        .sorted("Enforcing", true)
        .nothing("Nothing was found")
        .size(12, 9),
        Panel::stack(
            "Failing addresses by reason",
            "Addresses that fail, by the word that senders would report (RFC 8460 section 4.3).",
        )
        .query(format!("count by (result_type) ({})", of("smtptls_mx_failure")), "{{result_type}}")
        .unit("none")
        .nothing("No address fails")
        .size(12, 9),
    ]
}

fn dane() -> Panel {
    let by_host = |expr: &str| format!("max by (mx) ({expr})");
    let tlsa = |metric: &str| {
        by_host(&format!("{} and on (job, instance, mx) {} > 0", of(metric), of("smtptls_mx_tlsa_records")))
    };
    let signature = format!(
        r#"min by (mx) (({}) and on (job, instance, mx) {} > 0)"#,
        left("smtptls_mx_dnssec_signature_expiry_timestamp_seconds", r#",mx=~"$mx",record="tlsa""#),
        of("smtptls_mx_tlsa_records")
    );
    Panel::table(
        "Hosts with TLSA records",
        "Records, how many of them are secure and usable, and whether a record for another key stands ready for the next change of the key.",
        &[("mx", "Mail host")],
        vec![
            column("Records", tlsa("smtptls_mx_tlsa_records")).unit("none").width(90),
            column("Usable", tlsa("smtptls_mx_tlsa_usable_records")).unit("none").steps(&[(WARN, 0.0), (GOOD, 1.0)]).width(90),
            column("Secure", tlsa("smtptls_mx_tlsa_secure")).words(YES_NO).width(90),
            column("Valid", tlsa("smtptls_mx_dane_valid").replace("max by", "min by")).words(YES_NO).width(90),
            column("Rollover ready", tlsa("smtptls_mx_dane_rollover_prepared")).words(EITHER).width(125),
            column("Signature ends in", signature).unit("dtdurations").decimals(1).steps(&[(MUTED, 0.0), (BAD, LONG_AGO), (WARN, DAY), (GOOD, 3.0 * DAY)]).width(165),
            column("TTL", tlsa("smtptls_mx_tlsa_ttl_seconds")).unit("dtdurations").width(110),
        ],
    )
    .nothing("No mail host has TLSA records")
    .size(16, 9)
}

fn dane_bands() -> Panel {
    Panel::bands(
        "DANE over time",
        "Whether each address presents what the TLSA records ask for.",
        &[("0", "mismatch", BAD), ("1", "match", GOOD)],
    )
    .query(format!("min by (mx, address) ({})", of("smtptls_mx_dane_valid")), "{{mx}} {{address}}")
    .nothing("No mail host has secure usable TLSA records")
    .size(8, 9)
}

fn tls() -> Vec<Panel> {
    vec![
        Panel::bars("TLS versions", "Addresses by the version of TLS that was negotiated.")
            .query(format!("count by (version) ({})", of("smtptls_mx_tls_info")), "TLS {{version}}").unit("none").size(6, 8),
        Panel::bars("Cipher suites", "Addresses by the cipher suite that was negotiated.")
            .query(format!("count by (cipher) ({})", of("smtptls_mx_tls_info")), "{{cipher}}").unit("none").size(9, 8),
        Panel::bars("Domains served", "The twenty mail hosts that serve most of the domains.")
            .query(format!("topk(20, max by (mx) ({}))", of("smtptls_mx_domains")), "{{mx}}").unit("none").size(9, 8),
        Panel::lines("Phases of a probe", "Time of each phase of the last probes, the mean over the chosen addresses. Exported with metrics.level: full alone.")
            .query(format!("avg by (phase) ({})", of("smtptls_mx_probe_phase_seconds")), "{{phase}}").unit("s")
            .nothing("Only with metrics.level: full").size(24, 6),
    ]
}
