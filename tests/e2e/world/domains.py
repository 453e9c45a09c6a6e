"""What stands in the world: mail hosts, domains and policies. The servers' settings are all made from this table."""

import itertools
from dataclasses import dataclass, field

from .zones import security

DNS_AUTHORITY = "127.77.53.1"
DNS_RESOLVER = "127.77.53.2"
# Passes signatures on and validates nothing.
DNS_PLAIN_RESOLVER = "127.77.53.3"
# Passes on everything but the signatures.
DNS_STRIPPING_FORWARDER = "127.77.53.4"
POLICY_HOSTS = ("127.77.43.1", "127.77.43.2")
PROMETHEUS = ("127.77.90.1", 9090)
EXPORTER = ("127.77.90.2", 10461)
# Where reports by HTTPS are taken.
REPORTS_HTTPS = ("127.77.90.2", 10463)
# The mail host and the IMAP server of reports.test.
REPORTS_MX = "127.77.26.1"
IMAP = "127.77.26.2"
# The stage of the alerts has a monitor and a Prometheus of its own.
ALERTS_EXPORTER = ("127.77.90.3", 10461)
ALERTS_PROMETHEUS = ("127.77.90.4", 9090)
ALERTMANAGER = ("127.77.90.5", 9093)
# Takes the notifications: as a webhook, and as the mail server.
RECEIVER = ("127.77.90.6", 9095)
RECEIVER_SMTP = ("127.77.90.6", 2525)
# Scrapes at /probe.
PROBE_PROMETHEUS = ("127.77.90.7", 9090)
# The stage of the shards: instances that share a PostgreSQL.
SHARD_POSTGRES = "127.77.90.8"
SHARD_ADDRESSES = tuple((f"127.77.90.{number}", 10461) for number in (9, 10, 11, 12))
# Scrapes in parts.
PARTS_PROMETHEUS = ("127.77.90.13", 9090)
# Nobody listens here: a connection is refused.
CLOSED = "127.77.25.250"

WEEK = 604800


@dataclass(frozen=True)
class MailHost:
    """A host with port 25.

    `certificate`: a kind that `Pki.server` knows, none (no STARTTLS), closed (no server). `tlsa`: usage, selector, matching type and what
    they are of, as `Pki.association` knows it; it stands at the name `tlsa_base`, the host's own unless told. `alias_of`: the name that a
    CNAME leads to, which has the addresses. `tls`: a kind that `postfix.TLS` knows. `tlsa_unserved`: its `_tcp` is delegated to
    servers that answer SERVFAIL. `sni_only`: without SNI, or for another name, it serves a certificate of another key.
    """

    name: str
    addresses: tuple[str, ...]
    certificate: str = "good"
    tlsa: tuple[str, ...] = ()
    tlsa_base: str = ""
    alias_of: str = ""
    tls: str = "modern"
    tlsa_unserved: bool = False
    sni_only: bool = False

    def owner(self) -> str:
        """The name that the addresses stand at."""
        return self.alias_of or self.name

    def base(self) -> str:
        """The TLSA base domain (RFC 7672 section 2.2.2)."""
        return self.tlsa_base or self.name


@dataclass(frozen=True)
class Policy:
    """What https://mta-sts.DOMAIN/.well-known/mta-sts.txt gives. `answer`: 200, 404 or 301."""

    mx: tuple[str, ...]
    mode: str = "enforce"
    max_age: int = WEEK
    answer: int = 200
    certificate: str = "good"
    addresses: tuple[str, ...] = POLICY_HOSTS[:1]

    def body(self) -> str:
        """The policy file, with the line ends of RFC 8461 section 3.2."""
        lines = ["version: STSv1", f"mode: {self.mode}", *(f"mx: {mx}" for mx in self.mx), f"max_age: {self.max_age}"]
        return "".join(line + "\r\n" for line in lines)


@dataclass(frozen=True)
class Domain:
    """A domain under test. `mx` in the order of preference; `unserved`: names whose servers answer SERVFAIL."""

    name: str
    mx: tuple[str, ...]
    policy: Policy | None = None
    sts_txt: tuple[str, ...] = ("v=STSv1; id=20261101;",)
    tlsrpt: bool = True
    unserved: tuple[str, ...] = ()
    # Known to the exporter from the start.
    configured: bool = True

    def fails(self, name: str) -> bool:
        """Whether the validating resolver has SERVFAIL for a name of this domain."""
        return security(self.name) == "bogus" or any(name == dead or name.endswith(f".{dead}") for dead in self.unserved)


# The domains whose alerts are tried stand below this one.
ALERTS = "alerts.test"


