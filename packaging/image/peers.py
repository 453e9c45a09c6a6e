#!/usr/bin/env python3
"""What the monitor in the image talks to: a name server, a server of lists, and a database that only notes who comes. Loopback alone.

    peers.py     prints a line for each list that was fetched and each connection to the database, until it is stopped
"""

import http.server
import json
import socketserver
import struct
import threading

# The name server knows these, and says of every other name that it does not exist.
ADDRESSES = {"lists.example": "127.0.0.1", "db.example": "127.0.0.1"}
DNS, LISTS, DATABASE = 53, 8080, 5432
# What the two lists hold: the one is asked of a name in the DNS, the other of a name in /etc/hosts.
DOMAINS = {"lists.example": "by-dns.example", "files.example": "by-hosts.example"}


class Names(socketserver.BaseRequestHandler):
    """Answers questions for addresses (RFC 1035 §4.1)."""

    def handle(self) -> None:
        """One question."""
        query, sock = self.request
        labels, place = [], 12
        while query[place]:
            labels.append(query[place + 1:place + 1 + query[place]].decode("latin-1").lower())
            place += query[place] + 1
        kind = struct.unpack("!H", query[place + 1:place + 3])[0]
        question = query[12:place + 5]
        address = ADDRESSES.get(".".join(labels))
        answers = b""
        if address and kind == 1:
            octets = bytes(int(part) for part in address.split("."))
            answers = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + octets
        # A response, authoritative; NXDOMAIN where the name is not known.
        flags = 0x8580 | (0 if address else 3)
        head = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if answers else 0, 0, 0)
        sock.sendto(head + question + answers, self.client_address)


class Lists(http.server.BaseHTTPRequestHandler):
    """Lists of domains, as Prometheus's http_sd has them."""

    def do_GET(self) -> None:
        """The list of the host that was asked for."""
        host = self.headers.get("Host", "").partition(":")[0]
        body = json.dumps([{"targets": [DOMAINS[host]]}] if host in DOMAINS else []).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        print(f"list {host}", flush=True)

    def log_message(self, *_) -> None:
        """Nothing: what matters is printed above."""


class Database(socketserver.BaseRequestHandler):
    """Closes every connection."""

    def handle(self) -> None:
        """Somebody found the way here by name."""
        print("database", flush=True)


class Listener(socketserver.ThreadingTCPServer):
    """May begin again at once at the same port."""

    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    """All three, until the process is stopped."""
    servers = [
        socketserver.ThreadingUDPServer(("127.0.0.1", DNS), Names),
        Listener(("127.0.0.1", LISTS), Lists),
        Listener(("127.0.0.1", DATABASE), Database),
    ]
    print("ready", flush=True)
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main()
