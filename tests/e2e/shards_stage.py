"""The stage of the shards: instances that share the domains and a PostgreSQL, of which one is killed, and one comes to."""

import dataclasses
import json
import re
import signal
import subprocess
import time
from pathlib import Path

from report import Report
from world.domains import SHARD_ADDRESSES, SHARD_POSTGRES, Domain
from world.exporter import Exporter
from world.mail_world import MailWorld
from world.postgres import Postgres
from world.process import Failure, wait_until
from world.proof import expect
from world.report_mail import report as tls_report

# Seconds. A domain is looked at each interval; within two of them another instance has taken over.
INTERVAL = 10
LEASE = 3
# Of the findings so many have to stand since the same time as before. Not all: on a busy machine a question or a fetch comes too late now and
# then, and takes a finding away for a look.
MOST = 0.75
# A domain that is right.
GOOD = "good.test"
# So many domains get another policy and a report, so that they have a past that can be lost. A third of them moves in the end.
WITH_A_PAST = 12
# What they publish then.
NEW_ID = "v=STSv1; id=20261102;"
LONGER = 86400
# What only grows of one domain: its counters, and when its last report came. The counters of sessions are among them, and stand at 0 for as
# long as this stage takes: a new one begins to count five minutes after it is first shown. The database is asked for those.
GROWS = re.compile(r'^(smtptls_(?:\w+_total|tlsrpt_last_report_timestamp_seconds)\{domain="([^"]+)"[^}]*\}) (\S+)$', re.M)


