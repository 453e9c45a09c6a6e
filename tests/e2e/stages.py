"""The stages of the run, in order. Every wait is a poll with a deadline."""

import concurrent.futures
import math
import subprocess
import time

from advice import AdviceStage
from checks import CheckStage
from dane_rows import survey_rows
from dashboards import look
from expectations import domain_rows, host_rows, monitor_rows
from parts_stage import PartsStage
from probe_stage import ProbeStage
from report import Report
from report_intake import ReportsStage
from rows import ABSENT, Row, problem
from world.dane_proof import (
    destinations, prove_addresses, prove_dane, prove_old_tls, prove_postfix, prove_tlsa, prove_zone,
)
from world.domains import MailHost
from world.exporter import INTERVAL, Exporter
from world.mail_world import MailWorld
from world.process import Failure, wait_until
from world.prometheus import Prometheus
from world.proof import expect, prove_mail_host, prove_policy, prove_records
from world.zones import ZONES


# How many wrong results of one group are printed: when everything is missing, the rest says nothing new.
SHOWN = 5

# Domains that are right, whatever happens to others or to this side.
GOOD = 'domain=~"good.test|shared1.test"'


class Stages:
    """What the stages share."""

    def __init__(self, report: Report, world: MailWorld, exporter: Exporter):
        self.report = report
        self.world = world
        self.exporter = exporter
        # When the monitor came up, and where the mail log stood then.
        self.began = 0.0
        self.log_position = 0

    # --- before the monitor

    def world_proof(self) -> None:
        """Each zone, domain and host is as intended."""
        check = self.report.check
        for zone in ZONES:
            check(f"world {zone.name}: zone, {zone.security()}", prove_zone, self.world, zone)
        for domain in self.world.table.domains.values():
            check(f"world {domain.name}: records", prove_records, domain)
            if domain.policy is not None:
                check(f"world {domain.name}: policy host", prove_policy, self.world, domain)
        for host in self.world.table.hosts.values():
            check(f"world {host.name}: addresses and TLSA", self.prove_host_records, host)
            if host.tls == "modern":
                check(f"world {host.name}: port 25, {host.certificate}", prove_mail_host, self.world, host)
            else:
                check(f"world {host.name}: port 25, {host.tls}, {host.certificate}", prove_old_tls, host)
            if host.tlsa and host.certificate != "none":
                check(f"world {host.name}: DANE as OpenSSL sees it", prove_dane, self.world, host)
        if not self.world.finger.available():
            self.report.note("not proved with posttls-finger: no mount namespace can be made here")
            return
        for domain in self.world.table.domains.values():
            for destination in destinations(self.world, domain):
                name = destination.strip("[]")
                check(f"world {name}: DANE as posttls-finger sees it", prove_postfix, self.world, destination)

    def prove_host_records(self, host: MailHost) -> None:
        prove_addresses(host)
        prove_tlsa(self.world, host)

    def check(self) -> None:
        """`check` on every domain."""
        CheckStage(self.report, self.world, self.exporter).run()

    def advice(self) -> None:
        """`policy suggest`, `policy check` and `tlsa suggest`."""
        AdviceStage(self.report, self.world, self.exporter).run()

    # --- with the monitor

    def start(self) -> None:
        """Start the monitor."""
        self.log_position = self.world.postfix.log_position()
        self.began = time.monotonic()
        self.exporter.start()
        wait_until(lambda: not self.problems([Row("up", 1)]), "a good scrape of /metrics", 10)

    def scrape(self) -> None:
        """Every domain and host, from Prometheus."""
        self.poll(self.groups(), 40)
        self.report.check("scrape promtool: check metrics is silent", self.promtool)

    def settle(self) -> None:
        """Wait until the monitor has seen everything, for a run that does not ask for the scrape stage."""
        rows = [row for group in self.groups().values() for row in group]
        try:
            wait_until(lambda: not self.problems(rows), "every expectation of the scrape stage", 40, pause=1)
        except Failure as failure:
            # That stage judges it; this run asks for something else.
            print(f"  ({failure})")

    def groups(self) -> dict[str, list[Row]]:
        """What has to be so before anything is changed."""
        table = self.world.table
        groups = {f"scrape {domain.name}": domain_rows(self.world, domain) for domain in table.configured()}
        used = {mx for domain in table.configured() for mx in domain.mx}
        groups |= {
            f"scrape {host.name}": host_rows(self.world, host) + survey_rows(host)
            for host in table.hosts.values()
            if host.name in used
        }
        groups["scrape monitor"] = monitor_rows(self.world)
        return groups

    def poll(self, groups: dict[str, list[Row]], seconds: float, prometheus: Prometheus | None = None) -> None:
        """Ask until all rows of a group hold at once, or time is over; a line for each group."""
        deadline = time.monotonic() + seconds
        open_groups = {name: rows for name, rows in groups.items() if self.report.wants(name)}
        while open_groups:
            late = time.monotonic() > deadline
            for name, rows in list(open_groups.items()):
                problems = self.problems(rows, prometheus)
                if not problems or late:
                    text = None
                    if problems:
                        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
                        text = "\n".join([f"{len(problems)} not so after {seconds:g} s:", *problems[:SHOWN], *more])
                    self.report.result(f"{name}: {len(rows)} queries", text)
                    del open_groups[name]
            if open_groups:
                time.sleep(0.3)

    def problems(self, rows: list[Row], prometheus: Prometheus | None = None) -> list[str]:
        """What does not hold now."""
        asked = prometheus or self.world.prometheus
        found = (problem(row, asked.query(row.promql)) for row in rows)
        return [text for text in found if text is not None]

    def promtool(self) -> None:
        status, text = self.exporter.request("/metrics")
        expect("/metrics", status, 200)
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0 or done.stdout or done.stderr:
            raise Failure(f"exit {done.returncode}\n{done.stdout}{done.stderr}")

    def probe(self) -> None:
        """Looks on demand."""
        ProbeStage(self.report, self.world, self.exporter).run(self.poll)

    def parts(self) -> None:
        """The exporter in several targets."""
        PartsStage(self.report, self.world).run(self.poll)

    def connections(self) -> None:
        """The provider's MX under three domains is probed once an interval, and nothing is sent."""
        self.without_survey()
        self.report.check("connections mx.provider.test: one an interval for three domains", self.one_an_interval)
        self.report.check("connections mx.provider.test: EHLO, STARTTLS, EHLO, QUIT and no more", self.polite)

    def without_survey(self) -> None:
        """No extra connections from here on, so that those that are left can be counted."""
        time_of_reload = "smtptls_config_last_reload_success_timestamp_seconds"
        [(_, before)] = self.world.prometheus.query(time_of_reload)
        self.exporter.configure(legacy_tls=False)
        # A time with whole seconds is to differ.
        wait_until(lambda: time.time() > before + 1, "a second since the last reload")
        self.exporter.hang_up()
        wait_until(lambda: not self.problems([Row(f"{time_of_reload} > bool {before}", 1)]), "the reload", 10)
        self.log_position = self.world.postfix.log_position()
        self.began = time.monotonic()

    def one_an_interval(self) -> None:
        def sessions():
            return self.world.postfix.log_lines("mx.provider.test", "connect from", self.log_position)

        wait_until(lambda: len(sessions()) >= 3, "three connections", 4 * INTERVAL)
        elapsed = time.monotonic() - self.began
        # A schedule may jitter a little; three domains that each probed on their own would make three times as many.
        most = math.floor(elapsed / (0.8 * INTERVAL)) + 1
        if len(sessions()) > most:
            raise Failure(f"{len(sessions())} connections in {elapsed:.0f} s, at most {most} expected")

    def polite(self) -> None:
        ends = self.world.postfix.log_lines("mx.provider.test", "disconnect from", self.log_position)
        expect("sessions", {end.split("] ", 1)[1] for end in ends}, {"ehlo=2 starttls=1 quit=1 commands=4"})

    def faults(self) -> None:
        """A certificate expires under a running monitor and is repaired; a domain is added and removed meanwhile."""
        late, late_mx = self.world.table.domains["late.test"], self.world.table.hosts["mx.late.test"]
        flaky, flaky_mx = self.world.table.domains["flaky.test"], self.world.table.hosts["mx.flaky.test"]
        since = time.monotonic()

        self.world.serve_certificate(flaky_mx.name, "expired")
        self.exporter.configure(added=(late.name,))
        self.exporter.hang_up()
        blocked = Row('sum by (state) (smtptls_domain_delivery{domain="flaky.test"})', {"blocked": 1})
        self.poll(
            {
                "faults mx.flaky.test: expired": host_rows(self.world, flaky_mx, "expired") + [blocked],
                "reload late.test: added by SIGHUP": domain_rows(self.world, late) + host_rows(self.world, late_mx),
            },
            30,
        )

        self.world.serve_certificate(flaky_mx.name, "good")
        self.exporter.configure(broken="no_such_key: 1\n")
        self.report.check("reload: a broken file is refused", self.reload_refused)
        here = Row("count(smtptls_domain_info)", len(self.world.table.configured()) + 1)
        self.poll({"reload: the old configuration stands": [Row("smtptls_config_last_reload_successful", 0), here]}, 10)

        self.exporter.configure()
        self.report.check("reload: the good file is taken", self.reload_taken)
        self.poll(
            {
                "reload late.test: removed, its series too": [
                    Row("smtptls_config_last_reload_successful", 1),
                    Row('{domain="late.test"}', ABSENT),
                    Row('{mx="mx.late.test"}', ABSENT),
                ],
                "faults mx.flaky.test: repaired": host_rows(self.world, flaky_mx) + domain_rows(self.world, flaky),
            },
            30,
        )
        self.poll(
            {
                "reload: nothing else was disturbed": [
                    *self.steady(since),
                    Row(f"count_over_time(smtptls_finding{{{GOOD}}}[{window(since)}])", ABSENT),
                    Row(f"sum(resets(smtptls_probes_total[{window(since)}]))", 0),
                ]
            },
            0,
        )

    def steady(self, since: float) -> list[Row]:
        """In every scrape since then: no gap, good domains protected, no finding on their MX."""
        span = window(since)
        rows = [
            Row(f"min_over_time(up[{span}])", 1),
            Row(f'count_over_time(smtptls_mx_finding{{mx=~"mx[12].good.test|mx.provider.test"}}[{span}])', ABSENT),
        ]
        for name in ("good.test", "shared1.test"):
            protected = f'count_over_time(smtptls_domain_delivery{{domain="{name}",state="protected"}}[{span}])'
            rows.append(Row(f"sum({protected}) - sum(count_over_time(up[{span}]))", 0))
        return rows

    def reload_refused(self) -> None:
        status, text = self.exporter.request("/-/reload", "POST")
        if status in (0, 200) or "no_such_key" not in text:
            raise Failure(f"status {status}: {text}")

    def reload_taken(self) -> None:
        expect("POST /-/reload", self.exporter.request("/-/reload", "POST")[0], 200)

    def resolver(self) -> None:
        """The resolver falls silent: that is this side's trouble, no domain's."""
        query = self.world.prometheus.query
        findings = sum(value for _, value in query("count(smtptls_mx_finding)"))
        since = time.monotonic()
        self.world.unbound.pause()
        try:
            # Meanwhile, as it takes its time: every lookup has to time out first.
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                checked = pool.submit(self.check_blind)
                self.poll({"resolver silent: noticed": [Row("smtptls_vantage_dns_failing", 1)]}, 45)
                self.poll(
                    {
                        "resolver silent: lookups fail, answers stay": [
                            Row('smtptls_sts_record_lookup_success{domain="good.test"}', 0),
                            Row('smtptls_sts_record_present{domain="good.test"}', 1),
                            Row('smtptls_tlsrpt_record_present{domain="good.test"}', 1),
                            Row('sum by (mode) (smtptls_sts_policy_mode{domain="good.test"})', {"enforce": 1}),
                            Row('count(smtptls_mx_certificate_verified{mx=~"mx[12].good.test"} == 1)', self.good_paths()),
                            # The TLSA lookup fails on this side, which says nothing about the host (definitions 1.3).
                            Row('sum by (state) (smtptls_domain_delivery{domain="ee.dane.test"})', {"protected": 1}),
                            Row('smtptls_mx_tlsa_records{mx="mx.ee.dane.test"}', 1),
                        ]
                    },
                    30,
                )
                self.report.check("resolver silent: check says unknown, exit 3", checked.result)
                self.report.check("resolver silent: every domain is looked at twice meanwhile", self.probed_twice, since)
            self.poll(
                {
                    "resolver silent: nothing is blamed on a domain": [
                        *self.steady(since),
                        # Until the monitor knows that it is its own resolver, the first lookups may be said to have failed.
                        Row(f'count_over_time(smtptls_finding{{{GOOD},code!="dns-lookup-failed"}}[{window(since)}])', ABSENT),
                        Row(f'count_over_time(smtptls_finding{{{GOOD},severity="error"}}[{window(since)}])', ABSENT),
                        Row(f"max(max_over_time(count(smtptls_mx_finding)[{window(since)}:1s]))", findings),
                    ]
                },
                0,
            )
        finally:
            self.world.unbound.resume()
        recovered = [Row("smtptls_vantage_dns_failing", 0)]
        for name in ("good.test", "drift.test", "servfail.test"):
            recovered += domain_rows(self.world, self.world.table.domains[name])
        # One that was silent is doubted for a minute where a name fails: that of a domain whose own servers fail does.
        self.poll({"resolver back: everything recovers": recovered}, 60 + 40)

    def probed_twice(self, since: float) -> None:
        """Long enough for wrong blame to show: two rounds of probes in the dark."""

        def rounds():
            probes = f"changes(smtptls_domain_last_probe_timestamp_seconds[{window(since)}])"
            return not self.problems([Row(f"count({probes} >= 2)", len(self.world.table.configured()))])

        wait_until(rounds, "two probes of each domain", 4 * INTERVAL, pause=0.5)

    def good_paths(self) -> int:
        """The addresses of good.test's mail hosts."""
        return sum(len(self.world.table.hosts[mx].addresses) for mx in self.world.table.domains["good.test"].mx)

    def check_blind(self) -> None:
        status, result = self.exporter.check("good.test")
        expect("exit", status, 3)
        expect("delivery", result["delivery"], "unknown")
        errors = [finding["code"] for finding in result["findings"] if finding["severity"] == "error"]
        expect("errors", errors, [])

    def dashboards(self) -> None:
        """Every query of the dashboards finds something, but for those that cannot in this world."""
        self.report.check("dashboards: every query finds data", self.dashboards_find_data)

    def dashboards_find_data(self) -> None:
        # Rates need some scrapes.
        deadline = time.monotonic() + 30
        while True:
            count, wrong, excused = look(self.world.prometheus.url)
            if not wrong or time.monotonic() > deadline:
                break
            time.sleep(2)
        expect("queries without data", wrong, [])
        self.report.note(f"{count} queries; {len(excused)} find nothing for a reason that dashboards.py states")

    def reports(self) -> None:
        """TLS reports, with a monitor that begins anew."""
        self.exporter.stop()
        ReportsStage(self.report, self.world, self.exporter, self.poll).run()

    def stop(self) -> None:
        """SIGTERM."""
        self.report.check("stop: exit 0 within 5 s of SIGTERM", self.stop_in_time)

    def stop_in_time(self) -> None:
        began = time.monotonic()
        expect("exit status", self.exporter.stop(), 0)
        if time.monotonic() - began > 5:
            raise Failure(f"took {time.monotonic() - began:.1f} s")


def window(since: float) -> str:
    """The range from a moment to now, for a range selector; at least two scrapes."""
    return f"{max(2, math.floor(time.monotonic() - since))}s"
