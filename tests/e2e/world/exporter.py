"""The program under test: its configuration in this world, the monitor, and `check`."""

import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from .domains import DNS_PLAIN_RESOLVER, DNS_RESOLVER, DNS_STRIPPING_FORWARDER, EXPORTER, REPORTS_HTTPS
from .dovecot import USER
from .mail_world import MailWorld
from .process import Daemon

# Seconds. Far below what is polite outside, so that the run ends soon.
INTERVAL = 5

CONFIGURATION = """
resolver: {{servers: ["{resolver}"], dnssec: {dnssec}, trust_anchor_file: {anchor}, timeout: 1s}}
probe:
  interval: {interval}s
  mx_interval: {mx_interval}s
  retry_interval: {retry_interval}s
  policy_retry_interval: {policy_retry_interval}s
  timeout: 4s
  helo_name: monitor.e2e.test
  families: [{families}]
  ca_file: {root}
  roots: none
  legacy_tls: {legacy_tls}
  allow_private_addresses: true
thresholds: {{publication_grace: {publication_grace}s}}
domains: [{domains}]
"""

# Every way in. The key and the chain are one file.
REPORTS = """
reports:
  http: {{path: /tlsrpt, listen: "{listen}", tls: {{cert_file: {pem}, key_file: {pem}}}}}
  maildir: [{maildir}]
  imap: [{{server: imap.reports.test, user: {user}, password_file: {password_file}, move_to: Done}}]
  authentication: {authentication}
  reporters: [reporter.test]
"""

# How `check` is asked to look at DNSSEC: `resolver.dnssec`, and a resolver that fits.
MODES = {
    "trust-ad": ("trust-ad", DNS_RESOLVER),
    # It has to do all the work itself.
    "validate": ("validate", DNS_PLAIN_RESOLVER),
    # What it makes of a resolver that returns no signatures.
    "stripped": ("auto", DNS_STRIPPING_FORWARDER),
}


class Exporter:
    """The built binary."""

    # Seconds; the grace is the default.
    times = {
        "interval": INTERVAL, "mx_interval": INTERVAL, "retry_interval": INTERVAL, "policy_retry_interval": INTERVAL,
        "publication_grace": 600,
    }

    def __init__(self, binary: Path, world: MailWorld, name: str = "exporter", address: tuple[str, int] = EXPORTER):
        self.binary = binary
        self.world = world
        self.folder = world.folder / name
        self.configuration = self.folder / "smtptls-exporter.yml"
        self.log = self.folder / "exporter.log"
        self.url = "http://{}:{}".format(*address)
        self.serve = [binary, "serve", "--config.file", self.configuration, "--web.listen-address", "{}:{}".format(*address)]
        self.state = self.folder / "data"
        self.daemon = Daemon(name, self.serve, self.log, self.folder)
        self.legacy_tls = True
        self.configure()
        self.configure_check()

    def configure(
        self,
        added: tuple[str, ...] = (),
        broken: str = "",
        legacy_tls: bool | None = None,
        reports: bool = False,
        authentication: str = "dkim",
    ) -> None:
        """Write the configuration: the world's configured domains, some more, and lines that do not belong there.

        `legacy_tls` stays as it is until it is told otherwise. `reports`: whether they come in, and how mails prove their sender.
        """
        if legacy_tls is not None:
            self.legacy_tls = legacy_tls
        sources = self.report_sources(authentication) if reports else ""
        self.write(self.configuration, self.text("auto", DNS_RESOLVER, (*self.domains(), *added), self.legacy_tls) + sources + broken)

    def domains(self) -> list[str]:
        """The domains that it is told at its start."""
        return [domain.name for domain in self.world.table.configured()]

    def report_sources(self, authentication: str) -> str:
        """The part of the configuration about reports."""
        return REPORTS.format(
            listen="{}:{}".format(*REPORTS_HTTPS),
            pem=self.world.pki.server("https.reports.test"),
            maildir=self.world.postfix.mail / "reports",
            user=USER,
            password_file=self.world.dovecot.password_file,
            authentication=authentication,
        )

    def configure_check(self) -> None:
        """Write a configuration for each mode of `check`."""
        for mode, (dnssec, resolver) in MODES.items():
            self.write(self.mode_configuration(mode), self.text(dnssec, resolver, (), True))

    def mode_configuration(self, mode: str) -> Path:
        """The configuration of one mode of `check`."""
        return self.folder / f"{mode}.yml"

    def text(self, dnssec: str, resolver: str, domains: tuple[str, ...], legacy_tls: bool) -> str:
        """A configuration."""
        return CONFIGURATION.format(
            resolver=resolver,
            dnssec=dnssec,
            anchor=self.world.unbound.anchor,
            **self.times,
            families="ip4, ip6" if self.world.ipv6 else "ip4",
            root=self.world.pki.root,
            legacy_tls=str(legacy_tls).lower(),
            domains=", ".join(domains),
        )

    def write(self, path: Path, text: str) -> None:
        """Replaced in one step: a reload never reads half a file."""
        self.folder.mkdir(exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(text)
        new.rename(path)

    def start(self, keep_state: bool = False) -> None:
        """Start the monitor."""
        if not keep_state:
            # It knows nothing, and so looks at everything at once.
            shutil.rmtree(self.state, ignore_errors=True)
        self.daemon.start(lambda: self.request("/-/healthy")[0] == 200)

    def stop(self) -> int | None:
        """End it like a service manager; its exit status."""
        return self.daemon.stop()

    def kill(self) -> None:
        """SIGKILL: no time for anything."""
        self.daemon.signal(signal.SIGKILL)
        self.daemon.process.wait()

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

    def command(self, *words: str, seconds: float = 60, mode: str | None = None) -> subprocess.CompletedProcess:
        """One of the other commands, with the monitor's configuration or that of a mode."""
        configuration = self.configuration if mode is None else self.mode_configuration(mode)
        environment = {**os.environ, "NO_COLOR": "1"}
        return subprocess.run(
            [self.binary, *words, "--config.file", configuration], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=seconds, cwd=self.folder, env=environment, check=False,
        )

    def check(self, domain: str, mode: str | None = None) -> tuple[int, dict]:
        """`check --format json` of one domain: exit status and object."""
        done = self.command("check", domain, "--format", "json", mode=mode)
        try:
            [result] = json.loads(done.stdout)
        except ValueError as error:
            raise AssertionError(f"exit {done.returncode}, no JSON array of one: {done.stdout[:500]}{done.stderr[-1500:]}") from error
        return done.returncode, result
