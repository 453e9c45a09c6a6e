"""Mail hosts or policy hosts of a small world: one thread a connection, and a line in a file for each that comes.

Usage: apart_peers.py mail|policy PEM FILE ADDRESS...
"""

import socket
import socketserver
import ssl
import sys
import threading
import time
from pathlib import Path

# Seconds. A monitor that is cut off within a dialogue is not waited for.
PATIENCE = 10


def note(log: Path, kind: str, address: str) -> None:
    """Remember that somebody came. A line this short is written in one piece."""
    with open(log, "a", encoding="ascii") as lines:
        lines.write(f"{time.time():.3f} {kind} {address}\n")


def read_line(connection) -> str:
    """A line without its end; empty where the connection ended."""
    line = b""
    while not line.endswith(b"\n"):
        octet = connection.recv(1)
        if not octet:
            return ""
        line += octet
    return line.decode("ascii", "replace").strip()


def mail(context: ssl.SSLContext, connection) -> None:
    """A dialogue up to QUIT."""
    connection.sendall(b"220 mx.test ESMTP\r\n")
    offer = b"250-mx.test\r\n250 STARTTLS\r\n"
    while line := read_line(connection).upper():
        if line.startswith("EHLO"):
            connection.sendall(offer)
        elif line == "STARTTLS":
            connection.sendall(b"220 go ahead\r\n")
            connection = context.wrap_socket(connection, server_side=True)
            offer = b"250 mx.test\r\n"
        elif line == "QUIT":
            connection.sendall(b"221 bye\r\n")
            return


def policy(context: ssl.SSLContext, connection) -> None:
    """The policy of the domain whose policy host is asked for."""
    connection = context.wrap_socket(connection, server_side=True)
    domain = ""
    while line := read_line(connection):
        name, _, value = line.partition(":")
        if name.lower() == "host":
            domain = value.strip().split(":")[0].removeprefix("mta-sts.")
    body = f"version: STSv1\nmode: enforce\nmx: *.{domain}\nmax_age: 604800\n"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    connection.sendall((head + body).encode("ascii"))
    connection.unwrap()


def server(address: tuple[str, int], kind: str, speak, context: ssl.SSLContext, log: Path) -> socketserver.TCPServer:
    """A server at one address."""

    class Handler(socketserver.BaseRequestHandler):
        """One connection."""

        def handle(self) -> None:
            note(log, kind, address[0])
            self.request.settimeout(PATIENCE)
            try:
                speak(context, self.request)
            except OSError:
                # How a connection ends is the client's to tell, or the network's that was cut.
                pass

    class Server(socketserver.ThreadingTCPServer):
        """Its threads end with the process."""

        address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 64

    return Server(address, Handler)


def main() -> None:
    """Serve until the end."""
    kind, pem, log, *addresses = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    port, speak = (25, mail) if kind == "mail" else (443, policy)
    servers = [server((address, port), kind, speak, context, Path(log)) for address in addresses]
    threads = [threading.Thread(target=each.serve_forever) for each in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
