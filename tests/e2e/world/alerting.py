"""The chain behind the monitor: Prometheus with the shipped rules, Alertmanager with the shipped example, and who is told."""

import json
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .domains import ALERTMANAGER, ALERTS, ALERTS_EXPORTER, ALERTS_PROMETHEUS, RECEIVER, RECEIVER_SMTP
from .exporter import Exporter
from .mail_world import MailWorld
from .process import Daemon, Failure, listens, run
from .prometheus import Prometheus
from .scaled import count_durations, prove_scaled, replaced, scaled

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "alerts"
RUNBOOKS = ROOT / "docs/runbooks"


def quick(path: Path) -> str:
    """A shipped file with a minute made a second, proven to be otherwise the same."""
    text = path.read_text()
    quicker = scaled(text)
    try:
        prove_scaled(text, quicker, count_durations(text))
    except Failure as failure:
        raise Failure(f"{path}: {failure}") from failure
    return quicker


def at(address: tuple[str, int]) -> str:
    """HOST:PORT."""
    return "{}:{}".format(*address)


class QuickExporter(Exporter):
    """The monitor of this stage: the default intervals by sixty, as the waits of the rules are."""

    times = {"interval": 10, "mx_interval": 30, "retry_interval": 1, "policy_retry_interval": 5, "publication_grace": 10}

    def __init__(self, binary: Path, world: MailWorld):
        # Codes of findings that are tolerated.
        self.accepted: tuple[str, ...] = ()
        super().__init__(binary, world, "alerts-exporter", ALERTS_EXPORTER)

    def text(self, *settings) -> str:
        """The configuration, with what is accepted."""
        return f"{super().text(*settings)}accept: [{', '.join(f'{{code: {code}}}' for code in self.accepted)}]\n"

    def accept(self, *codes: str) -> None:
        """Tolerate these findings from now on."""
        self.accepted = codes
        self.configure()
        self.hang_up()

    def domains(self) -> list[str]:
        """Those that the stage breaks."""
        return [domain.name for domain in self.world.table.below(ALERTS)]


class AlertingPrometheus(Prometheus):
    """Prometheus by the shipped example, with the shipped rules."""

    def __init__(self, folder: Path):
        super().__init__(folder, ALERTS_PROMETHEUS)
        # A series ends after five minutes without a sample: five seconds here.
        self.daemon.argv.append("--query.lookback-delta=5s")

    def write(self) -> None:
        """The example in another place, beside the rules that it names."""
        for path in SHIPPED.glob("*.rules.yml"):
            (self.folder / path.name).write_text(quick(path))
        text = quick(SHIPPED / "prometheus.example.yml")
        text = replaced(text, "localhost:9093", at(ALERTMANAGER))
        (self.folder / "prometheus.yml").write_text(replaced(text, "localhost:10461", at(ALERTS_EXPORTER)))
        run("promtool", "check", "config", self.folder / "prometheus.yml")

    def alerts(self) -> dict[tuple[str, str, str], str]:
        """The alerts that are pending or firing now: name, severity and subject, and which of the two."""
        return {identity(labels): labels["alertstate"] for labels, _ in self.query("ALERTS", keep=("instance",))}


class Alertmanager:
    """Alertmanager by the shipped example; the receivers alone are here."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.log = folder / "alertmanager.log"
        self.url = f"http://{at(ALERTMANAGER)}"
        argv = [
            "prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data",
            f"--web.listen-address={at(ALERTMANAGER)}", "--cluster.listen-address=", "--log.level=warn",
        ]
        self.daemon = Daemon("alertmanager", argv, self.log, folder)

    def start(self) -> None:
        """Start it."""
        self.folder.mkdir(parents=True)
        text = quick(SHIPPED / "alertmanager.example.yml")
        text = replaced(text, "http://127.0.0.1:9095/page", f"http://{at(RECEIVER)}/page")
        # The mail goes to a server here, which has no TLS; the webhook beside it tells who is meant, and how they are grouped.
        text = replaced(text, "smarthost: mail.example.com:587\n", f"smarthost: {at(RECEIVER_SMTP)}\n        require_tls: false\n")
        webhook = f"    webhook_configs:\n      - url: http://{at(RECEIVER)}/ticket\n        send_resolved: true\n"
        text = replaced(text, "  - name: tickets\n", f"  - name: tickets\n{webhook}")
        # Nobody would hear of an alert that goes where no message is due.
        silent = f"    webhook_configs:\n      - url: http://{at(RECEIVER)}/nobody\n        send_resolved: true\n"
        text = replaced(text, "  - name: nobody\n", f"  - name: nobody\n{silent}")
        path = self.folder / "alertmanager.yml"
        path.write_text(text)
        run("amtool", "check-config", path)
        self.daemon.start(self.ready)

    def ready(self) -> bool:
        """Whether it takes alerts."""
        try:
            return urllib.request.urlopen(f"{self.url}/-/ready", timeout=2).status == 200
        except OSError:
            return False

    def held_back(self) -> set[tuple[str, str, str]]:
        """The alerts that it has and tells nobody, because another one explains them."""
        url = f"{self.url}/api/v2/alerts?inhibited=true&active=false&silenced=false&unprocessed=false"
        alerts = json.load(urllib.request.urlopen(url, timeout=5))
        return {identity(alert["labels"]) for alert in alerts}

    def stop(self) -> None:
        """End it."""
        self.daemon.stop()


@dataclass(frozen=True)
class Told:
    """One alert in one notification."""

    receiver: str
    status: str
    # Name, severity, subject.
    alert: tuple[str, str, str]
    group: tuple[tuple[str, str], ...]
    notification: int
    # When it reached the receiver, in seconds since 1970.
    at: float
    text: str
    annotations: dict[str, str]

    def __str__(self):
        return f"[{self.notification}] {self.receiver} {self.status} {' '.join(self.alert)} by {dict(self.group)}: {self.text}"


class Receiver:
    """The pager of the demonstration in deploy/compose, which prints what it is told."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.log = folder / "receiver.log"
        script = ROOT / "deploy/compose/receiver.py"
        self.daemon = Daemon("receiver", [sys.executable, script, at(RECEIVER), "--json"], self.log, folder)

    def start(self) -> None:
        """Start it."""
        self.folder.mkdir(parents=True)
        self.daemon.start(lambda: listens(*RECEIVER))

    def told(self, since: int = 0) -> list[Told]:
        """Every alert of every notification from one on."""
        lines = self.log.read_text().split("\n")[:-1]
        return [told for number, line in enumerate(lines) if number >= since for told in read(number, json.loads(line))]

    def count(self) -> int:
        """How many notifications came so far."""
        return self.log.read_text().count("\n")

    def stop(self) -> None:
        """End it."""
        self.daemon.stop()


def read(number: int, line: dict) -> list[Told]:
    """The alerts of one notification."""
    message = line["message"]
    group = tuple(sorted(message["groupLabels"].items()))
    return [
        Told(
            message["receiver"], alert["status"], identity(alert["labels"]), group, number, line["at"],
            f"{alert['annotations']['summary']} {alert['annotations']['description']}", alert["annotations"],
        )
        for alert in message["alerts"]
    ]


def identity(labels: dict[str, str]) -> tuple[str, str, str]:
    """Name, severity, and what the alert is about."""
    subject = labels.get("mx") or labels.get("domain") or labels.get("instance", "")
    return labels["alertname"], labels["severity"], subject
