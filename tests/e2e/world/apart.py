"""Sides of a world in network namespaces of their own, so that each can be cut off and joined again.

Everything is inside one private network, mount and process namespace, which `PRIVATE` makes: whatever ends the run, the system takes all of
it down with the last process, and nothing outside was changed.
"""

import subprocess

from .process import run

# A network, a view of the file system and processes of its own; all of it ends when whoever started it does, however that ends.
PRIVATE = (
    "setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
)

MONITOR, RESOLVER, MAIL, POLICY, SCRAPER = "monitor", "resolver", "mail", "policy", "scraper"
# Who watches stands at the bridge itself, and is never cut off.
WATCHER = "192.0.2.254"
# Addresses for documentation (RFC 5737), and for tests of networks (RFC 2544): nobody outside has them.
ADDRESSES = {MONITOR: "192.0.2.1", MAIL: "192.0.2.25", POLICY: "192.0.2.43", RESOLVER: "192.0.2.53", SCRAPER: "192.0.2.90"}
BEHIND_MAIL = "198.18.0.0/15"
# The same sides over IPv6 (RFC 3849), and what lies behind them. Who watches and the resolver have IPv4 alone.
ADDRESSES6 = {MONITOR: "2001:db8:ff::1", MAIL: "2001:db8:ff::25", POLICY: "2001:db8:ff::43"}
ALL6 = "2001:db8::/32"
POLICY6 = "2001:db8:43::43"
NOBODY6 = "2001:db8:ff::bad"

# On the way in, so that who sends learns nothing but what comes back.
RULES = """
table inet cut {{
  chain in {{
    type filter hook input priority 0; policy accept;
    {match} {verdict}
  }}
}}
"""
# UDP and TCP are refused each in its own way.
REFUSED = "meta l4proto tcp {match} reject with tcp reset\n    meta l4proto udp {match} reject"


class Network:
    """The namespaces and the bridge between them."""

    def start(self, mail_hosts: list[str], mail_hosts6: list[str]) -> None:
        """Make all of it; `mail_hosts` are further addresses of the side of the mail, `mail_hosts6` those over IPv6."""
        # The names of namespaces lie here; this folder is ours alone.
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "bridge", "type", "bridge")
        run("ip", "addr", "add", f"{WATCHER}/24", "dev", "bridge")
        run("ip", "link", "set", "bridge", "up")
        for side, address in ADDRESSES.items():
            run("ip", "netns", "add", side)
            run("ip", "link", "add", side, "type", "veth", "peer", "name", "eth0", "netns", side)
            run("ip", "link", "set", side, "master", "bridge", "up")
            run("ip", "-n", side, "addr", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", side, "link", "set", "lo", "up")
            run("ip", "-n", side, "link", "set", "eth0", "up")
        for words in (("ip", "-n", MONITOR), ("ip",)):
            run(*words, "route", "add", BEHIND_MAIL, "via", ADDRESSES[MAIL])
        for address in mail_hosts:
            run("ip", "-n", MAIL, "addr", "add", f"{address}/32", "dev", "eth0")
        for side, address in ADDRESSES6.items():
            run("ip", "-n", side, "addr", "add", f"{address}/64", "dev", "eth0", "nodad")
        for side, address in (*((MAIL, address) for address in mail_hosts6), (POLICY, POLICY6)):
            run("ip", "-n", side, "addr", "add", f"{address}/128", "dev", "eth0", "nodad")
        self.route6("via", ADDRESSES6[MAIL])
        run("ip", "-n", MONITOR, "route", "add", f"{POLICY6}/128", "via", ADDRESSES6[POLICY])

    @staticmethod
    def inside(side: str, *words) -> list:
        """The command line that runs another one there."""
        return ["ip", "netns", "exec", side, *words]

    @staticmethod
    def route6(kind: str, gateway: str = "") -> None:
        """Where all that is IPv6 leads from the monitor: `via` a gateway, or nowhere (`blackhole`, `unreachable`)."""
        way = ("via", gateway) if kind == "via" else ()
        words = () if kind == "via" else (kind,)
        run("ip", "-n", MONITOR, "-6", "route", "replace", *words, ALL6, *way)

    def lose_ipv6(self, kind: str) -> None:
        """The monitor has no way for IPv6 any more (`unrouted`), or one that leads nowhere."""
        run("ip", "-n", MONITOR, "route", "del", f"{POLICY6}/128")
        run("ip", "-n", MONITOR, "-6", "route", "flush", ALL6)
        if kind == "swallowed":
            # A neighbour that nobody is: the bridge hands on what is sent to it, and nobody takes it.
            run("ip", "-n", MONITOR, "neigh", "replace", NOBODY6, "lladdr", "02:00:00:00:00:01", "dev", "eth0", "nud", "permanent")
            self.route6("via", NOBODY6)
        elif kind != "unrouted":
            self.route6(kind)

    def find_ipv6(self) -> None:
        """All is as at the start."""
        run("ip", "-n", MONITOR, "-6", "route", "flush", ALL6)
        self.route6("via", ADDRESSES6[MAIL])
        run("ip", "-n", MONITOR, "route", "add", f"{POLICY6}/128", "via", ADDRESSES6[POLICY])

    @staticmethod
    def unplug(side: str) -> None:
        """Its link goes down."""
        run("ip", "link", "set", side, "down")

    @staticmethod
    def plug(side: str) -> None:
        """Its link comes up."""
        run("ip", "link", "set", side, "up")

    def drop(self, side: str, match: str = "") -> None:
        """What comes in there vanishes."""
        self.rule(side, match, "drop")

    def refuse(self, side: str) -> None:
        """What comes in there is refused at once."""
        self.rule(side, "", REFUSED.format(match=""))

    @staticmethod
    def rule(side: str, match: str, verdict: str) -> None:
        """One rule, in the place of the one before."""
        Network.accept(side)
        run(*Network.inside(side, "nft", "-f", "-"), stdin=RULES.format(match=match, verdict=verdict))

    @staticmethod
    def accept(side: str) -> None:
        """No rule any more, whether or not there was one."""
        subprocess.run(Network.inside(side, "nft", "delete", "table", "inet", "cut"), capture_output=True, check=False)
