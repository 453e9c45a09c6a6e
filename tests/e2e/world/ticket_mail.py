"""A mail server that takes the tickets of Alertmanager and keeps them."""

import email
import email.policy
import socketserver
import threading
from email.message import EmailMessage

from .domains import RECEIVER_SMTP


class Session(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as one client asks for."""

    timeout = 30

    def handle(self) -> None:
        """One connection."""
        self.say("220 tickets.test ESMTP")
        while line := self.rfile.readline(1000):
            verb = line[:4].upper().strip()
            if verb == b"DATA":
                self.say("354 go on")
                self.server.keep(self.data())
                self.say("250 kept")
            elif verb == b"QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 fine")

    def data(self) -> bytes:
        """The message, up to the line with a dot."""
        lines = []
        while (line := self.rfile.readline(10000)) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return b"".join(lines)

    def say(self, reply: str) -> None:
        """One line."""
        self.wfile.write(reply.encode() + b"\r\n")


class TicketMail(socketserver.ThreadingTCPServer):
    """Listens in a thread of this process."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        super().__init__(RECEIVER_SMTP, Session)
        self.messages: list[EmailMessage] = []

    def start(self) -> None:
        """Take mail from now on."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def keep(self, octets: bytes) -> None:
        """Called by a session."""
        self.messages.append(email.message_from_bytes(octets, policy=email.policy.default))

    def tickets(self) -> list[tuple[str, str]]:
        """Subject and text of every message so far."""
        bodies = ((message["subject"], message.get_body(("plain",))) for message in list(self.messages))
        return [(subject, body.get_content() if body else "") for subject, body in bodies]

    def stop(self) -> None:
        """End it."""
        self.shutdown()
        self.server_close()
