#!/usr/bin/env python3
"""A month of one monitor, as input for promtool: noise that must page nobody, and 20 faults that must.

    alerts/tests/month.py            writes month.yml and shared.yml beside this file
    alerts/tests/month.py --check    fails where they differ from what it would write
    alerts/tests/month.py --table    prints the table of docs/alerting.md

What the monitor would export is played here step by step, from what docs/metrics.md says of each series. The judge is promtool.
"""
import math
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).parent
# The five minutes for which Prometheus looks back: with shorter steps promtool takes long, with longer ones series would end.
STEP = 5
HOUR, DAY = 60, 1440
STEPS = 30 * DAY // STEP
JOB = 'job="smtptls", instance="m:10461"'
# The look at a domain and at an address of a host, in minutes: the defaults of the monitor.
DOMAIN_LOOK, HOST_LOOK = 10, 30
RESTARTS = [3 * DAY + 90, 7 * DAY + 300, 11 * DAY + 10 * HOUR, 14 * DAY + 48, 19 * DAY + 900, 23 * DAY, 27 * DAY + 200]
UPGRADE = (17 * DAY + 13 * HOUR, 10)
RESOLVER_OUTAGE = (9 * DAY + 11 * HOUR, 2 * HOUR)
PORT_SHUT = (21 * DAY + 2 * HOUR, 3 * HOUR)
RELOAD_REFUSED = (5 * DAY + 7 * HOUR, 5)
QUIET = 3
PAGES = 'ALERTS{alertstate="firing", severity="critical"}'


def at(minute):
    return minute // STEP


class World:
    """Series by name and labels, one value a step; None where the monitor exports nothing."""

    def __init__(self):
        self.series = {}

    def put(self, name, labels, value, start=0, end=None):
        key = f"{name}{{{labels + ', ' if labels else ''}{JOB}}}"
        values = self.series.setdefault(key, [None] * STEPS)
        for step in range(max(0, start), STEPS if end is None else min(end, STEPS)):
            values[step] = value

    def blank(self, start, end, keep=lambda key: False):
        for key, values in self.series.items():
            if not keep(key):
                values[start:end] = [None] * (min(end, STEPS) - start)


def text(values):
    out, step = [], 0
    while step < len(values):
        run = step
        while run < len(values) and values[run] == values[step]:
            run += 1
        count = run - step
        if values[step] is None:
            # What ends is marked as stale, as a scrape without it would.
            if step > 0:
                out.append("stale")
                count -= 1
            if count:
                out.append(f"_x{count}")
        else:
            out.append(f"{values[step]:g}x{count - 1}" if values[step] < 1e5 else f"{int(values[step])}x{count - 1}")
        step = run
    return " ".join(out)


def delivery(world, domain, state, start=0, end=None):
    for other in ("protected", "partial", "unprotected", "blocked", "unknown"):
        if f'smtptls_domain_delivery{{domain="{domain}", state="{other}", {JOB}}}' in world.series or other == state:
            world.put("smtptls_domain_delivery", f'domain="{domain}", state="{other}"', 1 if other == state else None, start, end)


def mode(world, domain, which, start=0, end=None):
    for other in ("enforce", "testing", "none", "missing"):
        if f'smtptls_sts_policy_mode{{domain="{domain}", mode="{other}", {JOB}}}' in world.series or other == which:
            world.put("smtptls_sts_policy_mode", f'domain="{domain}", mode="{other}"', 1 if other == which else None, start, end)


def finding(world, host, code, start, end):
    world.put("smtptls_mx_finding", f'mx="{host}", code="{code}"', 1, start, end)


def path(host):
    return f'mx="{host}", address="192.0.2.1"'


def certificate(world, host, not_after, life, start=0):
    world.put("smtptls_mx_certificate_not_after_timestamp_seconds", path(host), not_after * 60, start)
    world.put("smtptls_mx_certificate_not_before_timestamp_seconds", path(host), (not_after - life) * 60, start)


