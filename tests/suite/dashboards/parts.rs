//! Expressions and variables that several dashboards share.

use super::build::Variable;

/// The chosen group, for [`Variable`].
pub(super) const GROUP: Variable = Variable {
    name: "group",
    label: "Group",
    query: "label_values(smtptls_domain_info{@}, group)",
    // A domain without a group has an empty one.
    all: Some(".*"),
};

/// Where part 4 of the definitions begins to warn, of the life of a certificate.
pub(super) const LIFE_WARNING: f64 = 0.25;
/// Where it speaks of an error.
pub(super) const LIFE_ERROR: f64 = 1.0 / 12.0;
/// Seconds of a day.
pub(super) const DAY: f64 = 86_400.0;

/// Below every time left, so that what ended long ago has a colour and what is not known has none.
pub(super) const LONG_AGO: f64 = -1.0e12;

/// What is left of an expression about domains in the chosen groups.
pub(super) fn in_group(expr: &str) -> String {
    format!(r#"({expr}) and on (job, instance, domain) smtptls_domain_info{{@,group=~"$group"}}"#)
}

/// The same for mail hosts: those that a domain of the group uses.
pub(super) fn used_in_group(expr: &str) -> String {
    let hosts = in_group("smtptls_domain_mx_info{@}");
    format!("({expr}) and on (job, instance, mx) ({hosts})")
}

/// What is left of an expression about mail hosts for those of the one domain.
pub(super) fn of_domain(expr: &str) -> String {
    format!(r#"({expr}) and on (job, instance, mx) smtptls_domain_mx_info{{@,domain="$domain"}}"#)
}

/// How many domains an expression has series for; 0 only where the fact that it rests on is known of any. A domain that two
/// exporters watch counts once.
pub(super) fn domains(expr: &str, fact: &str) -> String {
    format!("count(count by (domain) ({expr})) or 0 * count({fact}{{@}})")
}

/// The same for mail hosts.
pub(super) fn hosts(expr: &str, fact: &str) -> String {
    format!("count(count by (mx) ({expr})) or 0 * count({fact}{{@}})")
}

/// A number for each state of delivery, worst first (definitions 1.5), by domain. Two exporters that differ: the worse.
pub(super) fn delivery(more: &str) -> String {
    let states = ["blocked", "partial", "unknown", "unprotected", "protected", "no-mail"];
    let ranks: Vec<String> = (1..)
        .zip(states)
        .map(|(rank, state)| format!(r#"{rank} * smtptls_domain_delivery{{@{more},state="{state}"}}"#))
        .collect();
    format!("min by (domain) ({})", ranks.join(" or "))
}

/// A number for each mode of a policy, by domain.
pub(super) fn mode(more: &str) -> String {
    let modes = ["none", "missing", "testing", "enforce"];
    let ranks: Vec<String> = (1..)
        .zip(modes)
        .map(|(rank, mode)| format!(r#"{rank} * smtptls_sts_policy_mode{{@{more},mode="{mode}"}}"#))
        .collect();
    format!("min by (domain) ({})", ranks.join(" or "))
}

/// Seconds until a point in time; below 0 once it is over.
pub(super) fn left(metric: &str, more: &str) -> String {
    format!("{metric}{{@{more}}} - time()")
}

/// How much of its life a certificate of a mail host has left, 0 to 1; below 0 once it ended.
pub(super) fn life_left(more: &str) -> String {
    let (end, start) = (
        format!("smtptls_mx_certificate_not_after_timestamp_seconds{{@{more}}}"),
        format!("smtptls_mx_certificate_not_before_timestamp_seconds{{@{more}}}"),
    );
    format!("({end} - time()) / ({end} - {start})")
}

/// The certificates of mail hosts that are near their end by part 4 of the definitions: a quarter of their life, 30 days at most.
pub(super) fn near_their_end(more: &str) -> String {
    let end = left("smtptls_mx_certificate_not_after_timestamp_seconds", more);
    format!("({}) < {LIFE_WARNING} and ({end}) < {}", life_left(more), 30.0 * DAY)
}

/// The alerts that are firing. An alert about an exporter that is gone has no instance: job and instance do not choose here.
pub(super) const FIRING: &str = r#"ALERTS{alertname=~"SMTPTLS.+",alertstate="firing"}"#;