@dataclass
class Table:
    """Every mail host and domain of the world."""

    hosts: dict[str, MailHost] = field(default_factory=dict)
    domains: dict[str, Domain] = field(default_factory=dict)

    def host(self, name: str, certificate: str = "good", extra: tuple[str, ...] = (), network: int = 25, **more) -> str:
        """Add a mail host on an IPv4 address of its own in 127.77.NETWORK.0/24."""
        address = CLOSED if certificate == "closed" else f"127.77.{network}.{len(self.hosts) + 1}"
        self.hosts[name] = MailHost(name, (address, *extra), certificate, **more)
        return name

    def domain(self, name: str, mx: tuple[str, ...], policy: Policy | None = None, **more) -> None:
        """Add a domain; without a policy it publishes no record either, unless told."""
        if policy is None:
            more.setdefault("sts_txt", ())
        self.domains[name] = Domain(name, mx, policy, **more)

    def configured(self) -> list[Domain]:
        """The domains that the exporter is told at its start."""
        return [domain for domain in self.domains.values() if domain.configured]

    def below(self, parent: str) -> list[Domain]:
        """The domains below a name."""
        return [domain for domain in self.domains.values() if domain.name.endswith(f".{parent}")]

    def served_hosts(self) -> list[MailHost]:
        """The mail hosts that run."""
        return [host for host in self.hosts.values() if host.certificate != "closed"]


def table(ipv6: bool) -> Table:
    """The world. Each domain is right except for the one thing that it is named after."""
    world = Table()

    mx1 = world.host("mx1.good.test", extra=("::1",) if ipv6 else ())
    mx2 = world.host("mx2.good.test")
    world.domain("good.test", (mx1, mx2), Policy(("*.good.test",), addresses=POLICY_HOSTS))

    mx1, mx2 = world.host("mx1.drift.test"), world.host("mx2.drift.test")
    world.domain("drift.test", (mx1, mx2), Policy((mx1,)), tlsrpt=False)

    mx1, mx2 = world.host("mx1.backup.test"), world.host("mx2.backup.test", "expired")
    world.domain("backup.test", (mx1, mx2), Policy((mx1, mx2)))

    mx1, mx2 = world.host("mx1.down.test"), world.host("mx2.down.test", "closed")
    world.domain("down.test", (mx1, mx2), Policy((mx1, mx2)))

    for name, certificate in (("wrongname", "wrong-name"), ("plain", "none"), ("untrusted", "self-signed")):
        mx = world.host(f"mx.{name}.test", certificate)
        world.domain(f"{name}.test", (mx,), Policy((mx,)))

    mx = world.host("mx.gone.test")
    world.domain("gone.test", (mx,), Policy((mx,), answer=404))
    mx = world.host("mx.redirect.test")
    world.domain("redirect.test", (mx,), Policy((mx,), answer=301))
    mx = world.host("mx.hostexpired.test")
    world.domain("hostexpired.test", (mx,), Policy((mx,), certificate="expired"))
    mx = world.host("mx.twotxt.test")
    two = ("v=STSv1; id=20261101;", "v=STSv1; id=20261102;")
    world.domain("twotxt.test", (mx,), Policy((mx,)), sts_txt=two)

    world.domain("servfail.test", (), unserved=("servfail.test",))
    mx = world.host("mx.stsfail.test")
    world.domain("stsfail.test", (mx,), Policy((mx,)), sts_txt=(), unserved=("_mta-sts.stsfail.test",))

    mx = world.host("mx.none.test")
    world.domain("none.test", (mx,), tlsrpt=False)
    world.domain("nullmx.test", (".",), tlsrpt=False)
    mx = world.host("mx.testing.test")
    world.domain("testing.test", (mx,), Policy((mx,), mode="testing"))

    mx = world.host("mx.provider.test")
    for name in ("shared1.test", "shared2.test", "shared3.test"):
        world.domain(name, (mx,), Policy((mx,)))

    # For what changes while the exporter runs: a certificate that goes bad, a domain that is added by a reload.
    mx = world.host("mx.flaky.test")
    world.domain("flaky.test", (mx,), Policy((mx,)))
    mx = world.host("mx.late.test")
    world.domain("late.test", (mx,), Policy((mx,)), configured=False)

    add_dane(world)
    add_old_tls(world)
    add_alerts(world)
    return world


