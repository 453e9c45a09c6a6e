"""The whole world: started in order, stopped in the opposite one."""

import dataclasses
import socket
import time
from pathlib import Path

from .dns import Knot
from .domains import (
    ALERTMANAGER, ALERTS_EXPORTER, ALERTS_PROMETHEUS, CLOSED, DNS_AUTHORITY, DNS_PLAIN_RESOLVER, DNS_RESOLVER,
    DNS_STRIPPING_FORWARDER, EXPORTER, IMAP, POLICY_HOSTS, PROBE_PROMETHEUS, PROMETHEUS, RECEIVER, RECEIVER_SMTP, REPORTS_HTTPS, REPORTS_MX, table,
)
from .dovecot import Dovecot
from .nginx import Nginx
from .peers import PosttlsFinger
from .pki import Pki
from .postfix import Postfix
from .process import has_ipv6, require_free, tail
from .prometheus import Prometheus
from .report_mail import Signer
from .resolver import StrippingForwarder, Unbound


class MailWorld:
    """Everything but the exporter, in one folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.ipv6 = has_ipv6()
        self.table = table(self.ipv6)
        self.pki = Pki(folder / "pki")
        self.signer = Signer(folder / "signer")
        self.knot = Knot(folder / "knot", self.table, self.pki, self.signer)
        self.unbound = Unbound(folder / "unbound", self.knot)
        self.plain_unbound = Unbound(folder / "plain-unbound", self.knot, DNS_PLAIN_RESOLVER, validates=False)
        self.stripping = StrippingForwarder()
        self.nginx = Nginx(folder / "nginx", self.table, self.pki)
        self.postfix = Postfix(folder / "postfix", self.table, self.pki)
        self.dovecot = Dovecot(folder / "dovecot", self.postfix.mail, self.pki)
        self.prometheus = Prometheus(folder / "prometheus")
        self.finger = PosttlsFinger(folder)
        self.started = []

    def start(self) -> dict[str, float]:
        """Start everything; returns the seconds that each part took."""
        require_free(self.sockets())
        took = {}
        resolvers = (self.unbound, self.plain_unbound, self.stripping)
        for part in (self.pki, self.signer, self.knot, *resolvers, self.nginx, self.postfix, self.dovecot, self.prometheus):
            began = time.monotonic()
            # Before its start: a server that came up only half has to be stopped too.
            self.started.append(part)
            part.start()
            name = type(part).__name__.lower()
            took[name] = took.get(name, 0) + time.monotonic() - began
        return took

    def change_host(self, name: str, **changes) -> None:
        """Let a mail host be otherwise, its records apart."""
        self.table.hosts[name] = dataclasses.replace(self.table.hosts[name], **changes)
        self.postfix.refresh()

    def change_domain(self, name: str, **changes) -> None:
        """Let the policy or the records of a domain be otherwise."""
        before = self.table.domains[name]
        after = dataclasses.replace(before, **changes)
        self.table.domains[name] = after
        # The policy first, as RFC 8461 section 3.1 has it: the new id tells that it can be had.
        if after.policy != before.policy:
            self.nginx.refresh()
        if dataclasses.replace(after, policy=before.policy) != before:
            self.knot.refresh(name)

    def serve_certificate(self, host: str, certificate: str) -> None:
        """Put a certificate in place under the running server. The TLSA records stay."""
        self.postfix.install(host, certificate)
        self.postfix.reload()

    def sockets(self) -> list[tuple[str, int, int]]:
        """Every address that a server of this world uses, and the one where nobody must listen."""
        tcp, udp = socket.SOCK_STREAM, socket.SOCK_DGRAM
        mail = [address for host in self.table.served_hosts() for address in host.addresses]
        return [
            *((address, 53, kind) for address in (DNS_AUTHORITY, DNS_RESOLVER, DNS_PLAIN_RESOLVER) for kind in (udp, tcp)),
            (DNS_STRIPPING_FORWARDER, 53, udp),
            *((address, 443, tcp) for address in POLICY_HOSTS),
            *((address, 25, tcp) for address in (*mail, REPORTS_MX, CLOSED)),
            (IMAP, 993, tcp),
            (*PROMETHEUS, tcp),
            (*PROBE_PROMETHEUS, tcp),
            *((*address, tcp) for address in (EXPORTER, ALERTS_EXPORTER, ALERTS_PROMETHEUS, ALERTMANAGER, RECEIVER, RECEIVER_SMTP)),
            (*REPORTS_HTTPS, tcp),
        ]

    def stop(self) -> None:
        """Stop what was started; one that resists does not keep the others alive."""
        errors = []
        for part in reversed(self.started):
            try:
                if hasattr(part, "stop"):
                    part.stop()
            except Exception as error:  # pylint: disable=broad-except
                errors.append(f"{type(part).__name__}: {error}")
        self.started = []
        for error in errors:
            print(f"not stopped cleanly: {error}")

    def logs(self) -> str:
        """The ends of all logs."""
        parts = (self.knot, self.unbound, self.plain_unbound, self.nginx, self.postfix, self.dovecot, self.prometheus)
        return "\n".join(f"--- {part.log}\n{tail(part.log, 15)}" for part in parts if tail(part.log))
