"""The resolvers: one that validates, one that does not, and a forwarder that loses the signatures."""

import signal
import socket
import threading
from pathlib import Path

from .dns import Knot, query
from .domains import DNS_AUTHORITY, DNS_PLAIN_RESOLVER, DNS_RESOLVER, DNS_STRIPPING_FORWARDER
from .process import Daemon, listens

UNBOUND = """
server:
  interface: {address}
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
  module-config: "{modules}"
  cache-max-ttl: 2
  cache-max-negative-ttl: 1
  ede: yes
remote-control:
  control-enable: no
"""

# Octets before the question (RFC 1035 section 4.1.1).
HEADER_SIZE = 12


class Unbound:
    """A resolver; it validates unless told otherwise, and passes signatures on in any case."""

    def __init__(self, folder: Path, knot: Knot, address: str = DNS_RESOLVER, validates: bool = True):
        self.folder = folder
        self.knot = knot
        self.address = address
        self.validates = validates
        self.log = folder / "unbound.log"
        self.daemon = Daemon("unbound", ["unbound", "-d", "-c", folder / "unbound.conf"], self.log, folder)
        # The root's key, for others who validate too.
        self.anchor = folder / "anchor"

    def start(self) -> None:
        """Start it with the root's key as its anchor."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.anchor.write_text(self.knot.anchor())
        (self.folder / "hints").write_text(f". NS ns.test.\nns.test. A {DNS_AUTHORITY}\n")
        modules = "validator iterator" if self.validates else "iterator"
        text = UNBOUND.format(folder=self.folder, address=self.address, modules=modules)
        (self.folder / "unbound.conf").write_text(text)
        self.daemon.start(self.ready)

    def ready(self) -> bool:
        """Whether it answers, with the AD bit exactly where it validates."""
        if not listens(self.address, 53):
            return False
        answer = query("test", "SOA", self.address)
        return answer.status == "NOERROR" and answer.secure == self.validates

    def pause(self) -> None:
        """Make it silent: queries are neither answered nor refused."""
        self.daemon.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self.daemon.signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it."""
        self.daemon.stop()


class StrippingForwarder:
    """A forwarder as many routers have one: it asks on without the DO bit (RFC 3225), so no signature ever comes back. UDP only."""

    def __init__(self):
        self.socket: socket.socket | None = None

    def start(self) -> None:
        """Answer in a thread of this process, one query after the other."""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((DNS_STRIPPING_FORWARDER, 53))
        threading.Thread(target=self.serve, args=(self.socket,), daemon=True).start()

    def serve(self, own: socket.socket) -> None:
        """Until the socket is closed."""
        while True:
            try:
                packet, client = own.recvfrom(4096)
            except OSError:
                return
            # No query; an empty one is how the end of the socket shows.
            if len(packet) <= HEADER_SIZE:
                return
            # Each query has a socket of its own; one that stays without an answer holds up nobody.
            threading.Thread(target=self.forward, args=(own, packet, client), daemon=True).start()

    @staticmethod
    def forward(own: socket.socket, packet: bytes, client) -> None:
        """One query and its answer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
            upstream.settimeout(3)
            try:
                upstream.sendto(without_do(packet), (DNS_PLAIN_RESOLVER, 53))
                own.sendto(upstream.recv(4096), client)
            except OSError:
                return

    def stop(self) -> None:
        """End it."""
        # A blocked recvfrom is woken by shutdown, not by close; on a datagram socket that is an error which does no harm.
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


def without_do(packet: bytes) -> bytes:
    """A query with the DO bit of its OPT record cleared. A query has one question and nothing but OPT after it."""
    position = HEADER_SIZE
    while packet[position]:
        position += 1 + packet[position]
    opt = position + 5
    # The root's name, type 41; then the size, and in the TTL's place extended code, version and the flags.
    if packet[opt : opt + 3] != b"\0\0\x29":
        return packet
    flags = opt + 7
    return packet[:flags] + bytes([packet[flags] & 0x7F]) + packet[flags + 1 :]
