"""The facts and verdicts as Prometheus must show them.

Nothing here is taken from what the exporter prints. The facts follow from the table of the world and the certificates (as
openssl reads them), the verdicts stand in verdicts.py.
"""

from dane_rows import domain_dane_rows, host_dane_rows, monitor_dane_rows
from rows import ABSENT, Row, ones
from verdicts import VERDICTS
from world.domains import Domain, MailHost
from world.mail_world import MailWorld
from world.pki import not_after
from world.zones import security

# What an address shows: connect, STARTTLS advertised, handshake, verified, chain, name; None: not stated. And the failure.
ADDRESS_METRICS = (
    "smtptls_mx_connect_success",
    "smtptls_mx_starttls_advertised",
    "smtptls_mx_starttls_success",
    "smtptls_mx_certificate_verified",
    "smtptls_mx_certificate_chain_valid",
    "smtptls_mx_certificate_name_match",
)
ADDRESS_FACTS = {
    "good": ((1, 1, 1, 1, 1, 1), None),
    # Chain, dates and name are judged apart.
    "expired": ((1, 1, 1, 0, 1, 1), "certificate-expired"),
    "wrong-name": ((1, 1, 1, 0, 1, 0), "certificate-host-mismatch"),
    "self-signed": ((1, 1, 1, 0, 0, 1), "certificate-not-trusted"),
    "with-root": ((1, 1, 1, 1, 1, 1), None),
    "domain-name": ((1, 1, 1, 0, 1, 0), "certificate-host-mismatch"),
    "ca-leaf": ((1, 1, 1, 0, 0, 1), "certificate-not-trusted"),
    "none": ((1, 0, 0, 0, None, None), "starttls-not-supported"),
    "closed": ((0, None, None, None, None, None), "connect-refused"),
}


def domain_rows(world: MailWorld, domain: Domain) -> list[Row]:
    """Every fact and verdict about a domain itself."""
    label, verdict = f'domain="{domain.name}"', VERDICTS[domain.name]
    not_optional = without(verdict.optional)
    rows = [
        Row(f"sum by (state) (smtptls_domain_delivery{{{label}}})", {verdict.delivery: 1}),
        Row(f"sum by (code) (smtptls_finding{{{label}{not_optional}}})", ones(verdict.findings)),
        *(
            Row(f'smtptls_finding{{{label},code="{code}",severity="{severity}"}}', 1)
            for code, severity in verdict.findings.items()
            if severity is not None and "|" not in severity
        ),
        *domain_dane_rows(world, domain, label),
        *record_rows(domain, label),
        *policy_rows(world, domain, label),
    ]
    if domain.fails(domain.name):
        # Never a false "is not there": the lookups failed and nothing was known before.
        return [
            *rows,
            Row(f"smtptls_mx_lookup_success{{{label}}}", 0),
            Row(f"smtptls_mx_records{{{label}}}", ABSENT),
            Row(f"smtptls_domain_mx_info{{{label}}}", ABSENT),
        ]
    hosts = [mx for mx in domain.mx if mx != "."]
    return [
        *rows,
        Row(f"smtptls_mx_lookup_success{{{label}}}", 1),
        Row(f"sum by (mx) (smtptls_domain_mx_info{{{label}}})", ones(hosts)),
    ]


def record_rows(domain: Domain, label: str) -> list[Row]:
    """The two TXT records."""
    if domain.fails(f"_mta-sts.{domain.name}"):
        rows = [
            Row(f"smtptls_sts_record_lookup_success{{{label}}}", 0),
            Row(f"smtptls_sts_record_present{{{label}}}", ABSENT),
        ]
    else:
        rows = [
            Row(f"smtptls_sts_record_lookup_success{{{label}}}", 1),
            Row(f"smtptls_sts_record_present{{{label}}}", 1 if domain.sts_txt else 0),
        ]
        if domain.sts_txt:
            rows.append(Row(f"smtptls_sts_record_valid{{{label}}}", 1 if len(domain.sts_txt) == 1 else 0))
        if len(domain.sts_txt) == 1:
            rows.append(Row(f"sum by (id) (smtptls_sts_record_info{{{label}}})", {"20261101": 1}))
    if domain.fails(domain.name):
        rows.append(Row(f"smtptls_tlsrpt_record_lookup_success{{{label}}}", 0))
        rows.append(Row(f"smtptls_tlsrpt_record_present{{{label}}}", ABSENT))
    else:
        rows.append(Row(f"smtptls_tlsrpt_record_lookup_success{{{label}}}", 1))
        rows.append(Row(f"smtptls_tlsrpt_record_present{{{label}}}", 1 if domain.tlsrpt else 0))
    return rows