class ShardExporter(Exporter):
    """One of several instances. They differ in their index alone."""

    times = {"interval": INTERVAL, "mx_interval": INTERVAL, "retry_interval": INTERVAL, "policy_retry_interval": INTERVAL, "publication_grace": 600}

    def __init__(self, binary: Path, world: MailWorld, index: int, name: str, address: tuple[str, int], url: str):
        self.index, self.total, self.database = index, 2, url
        super().__init__(binary, world, name, address)
        self.daemon.argv += ["--state.dir", str(self.state), "--web.external-url", self.url]

    def text(self, *settings) -> str:
        """The configuration, with the shard and the database."""
        return (
            f"{super().text(*settings)}shard: {{index: {self.index}, total: {self.total}, lease: {LEASE}s}}\n"
            f"state: {{url: '{self.database}'}}\nreports: {{http: {{path: /tlsrpt}}}}\n"
        )

    def of(self, total: int) -> None:
        """Another number of shards, by a reload."""
        self.total = total
        self.configure()
        self.hang_up()
        series = f'smtptls_shard_info{{index="{self.index}",total="{total}"}}'
        wait_until(lambda: self.value(series) == 1, f"{self.daemon.name} has the new total", 20)

    def metrics(self) -> str:
        """A scrape; empty where nothing answers."""
        status, text = self.request("/metrics")
        return text if status == 200 else ""

    def shown(self) -> set[str]:
        """The domains in a scrape."""
        return set(re.findall(r'^smtptls_domain_last_probe_timestamp_seconds\{domain="([^"]+)"\}', self.metrics(), re.M))

    def value(self, series: str) -> float | None:
        """The value of one series."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.metrics(), re.M)
        return float(found[1]) if found else None

    def counted(self) -> dict[str, dict[str, float]]:
        """What only grows, of each domain."""
        counters: dict[str, dict[str, float]] = {}
        for series, domain, value in GROWS.findall(self.metrics()):
            counters.setdefault(domain, {})[series] = float(value)
        return counters

    def changes(self) -> dict[str, set[str]]:
        """What the log tells of each domain."""
        status, text = self.request("/api/v1/changes?limit=1000")
        told = json.loads(text) if status == 200 else {"more": True}
        expect("changes: the status, and whether that is not all", (status, told["more"]), (200, False))
        by_domain: dict[str, set[str]] = {}
        for change in told["changes"]:
            if change["domain"]:
                by_domain.setdefault(change["domain"], set()).add(json.dumps(change, sort_keys=True))
        return by_domain

    def held(self) -> set[int]:
        """The slots that it has."""
        return {int(slot) for slot in re.findall(r'^smtptls_shard_held\{slot="(\d+)"\} 1$', self.metrics(), re.M)}


@dataclasses.dataclass
class Past:
    """What an instance knew of domains before another one had them."""

    counters: dict[str, dict[str, float]]
    changes: dict[str, set[str]]

    @classmethod
    def of(cls, domains: set[str], *exporters: ShardExporter) -> "Past":
        """Of these domains, each of which one of the instances has."""
        past = cls({}, {})
        for exporter in exporters:
            past.counters |= {name: of for name, of in exporter.counted().items() if name in domains}
            past.changes |= {name: of for name, of in exporter.changes().items() if name in domains}
        return past

    def only(self, domains: set[str]) -> "Past":
        """The part about these."""
        return Past(
            {name: of for name, of in self.counters.items() if name in domains},
            {name: of for name, of in self.changes.items() if name in domains},
        )

    def hold_counters(self, exporter: ShardExporter) -> None:
        """No counter that it shows is smaller: Prometheus would take that for a start from zero."""
        now = exporter.counted()
        fell = {
            series: (value, now[name][series])
            for name, of in self.counters.items() for series, value in of.items() if now.get(name, {}).get(series, value) < value
        }
        if fell:
            raise Failure(f"{exporter.daemon.name}: counters fell: {fell}")

    def hold(self, exporter: ShardExporter) -> None:
        """The instance has all of it."""
        self.hold_counters(exporter)
        now = exporter.counted()
        gone = [series for name, of in self.counters.items() for series in of if series not in now.get(name, {})]
        expect(f"{exporter.daemon.name}: counters that are not there", gone, [])
        told = exporter.changes()
        lost = sorted(change for name, of in self.changes.items() for change in of - told.get(name, set()))
        expect(f"{exporter.daemon.name}: changes that are not told", lost, [])


class ShardsStage:
    """The stage, beside the world."""

    def __init__(self, report: Report, world: MailWorld, binary: Path):
        self.report = report
        self.world = world
        self.postgres = Postgres(world.folder / "postgres", SHARD_POSTGRES)
        url = self.postgres.url
        names = ("shard-0", "shard-1", "shard-2")
        self.zero, self.one, self.two = (
            ShardExporter(binary, world, index, name, SHARD_ADDRESSES[index], url) for index, name in enumerate(names)
        )
        self.replica = ShardExporter(binary, world, 0, "shard-0b", SHARD_ADDRESSES[3], url)
        self.all = {domain.name for domain in world.table.configured()}
        self.parts: dict[int, set[str]] = {}
        sound = [domain for domain in world.table.configured() if self.can_change(domain)]
        self.with_a_past = sorted(sound, key=lambda domain: domain.name)[:WITH_A_PAST]

    def run(self) -> None:
        """All of it, in order: each part counts on the ones before."""
        check = self.report.check
        began = time.monotonic()
        try:
            self.postgres.start()
            check("shards: two instances share the domains, and each sees its own alone", self.shared)
            check("shards: a replica stands by", self.stands_by)
            check("shards: a report at the wrong instance is counted once, for its owner", self.reported)
            check("shards: each owner counts what changes, and hears of what is reported", self.changed)
            check("shards: kill -9: the other looks at the domains within two intervals, with all that was known", self.killed)
            check("shards: the one that was killed comes back and has its own again", self.back)
            check("shards: the database is down for all, and nothing goes out", self.database_down)
            check("shards: one that starts while the database is down looks all the same, and remembers when it is back", self.started_without)
            check("shards: stopped for a while (SIGSTOP), it writes nothing over its successor and gets its own back", self.stopped)
            check("shards: from two to three a third moves, to the third alone", self.third)
            check("shards: told to end, it leaves at once", self.ended)
        except Failure as failure:
            self.report.result("shards", str(failure))
        finally:
            for exporter in (self.zero, self.one, self.two, self.replica):
                exporter.stop()
            self.postgres.stop()
            # The other stages have the world as it was.
            for domain in self.with_a_past:
                self.world.change_domain(domain.name, policy=domain.policy, sts_txt=domain.sts_txt)
        self.report.note(f"the stage took {time.monotonic() - began:.0f} s")

    # --- the parts

    def shared(self) -> None:
        for exporter in (self.zero, self.one):
            exporter.start()
        wait_until(lambda: self.zero.held() == {0} and self.one.held() == {1}, "each its own slot", 20)
        # Until each took its own, one may have had both.
        wait_until(lambda: self.zero.shown() | self.one.shown() == self.all and not self.zero.shown() & self.one.shown(), "all of them, none twice", 40)
        self.parts = {0: self.zero.shown(), 1: self.one.shown()}
        if min(map(len, self.parts.values())) < len(self.all) / 4:
            raise Failure(f"{self.parts}: that is no fair share")
        for exporter, other in ((self.zero, 1), (self.one, 0)):
            foreign = sorted(self.parts[other])[0]
            there = (self.zero, self.one)[other].url.removeprefix("http://")

            def told() -> bool:
                status, text = exporter.request(f"/api/v1/domains/{foreign}")
                return status == 404 and f"belongs to shard {other} of 2" in text and there in text

            # Where the other one is, an instance hears when it renews its lease next.
            wait_until(told, f"{foreign}: whose it is, and where that is", 2 * LEASE)

    def stands_by(self) -> None:
        self.replica.start()
        wait_until(lambda: self.replica.value('smtptls_shard_info{index="0",total="2"}') == 1, "the replica", 10)
        time.sleep(2 * LEASE)
        expect("slots of the replica", self.replica.held(), set())
        expect("domains of the replica", self.replica.shown(), set())
        status, text = self.replica.request("/api/v1/shards")
        told = json.loads(text)
        expect("instances", (status, sorted(one["index"] for one in told["instances"] if one["alive"])), (200, [0, 0, 1]))
        # It is needed no more: the other shard is to be taken over by one that has a slot already.
        expect("exit of the replica", self.replica.stop(), 0)

    def reported(self) -> None:
        owner, other = (self.zero, self.one) if GOOD in self.parts[0] else (self.one, self.zero)
        body = tls_report(GOOD, "shards-1", 100, 5)
        for _ in range(2):
            expect("status", self.post(other, body), "201")
        expect("status", self.post(owner, body), "201")
        series = f'smtptls_tlsrpt_last_report_timestamp_seconds{{domain="{GOOD}"}}'
        wait_until(lambda: owner.value(series), "the owner has heard of it", 15)
        expect("sessions in the database", self.sessions(), "105")
        expect("at the other", other.value(series), None)
        expect("duplicates", owner.value("smtptls_tlsrpt_reports_duplicate_total"), 2)
        _, text = owner.request(f"/api/v1/domains/{GOOD}/reports")
        expect("reports of the domain", len(json.loads(text)["reports"]), 1)

    def changed(self) -> None:
        """Without this nobody has a past: what is seen for the first time is no change, and every counter stands at zero."""
        for domain in self.with_a_past:
            longer = dataclasses.replace(domain.policy, max_age=domain.policy.max_age + LONGER)
            self.world.change_domain(domain.name, policy=longer, sts_txt=(NEW_ID,))
            owner = self.zero if domain.name in self.parts[0] else self.one
            # The good one has a report.
            if domain.name != GOOD:
                expect("status", self.post(owner, tls_report(domain.name, f"shards-{domain.name}", 10, 1)), "201")

        def not_counted() -> list[str]:
            counters = self.zero.counted() | self.one.counted()
            return [
                series
                for name in (domain.name for domain in self.with_a_past)
                for series in (
                    f'smtptls_sts_record_id_changes_total{{domain="{name}"}}',
                    f'smtptls_sts_policy_changes_total{{domain="{name}"}}',
                    f'smtptls_tlsrpt_last_report_timestamp_seconds{{domain="{name}"}}',
                )
                if not counters.get(name, {}).get(series)
            ]

        try:
            wait_until(lambda: not not_counted(), "each change counted, each report known", 3 * INTERVAL)
        except Failure as failure:
            raise Failure(f"{failure}: {not_counted()}") from None

    def killed(self) -> None:
        owner, other = (self.zero, self.one) if GOOD in self.parts[0] else (self.one, self.zero)
        part = self.parts[owner.index]
        before = self.remembered(owner)
        reported = owner.value(f'smtptls_tlsrpt_last_report_timestamp_seconds{{domain="{GOOD}"}}')
        past = self.past_of(part, owner)
        # What is new is written within a second or two.
        time.sleep(2)
        killed_at = time.time()
        owner.kill()

        def looked() -> bool:
            past.hold_counters(other)
            return part <= self.looked_since(other, killed_at)

        wait_until(looked, "every domain of the dead one looked at by the other", 2 * INTERVAL)
        expect("slots", other.held(), {0, 1})
        expect("domains", other.shown(), self.all)
        self.hold_memory(before, self.remembered(other))
        past.hold(other)
        expect("last report", other.value(f'smtptls_tlsrpt_last_report_timestamp_seconds{{domain="{GOOD}"}}'), reported)
        expect("sessions in the database", self.sessions(), "105")

    def back(self) -> None:
        owner, other = (self.zero, self.one) if GOOD in self.parts[0] else (self.one, self.zero)
        owner.start(keep_state=True)
        wait_until(lambda: owner.held() == {owner.index} and other.held() == {other.index}, "its own again", 20)
        wait_until(lambda: owner.shown() == self.parts[owner.index] and other.shown() == self.parts[other.index], "the domains", 20)

    def database_down(self) -> None:
        self.postgres.stop()
        end = time.monotonic() + 3 * LEASE
        while time.monotonic() < end:
            expect("domains", (self.zero.shown(), self.one.shown()), (self.parts[0], self.parts[1]))
            time.sleep(0.5)
        self.postgres.start_again()
        end = time.monotonic() + 3 * LEASE
        while time.monotonic() < end:
            expect("domains when it is back", (self.zero.shown(), self.one.shown()), (self.parts[0], self.parts[1]))
            time.sleep(0.5)

    def started_without(self) -> None:
        before = self.remembered(self.zero)
        self.postgres.stop()
        self.zero.kill()
        self.zero.start(keep_state=True)
        wait_until(lambda: self.zero.shown() == self.parts[0], "its own domains", 2 * INTERVAL)
        anew = self.remembered(self.zero)
        if not any(at > before[key] for key, at in anew.items() if key in before):
            raise Failure("without the database it knows since when findings stand")
        self.postgres.start_again()

        def remembers() -> bool:
            return self.share_remembered(before, self.remembered(self.zero)) >= MOST

        wait_until(remembers, "what was stored before", 2 * INTERVAL)
        expect("domains", (self.zero.shown(), self.one.shown()), (self.parts[0], self.parts[1]))

    def stopped(self) -> None:
        self.one.daemon.signal(signal.SIGSTOP)
        try:
            wait_until(lambda: self.zero.held() == {0, 1}, "taken over", 2 * INTERVAL)
            epoch = self.epoch()
        finally:
            self.one.daemon.signal(signal.SIGCONT)
        wait_until(lambda: self.zero.held() == {0} and self.one.held() == {1}, "its own again", 20)
        if self.epoch() <= epoch:
            raise Failure(f"epoch {epoch}, then {self.epoch()}")

    def third(self) -> None:
        past = self.past_of(self.all, self.zero, self.one)
        self.two.total = 3
        self.two.configure()
        # The new one first: then no domain is without an instance at any time.
        self.two.start()
        wait_until(lambda: self.two.held() == {2}, "the third slot", 20)
        self.zero.of(3)
        self.one.of(3)
        wait_until(lambda: not self.zero.shown() & self.two.shown() and not self.one.shown() & self.two.shown(), "moved", 20)
        wait_until(lambda: self.two.shown() == self.all - self.zero.shown() - self.one.shown(), "looked at", 2 * INTERVAL)
        for exporter, index in ((self.zero, 0), (self.one, 1)):
            if not exporter.shown() <= self.parts[index]:
                raise Failure(f"{exporter.daemon.name} got {exporter.shown() - self.parts[index]}")
        moved = len(self.two.shown()) / len(self.all)
        self.report.note(f"{len(self.two.shown())} of {len(self.all)} domains moved")
        # A few dozen names: two standard deviations on each side of a third.
        if not 1 / 3 - 0.17 < moved < 1 / 3 + 0.17:
            raise Failure(f"{moved:.2f} moved")
        brought = past.only(self.two.shown())
        if not any(brought.changes.values()):
            raise Failure("no domain that changed has moved: nothing can be told from this")
        brought.hold(self.two)

    def ended(self) -> None:
        expect("exit", self.two.stop(), 0)
        began = time.monotonic()
        wait_until(lambda: self.zero.held() | self.one.held() == {0, 1, 2}, "taken over", 20)
        self.report.note(f"taken over {time.monotonic() - began:.1f} s after its end")

    # --- the means

    def can_change(self, domain: Domain) -> bool:
        """Whether another policy of it is fetched and counted: it has one, and all is well with it."""
        policy = domain.policy
        served = policy is not None and (policy.answer, policy.certificate) == (200, "good")
        return served and len(domain.sts_txt) == 1 and not domain.unserved and domain.tlsrpt

    def past_of(self, domains: set[str], *exporters: ShardExporter) -> Past:
        """What these know of the domains; there has to be something that can be lost."""
        past = Past.of(domains, *exporters)
        mine = [domain.name for domain in self.with_a_past if domain.name in domains]
        if not mine or any(not past.changes.get(name) for name in mine):
            raise Failure(f"no change is told of some of {mine}: {past.changes}")
        return past

    def epoch(self) -> int:
        """How often slot 1 changed its holder."""
        return int(self.postgres.query("SELECT epoch FROM slots WHERE slot = 1"))

    def sessions(self) -> str:
        """What the database has counted for the good domain."""
        return self.postgres.query(f"SELECT sum(value) FROM report_counters WHERE domain = '{GOOD}' AND family = 'sessions'")

    def looked_since(self, exporter: ShardExporter, since: float) -> set[str]:
        """The domains that were looked at after that."""
        lines = re.findall(r'^smtptls_domain_last_probe_timestamp_seconds\{domain="([^"]+)"\} (\S+)$', exporter.metrics(), re.M)
        return {name for name, at in lines if float(at) > since}

    def hold_memory(self, before: dict[str, str], after: dict[str, str]) -> None:
        """Findings stand since when they stood: for whoever has no memory all of them are new."""
        if (share := self.share_remembered(before, after)) < MOST:
            differ = {key: (at, after.get(key)) for key, at in before.items() if after.get(key) != at}
            raise Failure(f"{share:.0%} of {len(before)} findings stand since when they stood before; the others: {differ}")

    def share_remembered(self, before: dict[str, str], after: dict[str, str]) -> float:
        """How many findings of before stand since the same time."""
        return sum(after.get(key) == at for key, at in before.items()) / len(before)

    def remembered(self, exporter: ShardExporter) -> dict[str, str]:
        """Since when each finding of each domain stands."""
        status, text = exporter.request("/api/v1/findings?limit=1000")
        expect("findings", status, 200)
        return {
            f"{one['domain']} {one['code']} {one['subject']}": one["since"]
            for one in json.loads(text)["findings"] if one.get("since")
        }

    def post(self, exporter: ShardExporter, body: bytes) -> str:
        """POST of a report; the status."""
        done = subprocess.run(
            ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20", "-H", "Content-Type: application/tlsrpt+json",
             "--data-binary", "@-", f"{exporter.url}/tlsrpt"], input=body, capture_output=True, check=False,
        )
        if done.returncode != 0:
            raise Failure(f"curl: exit {done.returncode}: {done.stderr.decode()}")
        return done.stdout.decode()
