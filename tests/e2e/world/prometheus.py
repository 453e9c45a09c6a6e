"""Prometheus: scrapes the exporter every second and answers the assertions' queries."""

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from .domains import EXPORTER, PROMETHEUS
from .process import Daemon, Failure

CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: smtptls
    static_configs: [{{targets: ["{exporter}"]}}]
"""

# Labels that Prometheus itself adds, of no interest here.
ADDED = ("__name__", "job", "instance")


class Prometheus:
    """The server that people would have."""

    def __init__(self, folder: Path, address: tuple[str, int] = PROMETHEUS):
        self.folder = folder
        self.url = "http://{}:{}".format(*address)
        self.log = folder / "prometheus.log"
        argv = [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            "--web.listen-address={}:{}".format(*address),
            "--log.level=warn",
        ]
        self.daemon = Daemon("prometheus", argv, self.log, folder)

    def start(self) -> None:
        """Start it, whether or not anything answers its scrapes yet."""
        self.folder.mkdir(parents=True)
        self.write()
        self.daemon.start(self.ready, 30)

    def write(self) -> None:
        """Its configuration."""
        (self.folder / "prometheus.yml").write_text(CONFIGURATION.format(exporter="{}:{}".format(*EXPORTER)))

    def ready(self) -> bool:
        """Whether it answers queries."""
        try:
            return urllib.request.urlopen(f"{self.url}/-/ready", timeout=2).status == 200
        except OSError:
            return False

    def query(self, promql: str, keep: tuple[str, ...] = ()) -> list[tuple[dict[str, str], float]]:
        """An instant query: the labels and the value of each series; of the labels that Prometheus adds, those to keep."""
        url = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': promql})}"
        try:
            answer = json.load(urllib.request.urlopen(url, timeout=10))
        except urllib.error.HTTPError as error:
            raise Failure(f"Prometheus rejects {promql}: {error.read().decode()}") from error
        result = answer["data"]["result"]
        return [
            ({name: value for name, value in row["metric"].items() if name in keep or name not in ADDED}, float(row["value"][1]))
            for row in result
        ]

    def stop(self) -> None:
        """End it."""
        self.daemon.stop()