def policy_rows(world: MailWorld, domain: Domain, label: str) -> list[Row]:
    """The policy, where exactly one record announces it."""
    mode = f"sum by (mode) (smtptls_sts_policy_mode{{{label}}})"
    policy = domain.policy
    if policy is None or len(domain.sts_txt) != 1:
        # None was ever seen. A policy that no record announces may be looked at or not.
        return [Row(mode, {"missing": 1})]
    certificate = world.pki.server(f"mta-sts.{domain.name}", policy.certificate)
    rows = [
        Row(f"smtptls_sts_policy_certificate_not_after_timestamp_seconds{{{label}}}", not_after(certificate)),
        Row(f"smtptls_sts_policy_certificate_valid{{{label}}}", 1 if policy.certificate == "good" else 0),
    ]
    failure = f"sum by (result_type) (smtptls_sts_policy_fetch_failure{{{label}}})"
    if policy.certificate != "good" or policy.answer != 200:
        verified = policy.certificate == "good"
        return [
            *rows,
            Row(f"smtptls_sts_policy_fetch_success{{{label}}}", 0),
            # A sender stops at a bad certificate; the monitor asks on, so that every fault is seen at once.
            Row(f"smtptls_sts_policy_http_status_code{{{label}}}", policy.answer),
            Row(failure, {"sts-policy-fetch-error" if verified else "sts-webpki-invalid": 1}),
            Row(mode, {"missing": 1}),
            Row(f"smtptls_mx_in_policy{{{label}}}", ABSENT),
        ]
    return [
        *rows,
        Row(f"smtptls_sts_policy_fetch_success{{{label}}}", 1),
        Row(f"smtptls_sts_policy_http_status_code{{{label}}}", 200),
        Row(failure, ABSENT),
        Row(mode, {policy.mode: 1}),
        Row(f"smtptls_sts_policy_max_age_seconds{{{label}}}", policy.max_age),
        Row(f"smtptls_sts_policy_mx_patterns{{{label}}}", len(policy.mx)),
        Row(
            f"sum by (mx) (smtptls_mx_in_policy{{{label}}})",
            {mx: 1 if mx in policy.mx or f"*.{mx.split('.', 1)[1]}" in policy.mx else 0 for mx in domain.mx},
        ),
    ]


def without(codes) -> str:
    """The part of a selector that leaves some codes out."""
    return f',code!~"{"|".join(codes)}"' if codes else ""


def host_rows(world: MailWorld, host: MailHost, certificate: str | None = None) -> list[Row]:
    """Every fact and finding about a mail host; `certificate` where it serves another one now than at the start."""
    kind = certificate or host.certificate
    prefix = f"{host.name} "
    findings = [
        code.removeprefix(prefix)
        for verdict in VERDICTS.values()
        for code in verdict.mx_findings
        if code.startswith(prefix)
    ]
    if certificate == "expired":
        findings = ["certificate-expired"]
    users = [VERDICTS[domain.name] for domain in world.table.domains.values() if host.name in domain.mx]
    not_optional = without(sorted({code for verdict in users for code in verdict.optional}))
    rows = [Row(f'sum by (code) (smtptls_mx_finding{{mx="{host.name}"{not_optional}}})', ones(findings))]
    if security(host.owner()) == "bogus":
        return [*rows, Row(f'smtptls_mx_address_lookup_success{{mx="{host.name}"}}', 0)]
    rows.append(Row(f'smtptls_mx_address_lookup_success{{mx="{host.name}"}}', 1))
    for address in host.addresses:
        rows += address_rows(world, host, address, kind)
    return rows + host_dane_rows(host, users)


