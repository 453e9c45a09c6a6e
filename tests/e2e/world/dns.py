"""Knot as the authority for a signed root and a signed `test.`, and Unbound as the resolver that validates them."""

import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .domains import DNS_AUTHORITY, DNS_RESOLVER, Table
from .process import Daemon, listens, run

# Short, because records and servers change during a run.
TTL = 5

KNOT = """
server:
    rundir: {folder}
    listen: [{address}@53]
log:
  - target: stderr
    any: info
database:
    storage: {folder}/keys
policy:
  - id: e2e
    algorithm: ecdsap256sha256
    single-type-signing: on
    ksk-lifetime: 0
    zsk-lifetime: 0
template:
  - id: default
    storage: {folder}
    file: "%s.zone"
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
  - id: signed
    storage: {folder}
    file: "%s.zone"
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
    dnssec-signing: on
    dnssec-policy: e2e
zone:
  - domain: .
    template: signed
    file: root.zone
  - domain: test.
    template: signed
"""

UNBOUND = """
server:
  interface: {resolver}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: ""
  chroot: ""
  directory: {folder}
  pidfile: ""
  do-ip6: no
  num-threads: 1
  do-not-query-localhost: no
  root-hints: {folder}/hints
  trust-anchor-file: {folder}/anchor
  trust-anchor-signaling: no
  local-zone: "test." nodefault
  module-config: "validator iterator"
  cache-max-ttl: 2
  cache-max-negative-ttl: 1
  ede: yes
remote-control:
  control-enable: no
"""


class Knot:
    """The authority. A name in `unserved` is delegated to it, but it has no zone file for it: SERVFAIL."""

    def __init__(self, folder: Path, world: Table):
        self.folder = folder
        self.world = world
        self.configuration = folder / "knot.conf"
        self.log = folder / "knot.log"
        self.daemon = Daemon("knot", ["knotd", "-c", self.configuration], self.log, folder)

    def start(self) -> None:
        """Make the keys first, so that the DS and the anchor are known before the zones are signed."""
        (self.folder / "keys").mkdir(parents=True)
        unserved = [name for domain in self.world.domains.values() for name in domain.unserved]
        self.configuration.write_text(
            KNOT.format(folder=self.folder, address=DNS_AUTHORITY) + "".join(f"  - domain: {name}.\n" for name in unserved)
        )
        for zone in (".", "test."):
            self.keymgr(zone, "generate", "algorithm=ecdsap256sha256", "ksk=true", "zsk=true")
        ds = next(line for line in self.keymgr("test.", "ds").splitlines() if re.search(r" 13 2 [0-9a-f]{64}$", line))
        head = f"$TTL {TTL}\n@ SOA ns.test. hostmaster.test. 1 3600 600 86400 1\n@ NS ns.test.\nns.test. A {DNS_AUTHORITY}\n"
        (self.folder / "root.zone").write_text(f"$ORIGIN .\n{head}test. NS ns.test.\n{ds}\n")
        (self.folder / "test.zone").write_text("$ORIGIN test.\n" + head + "\n".join(self.records()) + "\n")
        self.daemon.start(lambda: listens(DNS_AUTHORITY, 53) and query("test", "SOA", DNS_AUTHORITY).status == "NOERROR")

    def keymgr(self, zone: str, *words: str) -> str:
        """Knot's key manager."""
        return run("keymgr", "-c", self.configuration, zone, *words)

    def anchor(self) -> str:
        """The root's DNSKEY, as a resolver trusts it."""
        return self.keymgr(".", "dnskey")

    def records(self):
        """The zone test., from the table of the world."""
        for host in self.world.hosts.values():
            for address in host.addresses:
                yield f"{host.name}. {'AAAA' if ':' in address else 'A'} {address}"
        for domain in self.world.domains.values():
            for name in domain.unserved:
                yield f"{name}. NS ns.test."
            if domain.name in domain.unserved:
                continue
            for index, mx in enumerate(domain.mx):
                yield f"{domain.name}. MX 0 ." if mx == "." else f"{domain.name}. MX {10 * (index + 1)} {mx}."
            for text in domain.sts_txt:
                yield f'_mta-sts.{domain.name}. TXT "{text}"'
            if domain.policy is not None:
                for address in domain.policy.addresses:
                    yield f"mta-sts.{domain.name}. A {address}"
            if domain.tlsrpt:
                yield f'_smtp._tls.{domain.name}. TXT "v=TLSRPTv1; rua=mailto:reports@good.test"'

    def stop(self) -> None:
        """End it."""
        self.daemon.stop()


class Unbound:
    """The validating resolver."""

    def __init__(self, folder: Path, knot: Knot):
        self.folder = folder
        self.knot = knot
        self.log = folder / "unbound.log"
        self.daemon = Daemon("unbound", ["unbound", "-d", "-c", folder / "unbound.conf"], self.log, folder)

    def start(self) -> None:
        """Start it with the root's key as its anchor."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "anchor").write_text(self.knot.anchor())
        (self.folder / "hints").write_text(f". NS ns.test.\nns.test. A {DNS_AUTHORITY}\n")
        (self.folder / "unbound.conf").write_text(UNBOUND.format(folder=self.folder, resolver=DNS_RESOLVER))
        self.daemon.start(lambda: listens(DNS_RESOLVER, 53) and query("test", "SOA").secure)

    def pause(self) -> None:
        """Make it silent: queries are neither answered nor refused."""
        self.daemon.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self.daemon.signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it."""
        self.daemon.stop()


@dataclass(frozen=True)
class Answer:
    """What a server said: the status, the AD bit, the data of the records of the type asked for."""

    status: str
    secure: bool
    data: tuple[str, ...]


def query(name: str, record: str, server: str = DNS_RESOLVER) -> Answer:
    """Ask with kdig. No answer at all has the status `timeout`."""
    done = subprocess.run(
        ["kdig", f"@{server}", name, record, "+adflag", "+timeout=1", "+retry=0", "+noall", "+header", "+answer"],
        capture_output=True, text=True, check=False,
    )
    status = re.search(r"status: (\w+)", done.stdout)
    if status is None:
        return Answer("timeout", False, ())
    flags = re.search(r"Flags: ([a-z ]*)", done.stdout)
    rows = (line.split(maxsplit=4) for line in done.stdout.splitlines() if line and not line.startswith(";"))
    data = tuple(sorted(row[4] for row in rows if len(row) == 5 and row[3] == record))
    return Answer(status.group(1), flags is not None and "ad" in flags.group(1).split(), data)
