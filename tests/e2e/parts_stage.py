"""The stage of the parts: a Prometheus with the configuration of the documentation takes the exporter in four parts, which are the whole."""

from pathlib import Path

from report import Report
from rows import Row
from world.domains import EXPORTER, PARTS_PROMETHEUS
from world.mail_world import MailWorld
from world.process import Failure, run
from world.prometheus import Prometheus
from world.proof import expect

PAGE = Path(__file__).resolve().parents[2] / "docs/metrics-size.md"
PARTS = 4
# Minutes are for the world outside.
PACE = (("scrape_interval: 1m", "scrape_interval: 2s"), ("scrape_timeout: 30s", "scrape_timeout: 2s"))
# Beside it the same exporter in one piece.
WHOLE = """
  - job_name: whole
    scrape_interval: 2s
    scrape_timeout: 2s
    static_configs:
      - targets: ["{exporter}"]
"""
# What has a subject: the exporter's own series stand in the first part, and count the scrapes themselves.
SUBJECTS = ('domain!=""', 'domain="",mx!=""')


def documented() -> str:
    """The configuration, as the page has it."""
    blocks = [block.split("```")[0] for block in PAGE.read_text().split("```yaml\n")[1:]]
    found = [block for block in blocks if '__param_part: "1"' in block]
    expect("configurations with parts in the page", len(found), 1)
    return found[0]


class PartsPrometheus(Prometheus):
    """Prometheus by the documentation, with the exporter in its place and a quicker pace."""

    def __init__(self, folder: Path):
        super().__init__(folder, PARTS_PROMETHEUS)

    def write(self) -> None:
        """Its configuration."""
        text = documented()
        expect("targets in the page", text.count("localhost:10461"), PARTS)
        for before, after in PACE:
            expect(f"{before} in the page", text.count(before), 1)
            text = text.replace(before, after)
        exporter = "{}:{}".format(*EXPORTER)
        (self.folder / "prometheus.yml").write_text(text.replace("localhost:10461", exporter) + WHOLE.format(exporter=exporter))
        run("promtool", "check", "config", self.folder / "prometheus.yml")


class PartsStage:
    """The stage, beside a running monitor."""

    def __init__(self, report: Report, world: MailWorld):
        self.report = report
        self.prometheus = PartsPrometheus(world.folder / "parts-prometheus")

    def run(self, poll) -> None:
        """Everything; whatever happens, its Prometheus is taken down. `poll`: asks until all rows of a group hold."""
        try:
            self.prometheus.start()
            poll({"parts: all up, as one instance": self.targets(), "parts: together they are the whole": self.whole()}, 60, self.prometheus)
            self.report.check("parts: every family has its series", self.families)
        except Failure as failure:
            self.report.result("parts: the scrapes", str(failure))
        finally:
            self.prometheus.stop()

    def targets(self) -> list[Row]:
        return [
            Row('count(up{job="smtptls",part!=""} == 1)', PARTS),
            Row('count(scrape_samples_scraped{job="smtptls"} > 0)', PARTS),
            Row('count(count by (instance) ({job="smtptls",domain!=""}))', 1),
        ]

    def whole(self) -> list[Row]:
        """No series is in two parts, and none in no part; values are the same."""
        delivery = "smtptls_domain_delivery"
        both = f'count({delivery}{{job="smtptls"}} == ignoring (job) {delivery}{{job="whole"}})'
        samples = 'sum(scrape_samples_scraped{job="smtptls"}) - scalar(scrape_samples_scraped{job="whole"})'
        return [Row(f'{both} - scalar(count({delivery}{{job="whole"}}))', 0), Row(samples, 0)]

    def families(self) -> None:
        """As many series of each family as in one piece."""
        for subject in SUBJECTS:
            asked = [f'count by (__name__) ({{job="{job}",{subject}}})' for job in ("smtptls", "whole")]
            parts, whole = ({labels["__name__"]: count for labels, count in self.prometheus.query(query, ("__name__",))} for query in asked)
            if not whole:
                raise Failure(f"nothing of {subject}")
            expect(subject, parts, whole)
