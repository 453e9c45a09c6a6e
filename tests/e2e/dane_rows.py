"""The families about DNSSEC, DANE and old TLS, as Prometheus must show them (the metric catalogue says when each is there)."""

from expected import Expected
from rows import ABSENT, Row
from world.domains import Domain, MailHost
from world.mail_world import MailWorld
from world.zones import security


def domain_dane_rows(world: MailWorld, domain: Domain, label: str) -> list[Row]:
    """What DNSSEC says of the domain's records."""
    state = security(domain.name)
    # Of a failed lookup nothing is known, and SHA-1 is judged in different ways.
    if state not in ("secure", "insecure"):
        return []
    names = {"mx": domain.name, "sts": f"_mta-sts.{domain.name}", "tlsrpt": f"_smtp._tls.{domain.name}"}
    rows = [
        Row(f'smtptls_dnssec_secure{{{label},record="{record}"}}', 1 if state == "secure" else 0)
        for record, name in names.items()
        if not domain.fails(name)
    ]
    expiry = f'smtptls_dnssec_signature_expiry_timestamp_seconds{{{label},record="mx"}}'
    if domain.name in world.knot.expiry:
        # No signature on the way ends earlier: the authority's own last two weeks.
        rows.append(Row(expiry, world.knot.expiry[domain.name]))
    elif state == "insecure":
        rows.append(Row(expiry, ABSENT))
    elif not domain.fails(domain.name):
        rows.append(Row(f"{expiry} > bool time()", 1))
    return rows


def host_dane_rows(host: MailHost, users: list[Expected]) -> list[Row]:
    """TLSA records and the judgement on each address."""
    label = f'mx="{host.name}"'
    valid = dane_valid(host, users)
    rows = [
        Row(f'smtptls_mx_dane_valid{{{label},address="{address}"}}', ABSENT if valid is None else valid)
        for address in host.addresses
    ]
    if host.tlsa_unserved:
        return [*rows, Row(f"smtptls_mx_tlsa_lookup_success{{{label}}}", 0)]
    secure = security(host.base()) == "secure"
    if not host.tlsa:
        # Proven to be absent.
        return rows + [Row(f"smtptls_mx_tlsa_lookup_success{{{label}}}", 1)] if secure else rows
    rows += [
        Row(f"smtptls_mx_tlsa_lookup_success{{{label}}}", 1),
        Row(f"smtptls_mx_tlsa_secure{{{label}}}", 1 if secure else 0),
        Row(f"smtptls_mx_tlsa_records{{{label}}}", len(host.tlsa)),
        Row(f"smtptls_mx_tlsa_ttl_seconds{{{label}}} <= bool 5", 1),
    ]
    if not secure:
        return rows
    usable = [record for record in host.tlsa if record[0] in "23" and not record.endswith("cut")]
    rows += [
        Row(f"smtptls_mx_tlsa_usable_records{{{label}}}", len(usable)),
        Row(f'smtptls_mx_dnssec_signature_expiry_timestamp_seconds{{{label},record="tlsa"}} > bool time()', 1),
    ]
    if security(host.owner()) == "secure":
        rows.append(Row(f'smtptls_mx_dnssec_signature_expiry_timestamp_seconds{{{label},record="address"}} > bool time()', 1))
    if valid == 1 and len(usable) == 1:
        rows.append(Row(f"smtptls_mx_dane_rollover_prepared{{{label}}}", 0))
    if usable == ["3 1 1 own", "3 1 1 other"]:
        rows.append(Row(f"smtptls_mx_dane_rollover_prepared{{{label}}}", 1))
    return rows


def survey_rows(host: MailHost) -> list[Row]:
    """What only the extra connections show: whether old TLS is accepted."""
    if host.tls not in ("modern", "old-too") or host.certificate in ("none", "closed") or security(host.owner()) == "bogus":
        return []
    # Postfix opens the connection anew where it looks a certificate up by name, without its own floor for versions.
    old = 1 if host.tls == "old-too" or host.sni_only else 0
    return [
        Row(f'smtptls_mx_tls_legacy_accepted{{mx="{host.name}",address="{address}"}}', old) for address in host.addresses
    ]


def dane_valid(host: MailHost, users: list[Expected]) -> int | None:
    """smtptls_mx_dane_valid: only with secure usable records, and against the TLSA base domain alone."""
    words = {verdict.hosts[host.name] for verdict in users if host.name in verdict.hosts}
    if not words:
        return None
    [(status, dane)] = words
    if status != "usable":
        return None
    # The mail domain's name belongs to (domain, mx, address), not to the host (definitions 1.3).
    return 1 if dane == "match" and host.certificate != "domain-name" else 0


def monitor_dane_rows() -> list[Row]:
    """The exporter's own view of DNSSEC, and what concerns domains with DANE."""

    def paths(domain: str, outcome: str, count: int) -> Row:
        return Row(f'smtptls_domain_paths{{domain="{domain}",sender="dane",outcome="{outcome}"}}', count)

    def passed(domain: str, value) -> Row:
        return Row(f'smtptls_domain_check_passed{{domain="{domain}",check="dane"}}', value)

    return [
        Row("smtptls_vantage_dnssec_validating", 1),
        paths("half.dane.test", "secure", 1),
        paths("half.dane.test", "refused", 1),
        paths("some.dane.test", "secure", 1),
        paths("some.dane.test", "open", 1),
        paths("unsigned.test", "open", 1),
        paths("unsigned.test", "secure", 0),
        # The mail domain's name counts here.
        paths("tadomain.dane.test", "secure", 1),
        passed("ee.dane.test", 1),
        passed("mismatch.dane.test", 0),
        passed("tlsafail.dane.test", 0),
        # No records anywhere: it does not apply.
        passed("good.test", ABSENT),
        # Used by ee, norpt, unsigned, sts.unsigned, bogus and lapsed, of which the last two do not show it.
        Row('smtptls_mx_domains{mx="mx.ee.dane.test"}', 4),
        Row('smtptls_mx_domains_enforcing{mx="mx.mismatch.dane.test"}', 1),
        Row('smtptls_mx_domains_enforcing{mx="mx.none.test"}', 0),
    ]
