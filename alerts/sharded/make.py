#!/usr/bin/env python3
"""Writes the rule files of this folder: the shipped rules for instances that share one fleet.

    alerts/sharded/make.py            writes them
    alerts/sharded/make.py --check    fails where they differ from what it would write

A domain moves from one instance to another, and a mail host is looked at by every instance whose domains use it. So nothing here knows
an instance: each metric is first brought together over all of them, the worst view first, and what was there five minutes ago still
counts. A take-over then ends no alert and begins none, and what two instances say is said once.
"""
import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).parent
FILES = ["records", "mx", "domain", "reports"]
# What tells instances and parts of one instance apart, by Prometheus and by its operator.
OF_ONE = "instance, pod, node, part"
# Longer than an instance is missed before its domains are taken over (shard.lease, a rest and a scrape).
BRIDGE = "5m"

# Which value holds where two instances differ. The worse one, but for what one of them may fail to see: a host that one reached is up.
WORST_IS_LEAST = {
    "smtptls_sts_policy_fetch_success", "smtptls_sts_record_present", "smtptls_domain_expectation_met", "smtptls_mx_in_policy",
    "smtptls_mx_dane_valid", "smtptls_sts_policy_protected_until_timestamp_seconds",
    "smtptls_sts_policy_certificate_not_after_timestamp_seconds", "smtptls_mx_certificate_not_after_timestamp_seconds",
    "smtptls_mx_dnssec_signature_expiry_timestamp_seconds",
}
WORST_IS_MOST = {
    "smtptls_domain_delivery", "smtptls_domain_findings", "smtptls_domain_mx_info", "smtptls_sts_policy_mode", "smtptls_sts_policy_id_stale",
    "smtptls_sts_policy_certificate_not_before_timestamp_seconds", "smtptls_mx_certificate_not_before_timestamp_seconds",
    "smtptls_mx_finding", "smtptls_mx_starttls_success", "smtptls_tlsrpt_last_report_timestamp_seconds",
}
# Each instance counts its own domains.
ADDED = {"smtptls_mx_domains", "smtptls_mx_domains_enforcing"}
# A counter is the same at the instance that takes a domain over. The larger is the one that goes on; increase() is taken of that.
COUNTERS = {
    "smtptls_tlsrpt_sessions_total": "domain:smtptls_tlsrpt_sessions:max",
    "smtptls_tlsrpt_failed_sessions_total": "domain:smtptls_tlsrpt_failed_sessions:max",
}
METRIC = re.compile(r"(?<![:\w'\"])(smtptls_\w+)(?![:\w])(\{[^}]*\})?(\[\w+\])?(\s+offset\s+\w+)?")

# Where an instance is at fault, its own view is left out before anything is brought together.
BY_HAND = {
    "SMTPTLSProtectionLost": (
        "unless on (job, instance)\nsmtptls_vantage_dnssec_validating == 0",
        f"unless on (job, domain)\nmax without ({OF_ONE}) (\n  last_over_time(§domain_delivery{{state=\"unprotected\"}}[{BRIDGE}])\n"
        "  and on (§job, instance)\n  §vantage_dnssec_validating == 0\n)"),
    "SMTPTLSMXNotSeen": (
        None,
        "min by (job, mx) (\n  max by (§job, instance, mx) (§mx_consecutive_failures)\n  unless on (§job, instance)\n  (\n"
        "    §vantage_smtp_blocked == 1\n    or\n    §vantage_dns_failing == 1\n    or\n"
        "    max by (§job, instance) (§canary_success) == 0\n  )\n) > 0\nunless on (job, mx)\nmx:smtptls_starttls_success:max >= 0"),
}


def one_metric(found):
    name, matchers, window, offset = (part or "" for part in found.groups())
    if name in COUNTERS:
        return COUNTERS[name] + matchers + window + offset
    if window:
        sys.exit(f"{name}{window}: how is that brought together over instances?")
    how = "min" if name in WORST_IS_LEAST else "max" if name in WORST_IS_MOST else "sum" if name in ADDED else None
    if how is None:
        sys.exit(f"{name}: which value holds where two instances differ?")
    return f"{how} without ({OF_ONE}) (last_over_time({name}{matchers}[{BRIDGE}]{offset}))"


def expression(rule):
    text, name = rule["expr"], rule.get("alert")
    if name in BY_HAND:
        before, after = BY_HAND[name]
        if before and before not in text:
            sys.exit(f"{name}: it is not any more what is replaced here")
        text = text.replace(before, after) if before else after
    text = METRIC.sub(one_metric, text)
    text = re.sub(r"(?<!§)\bjob, instance\b", "job", text)
    return text.replace("§job", "job").replace("§", "smtptls_")


def template(text):
    """What an annotation asks Prometheus for: of all instances, each answer once."""
    text = text.replace("smtptls_mx_finding{job='%s',instance='%s',mx='%s'} == 1", "max by (code) (smtptls_mx_finding{job='%s',mx='%s'} == 1)")
    text = text.replace("smtptls_mx_domains{job='%s',instance='%s',mx='%s'}", "sum(smtptls_mx_domains{job='%s',mx='%s'})")
    text = text.replace("{job='%s',instance='%s',", "{job='%s',").replace("$labels.job $labels.instance", "$labels.job")
    if "instance" in text:
        sys.exit(f"this speaks of an instance: {text}")
    return text


def made(file):
    groups = yaml.safe_load((HERE.parent / f"{file}.rules.yml").read_text())["groups"]
    for group in groups:
        group["name"] += "-sharded"
        for rule in group["rules"]:
            rule["expr"] = expression(rule)
            if "annotations" in rule:
                rule["annotations"] = {key: template(text) for key, text in rule["annotations"].items()}
        if file == "records":
            for name, record in COUNTERS.items():
                group["rules"].append({"record": record, "expr": f"max without ({OF_ONE}) (last_over_time({name}[{BRIDGE}]))"})
    text = yaml.dump({"groups": groups}, sort_keys=False, width=130, Dumper=Blocks)
    return f"# Made by make.py from ../{file}.rules.yml: change those, not this. docs/scaling.md says when it is for you.\n{text}"


class Blocks(yaml.SafeDumper):
    """Expressions as they stand, lists indented."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)


Blocks.add_representer(str, lambda dumper, text: dumper.represent_scalar(
    "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None))


def main():
    wrong = []
    for file in FILES:
        content, path = made(file), HERE / f"{file}.rules.yml"
        if "--check" not in sys.argv:
            path.write_text(content)
        elif not path.exists() or path.read_text() != content:
            wrong.append(f"alerts/sharded/{file}.rules.yml: not what make.py writes; run it")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
