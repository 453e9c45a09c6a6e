#!/usr/bin/env python3
"""A pager for a demonstration: takes the webhook of Alertmanager and prints what it is told.

    receiver.py [ADDRESS:PORT] [--json]
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Where alertmanager.example.yml sends its pages.
ADDRESS = "127.0.0.1:9095"
# A notification of Alertmanager's has some kilobytes an alert; more than this is no notification.
MOST = 16 * 1024 * 1024


def told(message: dict) -> str:
    """A notification as a person wants to read it."""
    group = " ".join(f"{name}={value}" for name, value in message["groupLabels"].items())
    lines = [f"{message['receiver']}: {message['status']}, {len(message['alerts'])} alert(s) of {group}"]
    for alert in message["alerts"]:
        notes = alert["annotations"]
        lines += [f"  {alert['status']}: {notes.get('summary', '')}", f"    {notes.get('description', '')}"]
        lines.append(f"    What to do: {notes.get('runbook_url', '')}")
    return "\n".join(lines)


class Pager(BaseHTTPRequestHandler):
    """One notification a request."""

    as_json = False
    # Each request has a thread; a line is never within another.
    printing = threading.Lock()

    def do_POST(self) -> None:
        """Print it whole, then say so: what was not printed is sent again."""
        try:
            length = int(self.headers.get("content-length", ""))
            if not 0 <= length <= MOST:
                raise ValueError(f"{length} octets")
            message = json.loads(self.rfile.read(length))
            text = json.dumps({"at": time.time(), "path": self.path, "message": message}) if self.as_json else told(message)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self.send_error(400, f"no notification: {error}"[:200])
            return
        with self.printing:
            print(text, flush=True)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_) -> None:
        """The notifications are the log."""


def main() -> None:
    """Until it is stopped."""
    words = [word for word in sys.argv[1:] if word != "--json"]
    Pager.as_json = "--json" in sys.argv[1:]
    host, port = (words[0] if words else ADDRESS).rsplit(":", 1)
    ThreadingHTTPServer((host, int(port)), Pager).serve_forever()


if __name__ == "__main__":
    main()
