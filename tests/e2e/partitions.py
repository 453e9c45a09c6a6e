#!/usr/bin/env python3
"""The partitions, from within: each side of a small world is cut off from the monitor in turn, in three ways, and joined again.

`partitions_stage.py` starts it in namespaces of its own (`world/apart.py`); by hand it refuses to run outside of such. It prints a line of
JSON for each check.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True

from world.apart import ADDRESSES, MAIL, MONITOR, POLICY, POLICY6, RESOLVER, SCRAPER, Network
from world.process import Daemon, Failure, listens, run, tail, wait_until
from world.proof import expect

# Seconds. A probe of a host that is silent takes `TIMEOUT`, a lookup that nobody answers `LOOKUP`.
INTERVAL, RETRY, TIMEOUT, LOOKUP = 4, 2, 2, 1
# By then a side that is cut off is known to be: every host was tried, and so was who is asked in doubt.
NOTICED = 25
# Within that the monitor looks again at what it said before it knew.
SETTLED = 3
# So long it stays cut off then: every host is looked at, so that wrong blame would show.
HELD = INTERVAL + TIMEOUT
# By then all is as before, from the moment the side is joined again: the retries wait longer and longer, up to an interval.
RECOVERED = 25
# Seconds over which what the peers meet is counted, and how many times more than at rest that may be after a cut: all is due at once, one
# time, and then as ever.
COUNTED, STORM = 5, 3
# Scrapes that are under way when their side is cut off.
SCRAPES = 20

# Each in a network of its own, as large providers are to each other.
DOMAINS = ("one.test", "two.test", "three.test", "four.test")
HOSTS = {f"mx.{domain}": f"198.18.{number}.25" for number, domain in enumerate(DOMAINS, 1)}
# Each has an address over IPv6 as well, which is not looked at before it is asked for.
HOSTS6 = {f"mx.{domain}": f"2001:db8:{number}::25" for number, domain in enumerate(DOMAINS, 1)}
# The second host of the first domain.
BACKUP = ("backup.one.test", "198.18.11.25")
CANARY = ("mx.canary.test", "198.18.99.25")
MONITOR_URL = f"http://{ADDRESSES[MONITOR]}:10461"
# Domains that do not exist, and are looked at once a minute: they make a scrape larger than what the system's buffers take.
ABSENT = tuple(f"{{domain: absent{number}.test, interval: 60s}}" for number in range(250))

UNBOUND = """
server:
  interface: {address}
  access-control: 0.0.0.0/0 allow
  do-daemonize: no
  use-syslog: no
  log-queries: yes
  logfile: ""
  username: ""
  chroot: ""
  directory: {folder}
  pidfile: ""
  do-ip6: no
  num-threads: 1
  local-zone: "." static
  local-data: ". 60 SOA ns.test. hostmaster.test. 1 3600 600 86400 60"
  local-data: "reports.test. 60 MX 10 mx.one.test."
{records}
remote-control:
  control-enable: no
"""

CONFIGURATION = """
resolver: {{servers: ["{resolver}"], dnssec: off, timeout: {lookup}s}}
probe:
  interval: {interval}s
  mx_interval: {interval}s
  retry_interval: {retry}s
  policy_retry_interval: {retry}s
  timeout: {timeout}s
  helo_name: monitor.test
  families: [{families}]
  ca_file: {root}
  roots: none
  legacy_tls: false
  allow_private_addresses: true
  canaries: [{canary}]
