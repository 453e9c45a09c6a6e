"""Processes that are started, watched and stopped; waiting without fixed sleeps."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

# Where the daemons are; a user's PATH often lacks the second half.
os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"

# What the run needs beside Python, and the Debian package that brings it.
PROGRAMS = {
    "knotd": "knot",
    "keymgr": "knot",
    "knotc": "knot",
    "kdig": "knot-dnsutils",
    "unbound": "unbound",
    "nginx": "nginx-light",
    "postfix": "postfix",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "nft": "nftables",
    "posttls-finger": "postfix",
    "ldns-keygen": "ldnsutils",
    "ldns-signzone": "ldnsutils",
    "ldns-dane": "ldnsutils",
    "openssl": "openssl",
    "dovecot": "dovecot-imapd",
    "curl": "curl",
    "ip": "iproute2",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}


class Failure(Exception):
    """The world cannot be as intended: one message for the person who runs it."""


def require_programs() -> None:
    """Name every missing program and its package at once."""
    missing = {program: package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise Failure(
            f"missing: {', '.join(missing)}. On Debian: RUNLEVEL=1 apt-get install --no-install-recommends {packages}"
        )
    if os.geteuid() != 0:
        raise Failure("the run needs root: its servers use the real ports 25, 53 and 443 (on 127.77.0.0/16 only)")


def require_free(sockets: list[tuple[str, int, int]]) -> None:
    """Refuse to start where another server would answer in the place of one of ours."""
    for address, port, kind in sockets:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # Connections of an earlier run in TIME-WAIT are no obstacle, for the servers neither.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
                if kind == socket.SOCK_STREAM:
                    probe.listen(1)
            except OSError as error:
                raise Failure(
                    f"{address} port {port} is not free ({error.strerror}): another run, or a server of this machine "
                    f"that listens on every address (see: ss -lntup 'sport = :{port}')"
                ) from error


def has_ipv6() -> bool:
    """Whether ::1 can be used."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def run(*argv: str | Path, stdin: str | None = None, timeout: float = 30, cwd: Path | None = None) -> str:
    """Run a program to its end and return what it printed; a failure says what it said."""
    done = subprocess.run(
        [str(word) for word in argv], input=stdin or "", capture_output=True, text=True, timeout=timeout, cwd=cwd, check=False
    )
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_until(condition, what: str, seconds: float = 15, pause: float = 0.05):
    """Poll until the condition gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {seconds:g} s")
        time.sleep(pause)


def tail(log: Path, lines: int = 25) -> str:
    """The end of a log, for a failure's report."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def listens(address: str, port: int) -> bool:
    """Whether a TCP connection is accepted."""
    try:
        socket.create_connection((address, port), timeout=1).close()
        return True
    except OSError:
        return False


class Daemon:
    """A server that stays in the foreground, with its output in a log file."""

    def __init__(self, name: str, argv: list, log: Path, cwd: Path):
        self.name = name
        self.argv = [str(word) for word in argv]
        self.log = log
        self.cwd = cwd
        self.process: subprocess.Popen | None = None

    def start(self, ready, seconds: float = 15) -> None:
        """Start it and wait until `ready()` holds."""
        with open(self.log, "ab") as output:
            # A session of its own: Ctrl-C reaches the run alone, which then stops everything in order.
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.cwd, start_new_session=True
            )

        def up():
            status = self.process.poll()
            if status is not None:
                raise Failure(f"{self.name} ended with status {status} at its start\n{tail(self.log)}")
            return ready()

        try:
            wait_until(up, f"{self.name} ready", seconds)
        except Failure as failure:
            raise Failure(f"{failure}\n{tail(self.log)}") from None

    def running(self) -> bool:
        """Whether it still runs."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def stop(self, seconds: float = 5) -> int | None:
        """Ask it to end, insist after a while; returns the exit status, None if it did not run."""
        if not self.running():
            return None
        # A stopped process acts on no request before it continues.
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