def address_rows(world: MailWorld, host: MailHost, address: str, kind: str) -> list[Row]:
    """The facts about one address with a kind of certificate."""
    label = f'mx="{host.name}",address="{address}"'
    if host.tls == "old-too":
        kind = "good"
    elif host.tls != "modern":
        # How far a client of today gets is its own affair.
        return [Row(f"smtptls_mx_connect_success{{{label}}}", 1), Row(f"smtptls_mx_starttls_advertised{{{label}}}", 1)]
    facts, failure = ADDRESS_FACTS[kind]
    rows = [
        Row(f"{metric}{{{label}}}", fact) for metric, fact in zip(ADDRESS_METRICS, facts, strict=True) if fact is not None
    ]
    # Which failure comes first where DANE is concerned too is not told.
    if not host.tlsa and not host.tlsa_unserved:
        rows.append(
            Row(f"sum by (result_type) (smtptls_mx_failure{{{label}}})", ABSENT if failure is None else {failure: 1})
        )
    ends = ABSENT if kind in ("none", "closed") else not_after(world.pki.server(host.name, kind))
    rows.append(Row(f"smtptls_mx_certificate_not_after_timestamp_seconds{{{label}}}", ends))
    return rows


def monitor_rows(world: MailWorld) -> list[Row]:
    """The exporter about itself, and what concerns several domains."""
    good = 3 if world.ipv6 else 2
    used = {mx for domain in world.table.configured() for mx in domain.mx}
    # Where the addresses cannot be looked up there is nothing to show.
    hosts = [host for host in world.table.hosts.values() if host.name in used and security(host.owner()) != "bogus"]
    with_certificate = [host for host in hosts if host.certificate not in ("none", "closed") and host.tls in ("modern", "old-too")]
    old = "|".join(host.name for host in hosts if host.tls not in ("modern", "old-too"))
    return [
        # One set of series for an address, however many domains use it, and none for what is not there.
        Row("count(smtptls_mx_connect_success)", sum(len(host.addresses) for host in hosts)),
        Row(
            f'count(smtptls_mx_certificate_not_after_timestamp_seconds{{mx!~"{old}"}})',
            sum(len(host.addresses) for host in with_certificate),
        ),
        Row('{__name__=~"smtptls_.*_timestamp_seconds"} == 0', ABSENT),
        Row("up", 1),
        Row('smtptls_targets{kind="domain"}', len(world.table.configured())),
        Row("count(smtptls_domain_info)", len(world.table.configured())),
        Row("count(smtptls_build_info)", 1),
        Row("smtptls_config_last_reload_successful", 1),
        Row("smtptls_vantage_dns_failing", 0),
        Row("smtptls_vantage_smtp_blocked", 0),
        Row("smtptls_task_panics_total", 0),
        Row("sum(smtptls_series_dropped_total) or vector(0)", 0),
        Row('smtptls_mx_domains{mx="mx.provider.test"}', 3),
        Row('smtptls_mx_domains_enforcing{mx="mx.provider.test"}', 3),
        Row('smtptls_mx_domains_enforcing{mx="mx.testing.test"}', 0),
        Row('smtptls_domain_findings{domain="good.test",severity="error"}', 0),
        Row('smtptls_domain_findings{domain="backup.test",severity="error"}', 1),
        Row('smtptls_domain_check_passed{domain="backup.test",check="certificate"}', 0),
        Row('smtptls_domain_check_passed{domain="backup.test",check="policy"}', 1),
        Row('smtptls_domain_check_passed{domain="gone.test",check="policy"}', 0),
        Row('smtptls_domain_check_passed{domain="twotxt.test",check="record"}', 0),
        Row('min(smtptls_domain_check_passed{domain="good.test"})', 1),
        Row('smtptls_domain_paths{domain="good.test",sender="sts",outcome="secure"}', good),
        Row('smtptls_domain_paths{domain="drift.test",sender="sts",outcome="secure"}', 1),
        Row('smtptls_domain_paths{domain="drift.test",sender="sts",outcome="refused"}', 1),
        Row('smtptls_domain_paths{domain="drift.test",sender="opportunistic",outcome="open"}', 2),
        *monitor_dane_rows(),
    ]
