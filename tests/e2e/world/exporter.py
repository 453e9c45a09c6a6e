"""The program under test: its configuration in this world, the monitor, and `check`."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from .domains import DNS_RESOLVER, EXPORTER
from .mail_world import MailWorld
from .process import Daemon

# Seconds. Far below what is polite outside, so that the run ends soon.
INTERVAL = 5

CONFIGURATION = """
resolver: {{servers: ["{resolver}"], timeout: 1s}}
probe:
  interval: {interval}s
  mx_interval: {interval}s
  retry_interval: {interval}s
  policy_retry_interval: {interval}s
  timeout: 4s
  helo_name: monitor.e2e.test
  families: [{families}]
  ca_file: {root}
  roots: none
  # One connection to an address an interval, so that the mail log can be counted.
  legacy_tls: false
  allow_private_addresses: true
domains: [{domains}]
"""


class Exporter:
    """The built binary."""

    def __init__(self, binary: Path, world: MailWorld):
        self.binary = binary
        self.world = world
        self.folder = world.folder / "exporter"
        self.configuration = self.folder / "smtptls-exporter.yml"
        self.log = self.folder / "exporter.log"
        self.url = "http://{}:{}".format(*EXPORTER)
        self.serve = [binary, "serve", "--config.file", self.configuration, "--web.listen-address", "{}:{}".format(*EXPORTER)]
        self.daemon = Daemon("exporter", self.serve, self.log, self.folder)
        self.configure()

    def configure(self, added: tuple[str, ...] = (), broken: str = "") -> None:
        """Write the configuration: the world's configured domains, some more, and lines that do not belong there."""
        self.folder.mkdir(exist_ok=True)
        names = [domain.name for domain in self.world.table.configured()]
        text = CONFIGURATION.format(
            resolver=DNS_RESOLVER,
            interval=INTERVAL,
            families="ip4, ip6" if self.world.ipv6 else "ip4",
            root=self.world.pki.root,
            domains=", ".join((*names, *added)),
        )
        # Replaced in one step: a reload never reads half a file.
        new = self.configuration.with_suffix(".new")
        new.write_text(text + broken)
        new.rename(self.configuration)

    def start(self) -> None:
        """Start the monitor."""
        self.daemon.start(lambda: self.request("/-/healthy")[0] == 200)

    def stop(self) -> int | None:
        """End it like a service manager; its exit status."""
        return self.daemon.stop()

    def hang_up(self) -> None:
        """SIGHUP: read the configuration again."""
        self.daemon.signal(signal.SIGHUP)

    def request(self, path: str, method: str = "GET") -> tuple[int, str]:
        """An HTTP request to the monitor; status 0 where nothing answers."""
        request = urllib.request.Request(self.url + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except OSError as error:
            return 0, str(error)

    def command(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess:
        """One of the other commands, with the same configuration."""
        environment = {**os.environ, "NO_COLOR": "1"}
        return subprocess.run(
            [self.binary, *words, "--config.file", self.configuration], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=seconds, cwd=self.folder, env=environment, check=False,
        )

    def check(self, domain: str) -> tuple[int, dict]:
        """`check --format json` of one domain: exit status and object."""
        done = self.command("check", domain, "--format", "json")
        try:
            [result] = json.loads(done.stdout)
        except ValueError as error:
            raise AssertionError(f"exit {done.returncode}, no JSON array of one: {done.stdout[:500]}{done.stderr[-1500:]}") from error
        return done.returncode, result
