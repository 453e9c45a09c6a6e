"""Knot as the authority for the signed root and every zone below it."""

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .domains import DNS_AUTHORITY, DNS_RESOLVER, IMAP, REPORTS_HTTPS, REPORTS_MX, MailHost, Table
from .pki import Pki
from .process import Daemon, listens, run
from .report_mail import REPORTER, SELECTOR, Signer
from .zones import VALIDITY, ZONES, Zone, zone_of

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
  - id: nsec
    algorithm: ecdsap256sha256
    single-type-signing: on
    ksk-lifetime: 0
    zsk-lifetime: 0
  - id: nsec3
    algorithm: ecdsap256sha256
    single-type-signing: on
    ksk-lifetime: 0
    zsk-lifetime: 0
    nsec3: on
template:
  - id: default
    storage: {folder}
    file: "%s.zone"
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
zone:
  - domain: .
    file: root.zone
    dnssec-signing: on
    dnssec-policy: nsec
"""

# The start of each zone file.
HEAD = "$ORIGIN {origin}\n$TTL {ttl}\n@ SOA ns.test. hostmaster.test. {serial} 3600 600 86400 1\n@ NS ns.test.\n"
NAME_SERVER = f"ns.test. A {DNS_AUTHORITY}\n"
# The authority raises the serial itself when it signs: a zone that is written anew is ahead of that.
SERIAL_STEP = 1000
# The algorithms of the keys of zones that are signed beforehand.
KEYS = {"sha1": ("-a", "RSASHA1", "-b", "2048")}
ECDSA = ("-a", "ECDSAP256SHA256")


class Knot:
    """The authority. A name in `unserved` is delegated to it, but it has no zone file for it: SERVFAIL."""

    def __init__(self, folder: Path, world: Table, pki: Pki, signer: Signer):
        self.folder = folder
        self.world = world
        self.pki = pki
        self.signer = signer
        self.configuration = folder / "knot.conf"
        self.log = folder / "knot.log"
        self.daemon = Daemon("knot", ["knotd", "-c", self.configuration], self.log, folder)
        # When the signatures of the zones that are signed beforehand end.
        self.expiry: dict[str, int] = {}
        self.delegations = ""
        self.serial = 0

    def start(self) -> None:
        """Make the keys first, so that the DS records and the anchor are known before the zones are signed."""
        (self.folder / "keys").mkdir(parents=True)
        lines = KNOT.format(folder=self.folder, address=DNS_AUTHORITY)
        for zone in ZONES:
            lines += f"  - domain: {zone.name}.\n"
            if zone.signing in ("nsec", "nsec3"):
                lines += f"    dnssec-signing: on\n    dnssec-policy: {zone.signing}\n"
        self.configuration.write_text(lines + "".join(f"  - domain: {name}.\n" for name in self.unserved()))
        self.keymgr(".", "generate", "algorithm=ecdsap256sha256", "ksk=true", "zsk=true")
        delegations = {zone.name: self.delegation(zone) for zone in ZONES}
        root = HEAD.format(origin=".", ttl=TTL, serial=1) + NAME_SERVER + delegations.pop("test")
        (self.folder / "root.zone").write_text(root)
        self.delegations = NAME_SERVER + "".join(delegations.values())
        records = list(self.records())
        for zone in ZONES:
            self.write(zone, records)
        self.daemon.start(lambda: listens(DNS_AUTHORITY, 53) and query("test", "SOA", DNS_AUTHORITY).status == "NOERROR")

    def delegation(self, zone: Zone) -> str:
        """The records of a zone in its parent; makes its key."""
        ns = f"{zone.name}. NS ns.test.\n"
        if zone.signing == "none":
            return ns
        key = self.folder / f"{zone.name}.dnskey"
        if zone.signing in ("nsec", "nsec3"):
            self.keymgr(f"{zone.name}.", "generate", "algorithm=ecdsap256sha256", "ksk=true", "zsk=true")
            key.write_text(self.keymgr(f"{zone.name}.", "dnskey"))
        else:
            made = run("ldns-keygen", *KEYS.get(zone.signing, ECDSA), "-k", zone.name, cwd=self.folder).strip()
            (self.folder / f"{made}.private").rename(self.folder / f"{zone.name}.private")
            (self.folder / f"{made}.key").rename(key)
            # ldns-signzone takes both by one name.
            (self.folder / f"{zone.name}.key").write_text(key.read_text())
        # -1 and -2 are the digests SHA-1 and SHA-256; -n prints.
        ds = run("ldns-key2ds", "-n", "-1" if zone.ds == "sha1" else "-2", key).strip()
        if zone.ds == "wrong":
            ds = ds[:-1] + ("0" if ds[-1] != "0" else "1")
        return f"{ns}{ds}\n"

    def write(self, zone: Zone, records: list[tuple[str, str]]) -> None:
        """The zone file; the authority signs it, unless it is to be signed beforehand."""
        path = self.folder / f"{zone.name}.zone"
        self.serial += 1
        head = HEAD.format(origin=f"{zone.name}.", ttl=TTL, serial=self.serial * SERIAL_STEP)
        own = self.delegations if zone.name == "test" else ""
        path.write_text(head + own + "".join(f"{owner}. {data}\n" for owner, data in records if zone_of(owner) is zone))
        if zone.signing in VALIDITY:
            begin, end = (int(time.time()) + seconds for seconds in VALIDITY[zone.signing])
            self.expiry[zone.name] = end
            signed = self.folder / f"{zone.name}.signed"
            run("ldns-signzone", "-i", str(begin), "-e", str(end), "-f", signed, path, zone.name, cwd=self.folder)
            signed.rename(path)

    def refresh(self, name: str) -> None:
        """Serve what the table says now of a name's zone."""
        zone = zone_of(name)
        self.write(zone, list(self.records()))
        run("knotc", "-b", "-c", self.configuration, "zone-reload", f"{zone.name}.")

    def keymgr(self, zone: str, *words: str) -> str:
        """Knot's key manager."""
        return run("keymgr", "-c", self.configuration, zone, *words)

    def anchor(self) -> str:
        """The root's DNSKEY, as a resolver trusts it."""
        return self.keymgr(".", "dnskey")

    def unserved(self) -> list[str]:
        """Names that are delegated here without a zone."""
        names = [name for domain in self.world.domains.values() for name in domain.unserved]
        return names + [f"_tcp.{host.base()}" for host in self.world.hosts.values() if host.tlsa_unserved]

    def records(self):
        """Owner and the rest of every record, from the table of the world."""
        yield "reports.test", "MX 10 mail.reports.test."
        yield "mail.reports.test", f"A {REPORTS_MX}"
        yield "imap.reports.test", f"A {IMAP}"
        yield "https.reports.test", f"A {REPORTS_HTTPS[0]}"
        yield f"{SELECTOR}._domainkey.{REPORTER}", f"TXT {self.signer.record()}"
        for name in self.unserved():
            yield name, "NS ns.test."
        for host in self.world.hosts.values():
            if host.alias_of:
                yield host.name, f"CNAME {host.alias_of}."
            for address in host.addresses:
                yield host.owner(), f"{'AAAA' if ':' in address else 'A'} {address}"
            for data in self.tlsa(host):
                yield f"_25._tcp.{host.base()}", f"TLSA {data}"
        for domain in self.world.domains.values():
            if domain.name in domain.unserved:
                continue
            for index, mx in enumerate(domain.mx):
                yield domain.name, "MX 0 ." if mx == "." else f"MX {10 * (index + 1)} {mx}."
            for text in domain.sts_txt:
                yield f"_mta-sts.{domain.name}", f'TXT "{text}"'
            if domain.policy is not None:
                for address in domain.policy.addresses:
                    yield f"mta-sts.{domain.name}", f"A {address}"
            if domain.tlsrpt:
                yield f"_smtp._tls.{domain.name}", 'TXT "v=TLSRPTv1; rua=mailto:reports@reports.test"'

    def tlsa(self, host: MailHost) -> list[str]:
        """The data of a host's TLSA records."""
        return [self.pki.association(record, host.name, host.certificate) for record in host.tlsa]

    def stop(self) -> None:
        """End it."""
        self.daemon.stop()


@dataclass(frozen=True)
class Answer:
    """What a server said: the status, the AD bit, the data of the records of the type asked for."""

    status: str
    secure: bool
    data: tuple[str, ...]
    # The data of the signatures (RFC 4034 section 3.1), where they were asked for.
    signatures: tuple[str, ...] = ()


def query(name: str, record: str, server: str = DNS_RESOLVER, *options: str) -> Answer:
    """Ask with kdig, which takes more options. No answer at all has the status `timeout`."""
    done = subprocess.run(
        ["kdig", f"@{server}", name, record, "+adflag", "+timeout=1", "+retry=0", "+noall", "+header", "+answer", *options],
        capture_output=True, text=True, check=False,
    )
    status = re.search(r"status: (\w+)", done.stdout)
    if status is None:
        return Answer("timeout", False, ())
    flags = re.search(r"Flags: ([a-z ]*)", done.stdout)
    rows = [line.split(maxsplit=4) for line in done.stdout.splitlines() if line and not line.startswith(";")]
    data, signatures = (
        tuple(sorted(row[4] for row in rows if len(row) == 5 and row[3] == kind)) for kind in (record, "RRSIG")
    )
    return Answer(status.group(1), flags is not None and "ad" in flags.group(1).split(), data, signatures)