def add_dane(world: Table) -> None:
    """DANE (RFC 7672), in the signed dane.test unless the name says otherwise; none has MTA-STS unless its policy stands here."""

    def one(name: str, *tlsa: str, policy: str = "", certificate: str = "good", tlsrpt: bool = True, **more) -> None:
        """A domain with one mail host."""
        mx = world.host(f"mx.{name}.dane.test", certificate, tlsa=tlsa, **more)
        world.domain(f"{name}.dane.test", (mx,), Policy((mx,), mode=policy) if policy else None, tlsrpt=tlsrpt)

    def two(name: str, first: tuple, second: tuple, policy: str = "", certificates: tuple = ("good", "good")) -> None:
        """A domain with two, each with the TLSA records that are told."""
        hosts = [
            world.host(f"mx{number}.{name}.dane.test", certificate, tlsa=tlsa)
            for number, tlsa, certificate in zip((1, 2), (first, second), certificates, strict=True)
        ]
        world.domain(f"{name}.dane.test", tuple(hosts), Policy(tuple(hosts), mode=policy) if policy else None)

    # DANE-EE: nothing but the key counts.
    one("ee", "3 1 1 own")
    one("eeself", "3 1 1 own", certificate="self-signed")
    one("eeexpired", "3 1 1 own", certificate="expired")
    one("eename", "3 1 1 own", certificate="wrong-name")
    one("caleaf", "3 0 1 own", certificate="ca-leaf")
    # DANE-TA: path, dates and name count too.
    one("ta", "2 1 1 intermediate")
    one("taroot", "2 0 1 root", certificate="with-root")
    one("tanoroot", "2 0 1 root")
    one("taexpired", "2 1 1 intermediate", certificate="expired")
    one("tadomain", "2 1 1 intermediate", certificate="domain-name")
    one("taname", "2 1 1 intermediate", certificate="wrong-name")
    # Records and keys that do not fit together, or only some.
    one("mismatch", "3 1 1 other")
    two("half", ("3 1 1 own",), ("3 1 1 other",))
    two("some", ("3 1 1 own",), ())
    one("staledigest", "3 1 1 other", "3 1 2 own")
    one("rollover", "3 1 1 own", "3 1 1 other")
    one("full", "3 1 0 own")
    # Records that cannot be used for SMTP, and hosts that cannot do what the records ask for.
    one("unusable", "1 1 1 own")
    one("unusableplain", "1 1 1 other", certificate="none")
    one("short", "3 1 1 cut")
    one("mixed", "3 1 1 own", "1 1 1 own")
    one("plaindane", "3 1 1 other", certificate="none")
    # The lookup fails although the addresses are there and signed.
    one("tlsafail", tlsa_unserved=True)
    # The certificate that the records are for is served to those alone who ask for the host by name.
    one("sni", "3 1 1 own", sni_only=True)
    # A mail host that is an alias: records at the end of it, at its beginning, and an end that is not signed.
    one("aliasend", "3 1 1 own", alias_of="real.aliasend.dane.test", tlsa_base="real.aliasend.dane.test")
    one("aliasbegin", "3 1 1 own", alias_of="real.aliasbegin.dane.test")
    one("aliasout", "3 1 1 own", alias_of="aliasout.unsigned.test")
    # Together with MTA-STS.
    one("both", "3 1 1 own", policy="enforce")
    one("renewed", "3 1 1 other", policy="enforce")
    one("testingdane", "3 1 1 other", policy="testing")
    two("somests", ("3 1 1 own",), (), "enforce")
    two("halfsts", ("3 1 1 other",), (), "enforce")
    two("disjoint", ("3 1 1 other",), ("3 1 1 own",), "enforce", ("good", "self-signed"))

    # The zone is the fault, or the only thing that is right.
    good = "mx.ee.dane.test"
    world.domain("norpt.dane.test", (good,), tlsrpt=False)
    world.domain("unsigned.test", (good,))
    world.domain("sts.unsigned.test", (good,), Policy((good,)))
    world.domain("bogus.test", (good,))
    world.domain("lapsed.test", (good,))
    for name in ("ending.test", "sha1.test", "sha1ds.test"):
        world.domain(name, ("mx.none.test",))
    world.domain("hostunsigned.dane.test", (world.host("mx.unsigned.test", tlsa=("3 1 1 own",)),))
    world.domain("hostbogus.dane.test", (world.host("mx.bogus.test", tlsa=("3 1 1 own",)),))


def add_old_tls(world: Table) -> None:
    """TLS as it used to be, without any policy."""
    for name, certificate, tls in (
        ("oldtls", "good", "old-too"),
        ("tls11", "rsa-2048", "tls11"),
        ("rsakex", "rsa-2048", "rsa-key-exchange"),
        ("rsa1024", "rsa-1024", "level-0"),
        ("sha1cert", "sha1", "level-0"),
    ):
        world.domain(f"{name}.test", (world.host(f"mx.{name}.test", certificate, tls=tls),))


def add_alerts(world: Table) -> None:
    """Domains that are right until the stage of the alerts breaks them, one after the fault that each is to have.

    Their hosts stand in three networks: in fewer the monitor does not take its own side for shut off (docs/alerting.md).
    """
    networks = itertools.cycle((25, 26, 27))

    def host(name: str, **more) -> str:
        return world.host(f"{name}.{ALERTS}", network=next(networks), **more)

    def domain(name: str, mx: tuple[str, ...], policy: bool = True) -> None:
        world.domain(f"{name}.{ALERTS}", mx, Policy(mx) if policy else None, configured=False)

    domain("steady", (host("mx.steady"),))
    for name in ("expired", "dropped"):
        domain(name, (host(f"mx1.{name}"), host(f"mx2.{name}")))
    for name in ("moved", "sameid1", "sameid2"):
        domain(name, (host(f"mx.{name}"),))
    provider = host("mx.provider")
    for name in ("customer1", "customer2", "customer3"):
        domain(name, (provider,))
    domain("tlsa", (host("mx.tlsa", tlsa=("3 1 1 own",)),), policy=False)
    domain("both", (host("mx.both", tlsa=("3 1 1 own",)),))
