"""What stands in the world: mail hosts, domains and policies. The servers' settings are all made from this table."""

from dataclasses import dataclass, field

DNS_AUTHORITY = "127.77.53.1"
DNS_RESOLVER = "127.77.53.2"
POLICY_HOSTS = ("127.77.43.1", "127.77.43.2")
PROMETHEUS = ("127.77.90.1", 9090)
EXPORTER = ("127.77.90.2", 10461)
# Nobody listens here: a connection is refused.
CLOSED = "127.77.25.250"

WEEK = 604800


@dataclass(frozen=True)
class MailHost:
    """A host with port 25. `certificate`: good, expired, wrong-name, self-signed, none (no STARTTLS), closed (no server)."""

    name: str
    addresses: tuple[str, ...]
    certificate: str = "good"


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


@dataclass
class Table:
    """Every mail host and domain of the world."""

    hosts: dict[str, MailHost] = field(default_factory=dict)
    domains: dict[str, Domain] = field(default_factory=dict)

    def host(self, name: str, certificate: str = "good", extra: tuple[str, ...] = ()) -> str:
        """Add a mail host on an IPv4 address of its own."""
        address = CLOSED if certificate == "closed" else f"127.77.25.{len(self.hosts) + 1}"
        self.hosts[name] = MailHost(name, (address, *extra), certificate)
        return name

    def domain(self, name: str, mx: tuple[str, ...], policy: Policy | None = None, **more) -> None:
        """Add a domain; without a policy it publishes no record either, unless told."""
        if policy is None:
            more.setdefault("sts_txt", ())
        self.domains[name] = Domain(name, mx, policy, **more)

    def configured(self) -> list[Domain]:
        """The domains that the exporter is told at its start."""
        return [domain for domain in self.domains.values() if domain.configured]

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
    return world