def domain(world, name, dane=False, max_age=7 * DAY):
    delivery(world, name, "protected")
    if dane:
        mode(world, name, "missing")
    else:
        mode(world, name, "enforce")
        world.put("smtptls_sts_record_present", f'domain="{name}"', 1)
        world.put("smtptls_sts_policy_fetch_success", f'domain="{name}"', 1)
        world.put("smtptls_sts_policy_id_stale", f'domain="{name}"', 0)
        for step in range(STEPS):
            until = (step * STEP // DOMAIN_LOOK * DOMAIN_LOOK + max_age - DAY) * 60
            world.put("smtptls_sts_policy_protected_until_timestamp_seconds", f'domain="{name}"', until, step, step + 1)
    world.put("smtptls_domain_findings", f'domain="{name}", severity="error"', 0)
    world.put("smtptls_domain_findings", f'domain="{name}", severity="warning"', 0)


def host(world, name, users, dane=False, chance=None):
    world.put("smtptls_mx_domains", f'mx="{name}"', len(users))
    world.put("smtptls_mx_domains_enforcing", f'mx="{name}"', len(users))
    for user in users:
        world.put("smtptls_domain_mx_info", f'domain="{user}", mx="{name}"', 1)
        if not dane:
            world.put("smtptls_mx_in_policy", f'domain="{user}", mx="{name}"', 1)
    world.put("smtptls_mx_starttls_success", path(name), 1)
    world.put("smtptls_mx_certificate_verified", path(name), 1)
    world.put("smtptls_mx_consecutive_failures", path(name), 0)
    if dane:
        world.put("smtptls_mx_tlsa_usable_records", f'mx="{name}"', 1)
        world.put("smtptls_mx_dane_valid", path(name), 1)
    # 90 days, renewed when 30 are left.
    renewal = chance.randrange(2 * DAY, 28 * DAY)
    certificate(world, name, renewal + 30 * DAY, 90 * DAY)
    certificate(world, name, renewal + 90 * DAY, 90 * DAY, at(renewal))
    return renewal


def noise_of_domain(world, name, chance):
    """3 % of the lookups time out. The last answer stands; the policy host cannot be found until the next try."""
    for look in range(0, 30 * DAY, DOMAIN_LOOK):
        if chance.random() < 0.03:
            world.put("smtptls_domain_findings", f'domain="{name}", severity="warning"', 1, at(look), at(look) + 1)
        if chance.random() < 0.03 and f'smtptls_sts_policy_fetch_success{{domain="{name}", {JOB}}}' in world.series:
            # The next try is five minutes later, and may time out as well.
            tries = 1
            while chance.random() < 0.03:
                tries += 1
            world.put("smtptls_sts_policy_fetch_success", f'domain="{name}"', 0, at(look), at(look) + tries)


def noise_of_host(world, name, users, renewal, chance, dane):
    def blocked(start, end):
        for user in users:
            delivery(world, user, "blocked", start, end)

    # A restart of the mail server: refused twice in a row is down, and everybody behind it is blocked for some minutes.
    for _ in range(3):
        start = at(chance.randrange(DAY, 29 * DAY))
        end = start + chance.randrange(1, 4)
        finding(world, name, "smtp-connect-failed", start, end)
        world.put("smtptls_mx_starttls_success", path(name), 0, start, end)
        world.put("smtptls_mx_certificate_verified", path(name), 0, start, end)
        world.put("smtptls_mx_consecutive_failures", path(name), 3, start, end)
        blocked(start, end)
    # Greylisting and rate limits: the last outcome stands for two hours, then the host cannot be judged.
    for _ in range(4):
        start = at(chance.randrange(DAY, 29 * DAY))
        end = start + at(chance.randrange(HOST_LOOK, 5 * HOUR))
        finding(world, name, "smtp-rejected", start, end)
        world.put("smtptls_mx_consecutive_failures", path(name), 4, start, end)
        if end - start > at(2 * HOUR):
            world.put("smtptls_mx_starttls_success", path(name), None, start + at(2 * HOUR), end)
            world.put("smtptls_mx_certificate_verified", path(name), None, start + at(2 * HOUR), end)
            if dane:
                world.put("smtptls_mx_dane_valid", path(name), None, start + at(2 * HOUR), end)
            for user in users:
                delivery(world, user, "unknown", start + at(2 * HOUR), end)
    # A look in the middle of the renewal: key and chain do not fit for a moment, and that stands until the next look.
    start, end = at(renewal), at(renewal + HOST_LOOK)
    finding(world, name, "dane-mismatch" if dane else "certificate-untrusted", start, end)
    world.put("smtptls_mx_dane_valid" if dane else "smtptls_mx_certificate_verified", path(name), 0, start, end)
    blocked(start, end)


def own_side(world):
    """What happens to the monitor itself; after all else, as it hides all else."""
    world.put("smtptls_config_last_reload_successful", "", 1)
    world.put("smtptls_config_last_reload_successful", "", 0, at(RELOAD_REFUSED[0]), at(sum(RELOAD_REFUSED)))
    world.put("smtptls_vantage_smtp_blocked", "", 0)
    world.put("smtptls_vantage_dns_failing", "", 0)
    world.put("smtptls_vantage_dnssec_validating", "", 1)
    world.put("smtptls_schedule_overdue", "", 0)
    world.put("smtptls_schedule_stretch_ratio", "", 1)
    world.put("smtptls_targets", 'kind="domain"', 27)
    world.put("smtptls_task_panics_total", "", 0)
    world.put("smtptls_state_write_failures_total", "", 0)
    world.put("smtptls_probe_interval_seconds", 'kind="domain"', DOMAIN_LOOK * 60)
    world.put("smtptls_build_info", 'version="1.0.0"', 1, 0, at(UPGRADE[0]))
    world.put("smtptls_build_info", 'version="1.1.0"', 1, at(sum(UPGRADE)))
    for step in range(STEPS):
        world.put("smtptls_domain_last_probe_timestamp_seconds", 'domain="quiet1.example"',
                  step * STEP // DOMAIN_LOOK * DOMAIN_LOOK * 60, step, step + 1)
    unseen = ("smtptls_mx_starttls_success", "smtptls_mx_certificate_verified", "smtptls_mx_dane_valid", "smtptls_mx_finding",
              "smtptls_domain_delivery", "smtptls_sts_policy_fetch_success")
    for (start, length), vantage in ((RESOLVER_OUTAGE, "smtptls_vantage_dns_failing"), (PORT_SHUT, "smtptls_vantage_smtp_blocked")):
        span = at(start), at(start + length)
        users = sorted({key.split('"')[1] for key in world.series if key.startswith("smtptls_domain_delivery")})
        world.blank(*span, keep=lambda key: not key.startswith(unseen))
        for user in users:
            delivery(world, user, "unknown", *span)
        for key in [key for key in world.series if key.startswith("smtptls_mx_consecutive_failures")]:
            world.series[key][span[0]:span[1]] = [9] * (span[1] - span[0])
        world.put(vantage, "", 1, *span)
    began = 0
    for start, length in sorted([(start, STEP) for start in RESTARTS] + [UPGRADE]):
        world.put("process_start_time_seconds", "", began * 60, at(began), at(start))
        world.put("up", "", 1, at(began), at(start))
        began = start + length
        world.put("up", "", 0, at(start), at(began))
        world.blank(at(start), at(began), keep=lambda key: key.startswith("up{"))
    world.put("process_start_time_seconds", "", began * 60, at(began))
    world.put("up", "", 1, at(began))


class Fault:
    """A fault on a domain and a host of its own. It begins and ends in the world; the monitor sees both a look later."""

    def __init__(self, number, what, alert, day, hours, wait, look, show, of="mx", dane=False, max_age=7 * DAY, lead=0, users=1, quirk=None):
        self.name = f"f{number:02}"
        self.what, self.alert, self.of, self.dane, self.max_age, self.quirk = what, alert, of, dane, max_age, quirk
        self.begins = day * DAY + number * 17
        self.ends = self.begins + hours * HOUR
        # From the moment that the condition of the page is true: the longest wait for a look, then `for`, then two evaluations.
        self.look, self.wait, self.lead = look, wait, lead
        self.show = show
        self.users = [f"{self.name}{'abcd'[index] if users > 1 else ''}.example" for index in range(users)]
        self.host = f"mx.{self.name}.example"

    @property
    def promised(self):
        return self.lead + self.look + self.wait + 2 * STEP

    @property
    def first(self):
        """The evaluation by which it has to page."""
        return math.ceil((self.begins + self.promised) / STEP) * STEP

    @property
    def last(self):
        """The evaluation by which the page has to be over."""
        return math.ceil((self.ends + self.look + KEEP + 2 * STEP) / STEP) * STEP

    def labels(self):
        return f'mx="{self.host}"' if self.of == "mx" else f'domain="{self.users[0]}"'

    def play(self, world):
        start, end = at(self.begins + self.look), at(self.ends + self.look)
        self.show(world, self, start, end)


def by_finding(code, starttls=0, verified=0):
    def show(world, fault, start, end):
        finding(world, fault.host, code, start, end)
        world.put("smtptls_mx_starttls_success", path(fault.host), starttls, start, end)
        world.put("smtptls_mx_certificate_verified", path(fault.host), verified, start, end)
        for user in fault.users:
            delivery(world, user, "blocked", start, end)
            world.put("smtptls_domain_findings", f'domain="{user}", severity="error"', 1, start, end)
    return show


def not_in_policy(world, fault, start, end):
    by_finding("mx-not-in-policy", 1, 1)(world, fault, start, end)
    world.put("smtptls_mx_in_policy", f'domain="{fault.users[0]}", mx="{fault.host}"', 0, start, end)


def dane_mismatch(world, fault, start, end):
    by_finding("dane-mismatch", 1, 1)(world, fault, start, end)
    world.put("smtptls_mx_dane_valid", path(fault.host), 0, start, end)


def domain_blocked(world, fault, start, end):
    delivery(world, fault.users[0], "blocked", start, end)
    world.put("smtptls_domain_findings", f'domain="{fault.users[0]}", severity="error"', 1, start, end)


def held_until(world, fault, start, end):
    until = (fault.begins + fault.max_age - DAY) * 60
    world.put("smtptls_sts_policy_protected_until_timestamp_seconds", f'domain="{fault.users[0]}"', until, start, end)
    delivery(world, fault.users[0], "partial", start, end)


def policy_dead(world, fault, start, end):
    held_until(world, fault, start, end)
    world.put("smtptls_sts_policy_fetch_success", f'domain="{fault.users[0]}"', 0, start, end)


def record_gone(world, fault, start, end):
    held_until(world, fault, start, end)
    world.put("smtptls_sts_record_present", f'domain="{fault.users[0]}"', 0, start, end)


def tlsa_gone(world, fault, start, end):
    delivery(world, fault.users[0], "unprotected", start, end)
    world.put("smtptls_mx_tlsa_usable_records", f'mx="{fault.host}"', 0, start, end)
    world.put("smtptls_mx_dane_valid", path(fault.host), None, start, end)


def signature(world, fault, start, end):
    # Two days before it ends the renewal is overdue.
    world.put("smtptls_mx_dnssec_signature_expiry_timestamp_seconds", f'mx="{fault.host}", record="address"', (fault.begins + 2 * DAY) * 60, 0, end)
    world.put("smtptls_mx_dnssec_signature_expiry_timestamp_seconds", f'mx="{fault.host}", record="address"', (fault.ends + 14 * DAY) * 60, end)
    finding(world, fault.host, "dnssec-signature-expiring", start, end)


def unrenewed(life, left):
    """The certificate is not renewed; `begins` is when it is urgent, `left` minutes before its end."""
    def show(world, fault, start, end):
        ends = fault.begins + left
        certificate(world, fault.host, ends, life)
        # From then on it is renewed when half of its lifetime is left.
        for renewed in range(fault.ends, 30 * DAY, life // 2):
            certificate(world, fault.host, renewed + life, life, max(end, at(renewed)))
        for first, last, code, verified in ((at(fault.begins), at(ends), "certificate-expiring", 1), (at(ends), end, "certificate-expired", 0)):
            if first < last:
                finding(world, fault.host, code, first, last)
                world.put("smtptls_mx_certificate_verified", path(fault.host), verified, first, last)
        if at(ends) < end:
            delivery(world, fault.users[0], "blocked", at(ends), end)
    return show


def policy_certificate(world, fault, start, end):
    ends = fault.begins + 3 * DAY
    for first, not_after in ((0, ends), (end, fault.ends + 90 * DAY)):
        world.put("smtptls_sts_policy_certificate_not_after_timestamp_seconds", f'domain="{fault.users[0]}"', not_after * 60, first)
        world.put("smtptls_sts_policy_certificate_not_before_timestamp_seconds", f'domain="{fault.users[0]}"', (not_after - 90 * DAY) * 60, first)


FAULTS = [
    Fault(1, "the only mail host stops offering STARTTLS", "SMTPTLSStartTLSMissing", 2, 9, 15, HOST_LOOK, by_finding("starttls-not-offered")),
    Fault(2, "its certificate is for another name", "SMTPTLSEnforcedMXUnverifiable", 4, 8, 35, HOST_LOOK, by_finding("certificate-name-mismatch", 1)),
    Fault(3, "its intermediate certificate is missing (a restart of the monitor in between)", "SMTPTLSEnforcedMXUnverifiable", 7, 9, 35, HOST_LOOK, by_finding("certificate-untrusted", 1)),
    Fault(4, "its certificate of 90 days is not renewed until a day after its end: paged three days before", "SMTPTLSCertificateExpiryCritical", 10, 96, 15, 0, unrenewed(90 * DAY, 3 * DAY)),
    Fault(5, "its certificate of 160 hours is not renewed: paged 13 hours before the end", "SMTPTLSCertificateExpiryCritical", 12, 20, 15, 0, unrenewed(160 * HOUR, 160 * HOUR // 12)),
    Fault(6, "a new mail host that the policy does not name", "SMTPTLSEnforcedMXNotInPolicy", 5, 7, 25, DOMAIN_LOOK, not_in_policy),
    Fault(7, "renewed certificate, old TLSA record", "SMTPTLSDANEMismatch", 6, 8, 35, HOST_LOOK, dane_mismatch, dane=True),
    Fault(8, "the TLSA query is not answered", "SMTPTLSDANELookupFailed", 8, 6, 20, HOST_LOOK, by_finding("dane-lookup-failed", 1, 1), dane=True),
    Fault(9, "the mail server refuses connections", "SMTPTLSMXDown", 13, 6, 15, HOST_LOOK, by_finding("smtp-connect-failed")),
    Fault(10, "the mail server does not answer (a restart of the monitor in between)", "SMTPTLSMXDown", 14, 6, 15, HOST_LOOK, by_finding("smtp-timeout")),
    Fault(11, "the name of the mail host is gone", "SMTPTLSMXDown", 15, 6, 15, HOST_LOOK, by_finding("mx-unresolvable")),
    Fault(12, "the mail host points to a private address", "SMTPTLSMXDown", 16, 6, 15, HOST_LOOK, by_finding("mx-address-private")),
    Fault(13, "the domain is gone from the DNS", "SMTPTLSDomainBlocked", 18, 6, 15, DOMAIN_LOOK, domain_blocked, of="domain"),
    Fault(14, "the MX records fail DNSSEC", "SMTPTLSDomainBlocked", 20, 6, 15, DOMAIN_LOOK, domain_blocked, of="domain"),
    Fault(15, "the policy host is dead: paged a day before the first senders lose the policy", "SMTPTLSPolicyUnusable", 22, 70, 20, DOMAIN_LOOK, policy_dead, of="domain", max_age=4 * DAY, lead=2 * DAY),
    Fault(16, "the _mta-sts record is gone: paged likewise", "SMTPTLSRecordVanished", 23, 70, 20, DOMAIN_LOOK, record_gone, of="domain", max_age=4 * DAY, lead=2 * DAY),
    Fault(17, "the TLSA records are gone", "SMTPTLSProtectionLost", 24, 12, 30, HOST_LOOK, tlsa_gone, of="domain", dane=True),
    Fault(18, "the signer of the zone has stopped: paged 12 hours before the signature ends", "SMTPTLSDNSSECSignatureExpiry", 25, 44, 30, HOST_LOOK, signature, dane=True, lead=36 * HOUR),
    Fault(19, "the certificate of the policy host is not renewed, and the policy is held for a day", "SMTPTLSPolicyHostCertificateExpiry", 26, 20, 15, DOMAIN_LOOK, policy_certificate, of="domain", max_age=DAY),
    Fault(20, "the host of four domains fails every handshake: one page", "SMTPTLSStartTLSMissing", 28, 6, 15, HOST_LOOK, by_finding("tls-handshake-failed"), users=4),
]
# The page goes 15 minutes after the monitor sees that all is well (keep_firing_for).
KEEP = 15


def month():
    world, chance = World(), random.Random(8461)
    subjects = [([f"quiet{number}.example"], f"mx.quiet{number}.example", number % 2 == 0, 7 * DAY) for number in range(1, QUIET + 1)]
    subjects += [(fault.users, fault.host, fault.dane, fault.max_age) for fault in FAULTS]
    for users, name, dane, max_age in subjects:
        for user in users:
            domain(world, user, dane, max_age)
            noise_of_domain(world, user, chance)
        renewal = host(world, name, users, dane, chance)
        noise_of_host(world, name, users, renewal, chance, dane)
    for fault in FAULTS:
        quieten(world, fault)
        fault.play(world)
    own_side(world)
    return world


def quieten(world, fault):
    """Around a fault its own subject makes no noise, so that the time to the page is that of the fault; all others go on."""
    start, end = at(fault.begins - DAY), at(fault.ends + DAY)
    for key in [key for key in world.series if key.startswith("smtptls_mx_finding") and f'mx="{fault.host}"' in key]:
        world.series[key][max(start, 0):end] = [None] * (min(end, STEPS) - max(start, 0))
    for name, value in (("starttls_success", 1), ("certificate_verified", 1), ("consecutive_failures", 0)) + ((("dane_valid", 1),) if fault.dane else ()):
        world.put(f"smtptls_mx_{name}", path(fault.host), value, start, end)
    for user in fault.users:
        delivery(world, user, "protected", start, end)
        if not fault.dane:
            world.put("smtptls_sts_policy_fetch_success", f'domain="{user}"', 1, start, end)


def windows():
    """The month in parts of about a day, cut where no fault is about to page or to be over."""
    first, last = 0, 0
    while last < 30 * DAY - STEP:
        last = min(first + DAY, 30 * DAY - STEP)
        while any(fault.first - fault.promised <= last <= fault.first or fault.ends <= last <= fault.last for fault in FAULTS if fault.lead == 0) or any(
                fault.begins + fault.lead - HOUR <= last <= fault.first or fault.ends <= last <= fault.last for fault in FAULTS if fault.lead):
            last += STEP
        yield first, last
        first = last


def sample(labels, value=1):
    return f"          - {{labels: '{{{labels}}}', value: {value}}}\n"


def check(minute, expr, samples):
    head = f"      - eval_time: {minute}m\n        expr: '{expr}'\n"
    return head + ("        exp_samples:\n" + "".join(samples) if samples else "        exp_samples: []\n")


HEAD = """# Made by month.py: change that, not this.
rule_files: [{files}]
group_eval_order:
{order}evaluation_interval: {step}m
tests:
"""
# Reports and the state have no part in it.
FILES = ["thresholds", "records", "mx", "domain", "exporter"]


def head(files):
    group = {"exporter": "self"}
    order = "".join(f"  - smtptls-exporter-{group.get(file, file)}\n" for file in files)
    return HEAD.format(files=", ".join(f"../{file}.rules.yml" for file in files), order=order, step=STEP)


def month_file():
    out = [head(FILES), f"  - name: a month with noise pages nobody for it, and for each of {len(FAULTS)} faults once\n",
           f"    interval: {STEP}m\n    input_series:\n"]
    for key, values in sorted(month().series.items()):
        out.append(f"      - series: {key}\n        values: \"{text(values)}\"\n")
    out.append("    promql_expr_test:\n")
    firing = f"count by (alertname, mx, domain) ({PAGES})"
    checks = []
    for fault in FAULTS:
        of = f"{PAGES[:-1]}, {fault.labels()}}}"
        labels = f'alertname="{fault.alert}", {fault.labels()}'
        of = f"count by (alertname, mx, domain) ({of})"
        checks.append((fault.begins // STEP * STEP, of, []))
        checks.append((fault.first, of, [sample(labels)]))
        checks.append((fault.last, of, []))
    # In the middle of what happens to the monitor nothing is told of mail but the faults of that day.
    for start, length in [RESOLVER_OUTAGE, PORT_SHUT, UPGRADE]:
        standing = [fault for fault in FAULTS if fault.begins + fault.promised <= start and start + length <= fault.ends]
        assert not standing, "a fault would hide the outage"
        checks.append(((start + length) // STEP * STEP, firing, []))
    end = 30 * DAY - STEP
    # Every evaluation of the month counts here: window by window nothing else paged.
    for first, last in windows():
        paged = sorted(f'alertname="{fault.alert}", {fault.labels()}' for fault in FAULTS if fault.first <= last and fault.ends > first)
        checks.append((last, f"count by (alertname, mx, domain) (count_over_time({PAGES}[{last - first}m]))", [sample(one) for one in paged]))
    # And each page began once.
    for fault in FAULTS:
        one = f"{PAGES[:-1]}, {fault.labels()}}}"
        starts = f"({one} unless {one} offset {STEP}m)[{fault.last - fault.first + 2 * HOUR}m:{STEP}m]"
        checks.append((fault.last + HOUR, f"sum by (alertname) (count_over_time({starts}))", [sample(f'alertname="{fault.alert}"')]))
    # And what was told of the quiet domains: nothing, not even as a ticket.
    quiet = 'ALERTS{alertstate="firing", mx=~"mx[.]quiet.*"}[30d]', 'ALERTS{alertstate="firing", domain=~"quiet.*"}[30d]'
    checks += [(end, f"count_over_time({one})", []) for one in quiet]
    own = "count by (alertname) (count_over_time(ALERTS{alertstate=\"firing\", scope=\"exporter\"}[30d]))"
    checks.append((end, own, [sample(f'alertname="{name}"') for name in ("SMTPTLSEgressBlocked", "SMTPTLSResolverFailing")]))
    out += [check(*one) for one in checks]
    return "".join(out)


def shared_file():
    """500 domains behind one host."""
    out = [head(["thresholds", "records", "mx", "domain"]), "  - name: one bad host that 500 domains share is one page\n",
           f"    interval: {STEP}m\n    input_series:\n"]
    world = World()
    users = [f"d{number:03}.example" for number in range(500)]
    for user in users:
        world.put("smtptls_domain_mx_info", f'domain="{user}", mx="mx.shared.example"', 1, 0, 20)
        world.put("smtptls_sts_policy_mode", f'domain="{user}", mode="enforce"', 1, 0, 20)
        world.put("smtptls_domain_delivery", f'domain="{user}", state="blocked"', 1, 0, 20)
        world.put("smtptls_domain_findings", f'domain="{user}", severity="error"', 1, 0, 20)
    world.put("smtptls_mx_domains", 'mx="mx.shared.example"', 500, 0, 20)
    world.put("smtptls_mx_finding", 'mx="mx.shared.example", code="certificate-untrusted"', 1, 0, 20)
    world.put("smtptls_mx_starttls_success", path("mx.shared.example"), 1, 0, 20)
    for key, values in sorted(world.series.items()):
        out.append(f"      - series: {key}\n        values: \"{text(values[:20])}\"\n")
    labels = 'alertname="SMTPTLSEnforcedMXUnverifiable", mx="mx.shared.example", severity="{}"'
    out.append("    promql_expr_test:\n")
    out.append(check(76, 'count by (alertname, severity, mx, domain) (ALERTS{alertstate="firing"})', [sample(labels.format(one)) for one in ("critical", "warning")]))
    return "".join(out)


def words(minutes):
    days, rest = divmod(minutes, DAY)
    hours, left = divmod(rest, HOUR)
    return " ".join(f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (left, "min")) if count) or "at once"


def table():
    print("| fault | alert | seen within | paged within |\n|---|---|---|---|")
    for fault in FAULTS:
        print(f"| {fault.what} | {fault.alert} | {words(fault.look)} | {words(fault.promised)} |")


def main():
    if "--table" in sys.argv:
        return table()
    stale = []
    for name, content in (("month.yml", month_file()), ("shared.yml", shared_file())):
        file = HERE / name
        if "--check" in sys.argv:
            if not file.exists() or file.read_text() != content:
                stale.append(name)
        else:
            file.write_text(content)
    if stale:
        sys.exit(f"{', '.join(stale)}: not what month.py writes; run it")


if __name__ == "__main__":
    main()