domains: [{domains}]
"""


def result(name: str, problem: str | None = None) -> None:
    """One check for who reads."""
    print(json.dumps({"name": name, "problem": problem}), flush=True)


def check(name: str, action, *arguments) -> None:
    """Run one check; any exception is its failure."""
    try:
        action(*arguments)
    except Exception as error:  # pylint: disable=broad-except
        result(name, str(error) or repr(error))
    else:
        result(name)


class World:
    """The sides and who is on them."""

    def __init__(self, folder: Path, binary: Path):
        self.folder = folder
        self.network = Network()
        self.came = folder / "came"
        self.unbound_log = folder / "unbound.log"
        self.root, self.pem = folder / "root.pem", folder / "server.pem"
        self.hosts = [*HOSTS.values(), BACKUP[1], CANARY[1]]
        peers = Path(__file__).parent / "world" / "apart_peers.py"
        mail = [sys.executable, peers, "mail", self.pem, self.came, *self.hosts, *HOSTS6.values()]
        policy = [sys.executable, peers, "policy", self.pem, self.came, ADDRESSES[POLICY], POLICY6]
        configuration = folder / "smtptls-exporter.yml"
        serve = [
            binary, "serve", "--config.file", configuration, "--web.listen-address", MONITOR_URL.removeprefix("http://"),
            "--state.dir", folder / "state",
        ]
        unbound = ["unbound", "-d", "-c", folder / "unbound.conf"]
        self.unbound = Daemon("unbound", self.network.inside(RESOLVER, *unbound), self.unbound_log, folder)
        self.mail = Daemon("mail hosts", self.network.inside(MAIL, *mail), folder / "mail.log", folder)
        self.policy = Daemon("policy host", self.network.inside(POLICY, *policy), folder / "policy.log", folder)
        self.exporter = Daemon("exporter", self.network.inside(MONITOR, *serve), folder / "exporter.log", folder)
        self.configuration = configuration

    def start(self) -> None:
        """Everything, in order."""
        self.came.touch()
        self.network.start(self.hosts, list(HOSTS6.values()))
        self.certificates()
        records = "".join(f"  local-data: '{record}'\n" for record in self.records())
        text = UNBOUND.format(address=ADDRESSES[RESOLVER], folder=self.folder, records=records)
        (self.folder / "unbound.conf").write_text(text)
        self.unbound.start(lambda: listens(ADDRESSES[RESOLVER], 53))
        self.mail.start(lambda: all(listens(host, 25) for host in self.hosts))
        self.policy.start(lambda: listens(ADDRESSES[POLICY], 443))
        self.configure("ip4")
        self.exporter.start(lambda: listens(ADDRESSES[MONITOR], 10461))

    def configure(self, families: str) -> None:
        """Write the configuration with these address families."""
        text = CONFIGURATION.format(
            resolver=ADDRESSES[RESOLVER], lookup=LOOKUP, interval=INTERVAL, retry=RETRY, timeout=TIMEOUT, root=self.root,
            canary=CANARY[0], domains=", ".join((*DOMAINS, *ABSENT)), families=families,
        )
        self.configuration.write_text(text)

    def reconfigure(self, families: str) -> None:
        """The same for the monitor that runs."""
        self.configure(families)
        os.kill(self.exporter.process.pid, signal.SIGHUP)

    def certificates(self) -> None:
        """A root, and one certificate for every name."""
        names = [*HOSTS, BACKUP[0], CANARY[0], *(f"mta-sts.{domain}" for domain in DOMAINS)]
        key, request = self.folder / "key.pem", self.folder / "request.pem"
        ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        run(
            "openssl", "req", "-x509", *ec, "-keyout", self.folder / "root-key.pem", "-out", self.root, "-days", "900",
            "-subj", "/CN=Root of the partitions", "-addext", "keyUsage=critical,keyCertSign",
        )
        alternatives = ",".join(f"DNS:{name}" for name in names)
        run("openssl", "req", *ec, "-keyout", key, "-out", request, "-subj", "/CN=test", "-addext", f"subjectAltName={alternatives}")
        leaf = run(
            "openssl", "x509", "-req", "-in", request, "-CA", self.root, "-CAkey", self.folder / "root-key.pem", "-days", "400",
            "-copy_extensions", "copy",
        )
        self.pem.write_text(key.read_text() + leaf)

    @staticmethod
    def records():
        """Every record."""
        for domain, (host, address) in zip(DOMAINS, HOSTS.items()):
            yield f"{domain}. 60 MX 10 {host}."
            yield f"{host}. 60 A {address}"
            yield f"_mta-sts.{domain}. 60 TXT \"v=STSv1; id=1;\""
            yield f"_smtp._tls.{domain}. 60 TXT \"v=TLSRPTv1; rua=mailto:tls@reports.test\""
            yield f"mta-sts.{domain}. 60 A {ADDRESSES[POLICY]}"
            yield f"mta-sts.{domain}. 60 AAAA {POLICY6}"
            yield f"mx.{domain}. 60 AAAA {HOSTS6[f'mx.{domain}']}"
        yield f"{DOMAINS[0]}. 60 MX 20 {BACKUP[0]}."
        yield f"{BACKUP[0]}. 60 A {BACKUP[1]}"
        yield f"{CANARY[0]}. 60 A {CANARY[1]}"

    def stop(self) -> None:
        """Who resists is ended with the namespace."""
        for daemon in (self.exporter, self.policy, self.mail, self.unbound):
            daemon.stop()

    def logs(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {log}\n{tail(log, 15)}" for log in (self.exporter.log, self.mail.log, self.policy.log) if tail(log))

    def metrics(self) -> dict[str, float]:
        """A scrape, by who watches."""
        with urllib.request.urlopen(f"{MONITOR_URL}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {series: float(value) for series, value in lines}

    def queries(self) -> int:
        """How many questions the resolver has had."""
        return len(re.findall(r" info: 192\.0\.2\.1 ", self.unbound_log.read_text(errors="replace")))

    def connections(self, kind: str) -> int:
        """How many connections came to hosts of this kind."""
        return sum(line.split()[1] == kind for line in self.came.read_text().splitlines())

    def descriptors(self) -> int:
        """How many the monitor has open."""
        return len(os.listdir(f"/proc/{self.exporter.process.pid}/fd"))


def well(seen: dict[str, float]) -> list[str]:
    """What is not as it is at rest."""
    wrong = [domain for domain in DOMAINS if seen.get(f'smtptls_domain_delivery{{domain="{domain}",state="protected"}}') != 1]
    wrong += findings(seen)
    for family in ("smtptls_vantage_dns_failing", "smtptls_vantage_smtp_blocked"):
        if seen.get(family) != 0:
            wrong.append(family)
    if seen.get(f'smtptls_canary_success{{canary="{CANARY[0]}"}}') != 1:
        wrong.append("canary")
    for domain in DOMAINS:
        for record in ("sts_record", "tlsrpt_record", "mx"):
            series = f'smtptls_{record}_lookup_success{{domain="{domain}"}}'
            if seen.get(series) != 1:
                wrong.append(series)
    return wrong


def findings(seen: dict[str, float], subjects: str = "") -> list[str]:
    """The findings of what is configured and exists, whatever their severity."""
    ours = (*DOMAINS, *HOSTS, BACKUP[0])
    about = (f'domain="{name}"' for name in ours), (f'mx="{name}"' for name in ours)
    words = [*about[0], *about[1]]
    series = (name for name in seen if name.startswith(("smtptls_finding{", "smtptls_mx_finding{")))
    return [name for name in series if any(word in name for word in words) and subjects in name]


class Partitions:
    """The cuts."""

    def __init__(self, world: World):
        self.world = world
        self.at_rest: dict[str, int] = {}

    def counts(self) -> dict[str, int]:
        """What the peers have met so far."""
        return {
            "questions": self.world.queries(),
            "connections to mail hosts": self.world.connections("mail"),
            "connections to the policy host": self.world.connections("policy"),
        }

    def since(self, before: dict[str, int]) -> dict[str, int]:
        """What they met since then."""
        return {what: count - before[what] for what, count in self.counts().items()}

    def rest(self) -> None:
        """All is well, and what the peers meet then."""
        self.recovers(40)
        # The first looks are all at once.
        time.sleep(INTERVAL)
        before = self.counts()
        time.sleep(COUNTED)
        self.at_rest = self.since(before)
        expect("whether everybody was asked", {what: count > 0 for what, count in self.at_rest.items()}, dict.fromkeys(self.at_rest, True))

    def cut(self, name: str, cut, join, noticed: dict[str, float], held) -> None:
        """One cut: it is noticed as what it is, nobody is blamed meanwhile, and all is well again soon, without a storm."""
        cut()
        try:
            check(f"{name}: noticed", self.notices, noticed)
            check(f"{name}: nobody is blamed, and what was known stays", self.holds, noticed, held)
        finally:
            before = self.counts()
            join()
        check(f"{name}: all is well again", self.recovers)
        check(f"{name}: no storm afterwards", self.no_storm, before)

    def notices(self, noticed: dict[str, float]) -> None:
        def so():
            seen = self.world.metrics()
            return all(seen.get(series) == value for series, value in noticed.items())

        wait_until(so, f"{noticed}", NOTICED, 0.3)

    def holds(self, noticed: dict[str, float], held) -> None:
        began = time.monotonic()
        while (since := time.monotonic() - began) < SETTLED + HELD:
            seen = self.world.metrics()
            expect("what was noticed", {series: seen.get(series) for series in noticed}, noticed)
            try:
                held(seen)
            except Failure:
                if since > SETTLED:
                    raise
            time.sleep(0.5)

    def recovers(self, seconds: float = RECOVERED) -> None:
        end = time.monotonic() + seconds
        while wrong := well(self.world.metrics()):
            if time.monotonic() > end:
                raise Failure(f"not well within {seconds} s: {', '.join(wrong)}")
            time.sleep(0.3)

    def no_storm(self, before: dict[str, int]) -> None:
        # Over the recovery and some time after it, so many times what that time has at rest.
        time.sleep(COUNTED)
        seen = self.since(before)
        periods = 1 + RECOVERED / COUNTED
        most = {what: int(count * STORM * periods) for what, count in self.at_rest.items()}
        over = {what: (count, most[what]) for what, count in seen.items() if count > most[what]}
        expect("more than may be", over, {})

    def run(self) -> None:
        """All of them."""
        check("partitions: at rest", self.rest)
        if not self.at_rest:
            raise Failure("nothing can be cut off where nothing is well")
        network = self.world.network
        ways = {
            "unplugged": (network.unplug, network.plug),
            "silent": (network.drop, network.accept),
            "refusing": (network.refuse, network.accept),
        }
        for way, (cut, join) in ways.items():
            self.cut(
                f"partitions: the resolver, {way}", lambda cut=cut: cut(RESOLVER), lambda join=join: join(RESOLVER),
                {"smtptls_vantage_dns_failing": 1}, self.blind,
            )
        canary = f'smtptls_canary_success{{canary="{CANARY[0]}"}}'
        for way, (cut, join) in ways.items():
            self.cut(
                f"partitions: all mail hosts, {way}", lambda cut=cut: cut(MAIL), lambda join=join: join(MAIL),
                {canary: 0}, self.shut,
            )
        self.one_host()
        self.scraper()
        self.ipv6()

    def ipv6(self) -> None:
        """IPv6 comes, goes in four ways, and comes again: it is this side's, policies come over IPv4, and nothing else waits for it."""
        self.world.reconfigure("ip4, ip6")
        check("partitions: IPv6: every address is looked at", self.has_ipv6)
        network = self.world.network
        for kind in ("unrouted", "blackhole", "unreachable", "swallowed"):
            self.cut(
                f"partitions: IPv6, {kind}", lambda kind=kind: network.lose_ipv6(kind), network.find_ipv6,
                {'smtptls_vantage_family_available{family="ip6"}': 0, 'smtptls_vantage_family_available{family="ip4"}': 1},
                self.without_ipv6,
            )
            check(f"partitions: IPv6, {kind}: it is there again", self.has_ipv6)

    def has_ipv6(self) -> None:
        """Mail hosts and policy hosts are reached over it, and all is well."""
        def so():
            seen = self.world.metrics()
            reached = [seen.get(f'smtptls_mx_connect_success{{mx="{host}",address="{address}"}}') for host, address in HOSTS6.items()]
            return reached == [1] * len(reached) and seen.get('smtptls_vantage_family_available{family="ip6"}') == 1 and not well(seen)

        wait_until(so, "IPv6 works", RECOVERED, 0.3)

    def without_ipv6(self, seen: dict[str, float]) -> None:
        """Nobody is blamed, and what was known stands."""
        self.shut(seen)
        others = [name for name in findings(seen) if "vantage-limited" not in name]
        expect("findings", others, [])
        self.policies(seen)

    def policies(self, seen: dict[str, float]) -> None:
        """Every policy is had, every domain is looked at in time, and no domain has an error."""
        self.no_errors(seen)
        for domain in DOMAINS:
            expect(f"{domain}: the policy", seen.get(f'smtptls_sts_policy_fetch_success{{domain="{domain}"}}'), 1)
            age = time.time() - seen.get(f'smtptls_domain_last_probe_timestamp_seconds{{domain="{domain}"}}', 0)
            # Between the begin of a look and the end of the next one; each may wait for two addresses that are silent.
            expect(f"{domain}: not looked at for {age:.1f} s", age > INTERVAL + 4 * TIMEOUT + SETTLED, False)

    def blind(self, seen: dict[str, float]) -> None:
        """Without a resolver: what was known stays, and no domain has a fault."""
        for domain in DOMAINS:
            expect(domain, seen.get(f'smtptls_domain_delivery{{domain="{domain}",state="protected"}}'), 1)
            expect(f"{domain}: the record", seen.get(f'smtptls_sts_record_present{{domain="{domain}"}}'), 1)
        self.no_errors(seen)

    def shut(self, seen: dict[str, float]) -> None:
        """Without the mail hosts: they are not judged, and what was known stands."""
        for domain in DOMAINS:
            delivery = [name for name in seen if name.startswith(f'smtptls_domain_delivery{{domain="{domain}"')]
            expect("delivery", delivery, [f'smtptls_domain_delivery{{domain="{domain}",state="protected"}}'])
        self.no_errors(seen)

    @staticmethod
    def no_errors(seen: dict[str, float]) -> None:
        """No finding of a domain is an error, and none is about a mail host."""
        errors = [name for name in findings(seen) if 'severity="error"' in name or name.startswith("smtptls_mx_finding{")]
        expect("findings", errors, [])

    def one_host(self) -> None:
        """One mail host of many: it has the finding, and nobody else."""
        host, address = list(HOSTS.items())[0]
        network = self.world.network
        finding = f'smtptls_mx_finding{{mx="{host}",code="smtp-timeout"}}'
        partial = f'smtptls_domain_delivery{{domain="{DOMAINS[0]}",state="partial"}}'

        def held(seen: dict[str, float]) -> None:
            expect("findings of others", [name for name in findings(seen) if host not in name], [])
            for domain in DOMAINS[1:]:
                expect(domain, seen.get(f'smtptls_domain_delivery{{domain="{domain}",state="protected"}}'), 1)

        self.cut(
            "partitions: one mail host of many", lambda: network.drop(MAIL, f"ip daddr {address} tcp dport 25"),
            lambda: network.accept(MAIL), {finding: 1, partial: 1}, held,
        )

    def scraper(self) -> None:
        """Scrapes are under way when their side is cut off."""
        before = self.world.descriptors()
        readers = [subprocess.Popen(self.world.network.inside(SCRAPER, sys.executable, __file__, "read-slowly")) for _ in range(SCRAPES)]
        try:
            check("partitions: the scrapers: many scrapes are under way", self.under_way, before)
            looked = self.world.connections("mail")
            self.world.network.unplug(SCRAPER)
            time.sleep(HELD)
            check("partitions: the scrapers: looks go on meanwhile", self.goes_on, looked, before)
        finally:
            # Their system has no socket for what comes late, and says so.
            for reader in readers:
                reader.send_signal(signal.SIGKILL)
                reader.wait()
            self.world.network.plug(SCRAPER)
        check("partitions: the scrapers: no descriptor is left", self.left, before)
        check("partitions: the scrapers: the next scrape is whole", self.next_scrape)

    def under_way(self, before: int) -> None:
        wait_until(lambda: self.world.descriptors() >= before + SCRAPES // 2, "the scrapes are under way", 15)

    def goes_on(self, looked: int, before: int) -> None:
        expect("looks meanwhile", self.world.connections("mail") > looked, True)
        expect("what is wrong", well(self.world.metrics()), [])
        more = self.world.descriptors() - before
        # Some for looks that are under way.
        expect(f"{more} descriptors more are too many", more > SCRAPES + 30, False)

    def left(self, before: int) -> None:
        # The system sends what was not acknowledged again, later and later, and learns then that nobody is there.
        wait_until(lambda: self.world.descriptors() <= before + 10, f"as many descriptors as before ({before})", 60, 0.5)

    def next_scrape(self) -> None:
        done = run(*self.world.network.inside(SCRAPER, "curl", "-sS", "--max-time", "10", f"{MONITOR_URL}/metrics"))
        expect("the domain in it", f'smtptls_domain_info{{domain="{DOMAINS[0]}"' in done, True)
        expect("its end", done.endswith("\n"), True)


def read_slowly() -> None:
    """A scrape that takes the first octets, and waits then."""
    with socket.socket() as connection:
        # As little as the system lets, so that the rest of the answer waits at the other end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        connection.connect((ADDRESSES[MONITOR], 10461))
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: monitor\r\n\r\n")
        connection.recv(16)
        signal.pause()


def main() -> int:
    """Make the world, cut it, and take it down."""
    if sys.argv[1:] == ["read-slowly"]:
        read_slowly()
        return 0
    folder, binary = map(Path, sys.argv[1:])
    if os.getpid() != 1:
        print("not in namespaces of its own: run.py --only partitions", file=sys.stderr)
        return 2
    world = World(folder, binary)
    try:
        world.start()
        Partitions(world).run()
    except Failure as failure:
        result("partitions", str(failure))
        print(world.logs(), file=sys.stderr)
    finally:
        world.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
