"""The stage of the looks on demand: a Prometheus with the shipped example finds the domains at /sd and scrapes each at /probe."""

import json
import re
import subprocess
import urllib.request
from pathlib import Path

from expectations import domain_rows
from report import Report
from rows import Row
from verdicts import VERDICTS
from world.domains import EXPORTER, PROBE_PROMETHEUS
from world.exporter import Exporter
from world.mail_world import MailWorld
from world.process import Failure, run
from world.prometheus import Prometheus
from world.proof import expect

EXAMPLE = Path(__file__).resolve().parents[2] / "alerts/prometheus-probe.example.yml"
# Minutes are for the world outside.
PACE = (("scrape_interval: 5m", "scrape_interval: 5s"), ("evaluation_interval: 1m", "evaluation_interval: 5s"),
        ("scrape_timeout: 60s", "scrape_timeout: 5s"))


class ProbePrometheus(Prometheus):
    """Prometheus by the shipped example, with the exporter in its place and a quicker pace."""

    def __init__(self, folder: Path):
        super().__init__(folder, PROBE_PROMETHEUS)

    def write(self) -> None:
        """Its configuration."""
        text = EXAMPLE.read_text()
        expect("places of the exporter in the example", text.count("localhost:10461"), 2)
        text = text.replace("localhost:10461", "{}:{}".format(*EXPORTER))
        for before, after in PACE:
            expect(f"{before} in the example", text.count(before), 1)
            text = text.replace(before, after)
        (self.folder / "prometheus.yml").write_text(text)
        run("promtool", "check", "config", self.folder / "prometheus.yml")


class ProbeStage:
    """The stage, beside a running monitor."""

    def __init__(self, report: Report, world: MailWorld, exporter: Exporter):
        self.report = report
        self.world = world
        self.exporter = exporter
        self.prometheus = ProbePrometheus(world.folder / "probe-prometheus")

    def run(self, poll) -> None:
        """Everything; whatever happens, its Prometheus is taken down. `poll`: asks until all rows of a group hold."""
        check = self.report.check
        check("probe /sd: every configured domain", self.targets)
        check("probe /config: what config show prints", self.configuration)
        check("probe promtool: check metrics is silent on /probe", self.promtool)
        check("probe refusals: no target, no domain, not configured", self.refusals)
        check("probe debug: what was seen, the metrics, the settings", self.debug)
        check("probe now: POST answers with the judgement of now", self.post)
        try:
            self.prometheus.start()
            poll(self.groups(), 60, self.prometheus)
        except Failure as failure:
            self.report.result("probe: the scrapes", str(failure))
        finally:
            self.prometheus.stop()

    def groups(self) -> dict[str, list[Row]]:
        """What Prometheus has of each domain: the facts and verdicts that the schedule comes to as well, and whether mail is delivered."""
        domains = self.world.table.configured()
        groups = {"probe targets": [Row('sum(up{job="smtptls-probe"})', len(domains)), Row("count(probe_duration_seconds)", len(domains))]}
        for domain in domains:
            delivered = VERDICTS[domain.name].delivery not in ("blocked", "unknown")
            success = Row(f'probe_success{{instance="{domain.name}"}}', int(delivered))
            groups[f"probe {domain.name}"] = [success, *domain_rows(self.world, domain)]
        return groups

    def get(self, path: str, wanted: int = 200) -> str:
        """The text of an answer."""
        status, text = self.exporter.request(path)
        expect(path, status, wanted)
        return text

    def targets(self) -> None:
        told = json.loads(self.get("/sd"))
        names = sorted(name for group in told for name in group["targets"])
        expect("targets", names, sorted(domain.name for domain in self.world.table.configured()))
        expect("labels", [group["labels"] for group in told], [{}])
        with urllib.request.urlopen(f"{self.exporter.url}/sd", timeout=5) as answer:
            expect("media type", answer.headers["Content-Type"], "application/json")

    def configuration(self) -> None:
        expect("/config", self.get("/config"), self.exporter.command("config", "show").stdout)

    def promtool(self) -> None:
        text = self.get("/probe?target=good.test")
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0 or done.stdout or done.stderr:
            raise Failure(f"exit {done.returncode}\n{done.stdout}{done.stderr}")
        domains = set(re.findall(r'domain="([^"]+)"', text))
        expect("domains in it", domains, {"good.test"})

    def refusals(self) -> None:
        for path, status, words in (
            ("/probe", 400, "target"), ("/probe?target=a..b", 400, "expected a domain"),
            ("/probe?target=good.test&module=smtp", 400, "module"), ("/probe?target=elsewhere.test", 403, "allow_any_target"),
        ):
            if words not in (text := self.get(path, status)):
                raise Failure(f"{path}: {text}")

    def debug(self) -> None:
        text = self.get("/probe?target=good.test&debug=true")
        places = [text.find(words) for words in ("What was seen of good.test", "The metrics that would be returned", "The settings of this probe")]
        if -1 in places or places != sorted(places):
            raise Failure(f"{places}\n{text[:3000]}")
        if "EHLO" not in text or "probe_success 1" not in text or "helo_name: monitor.e2e.test" not in text:
            raise Failure(text[:5000])

    def post(self) -> None:
        status, text = self.exporter.request("/api/v1/domains/good.test/probe", "POST")
        expect("status", status, 200)
        told = json.loads(text)
        expect("delivery", told["delivery"], "protected")
        if not all(address["connect"] for mx in told["mx"] for address in mx["addresses"]):
            raise Failure(text[:3000])
