"""A small Debian with a systemd of its own, in namespaces of its own: what a package does to a machine, without the machine."""

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

# What is needed, and the package that brings it.
PROGRAMS = {"mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container", "nsenter": "util-linux", "curl": "curl", "dpkg-deb": "dpkg", "lintian": "lintian"}
MIRROR = "http://deb.debian.org/debian"


class Failure(Exception):
    """The package does not do what it should: one message for the person who runs the test."""


def run(*argv, timeout: float = 120) -> str:
    """Run a program to its end; what it printed. A failure says what it said."""
    done = subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise Failure(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def make_base(folder: Path, suite: str) -> None:
    """The least that has apt and systemd; nothing of the network is used afterwards."""
    # Beside systemd what the package depends on. Documentation is left out: it is most of the files, and nothing of the test.
    run("mmdebstrap", "--variant=apt", "--include=systemd,procps", "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
        # What the package itself brings there is looked at.
        "--dpkgopt=path-include=/usr/share/doc/smtptls-exporter/*", suite, folder, MIRROR, timeout=540)


class Box:
    """The machine; `with Box(…)` takes it away again, whatever happened."""

    def __init__(self, suite: str, base: Path | None) -> None:
        self.suite, self.base = suite, base
        self.folder = Path(tempfile.mkdtemp(prefix="smtptls-deb-", dir="/var/tmp"))
        self.root = self.folder / "root"
        self.log = self.folder / "console"
        self.process: subprocess.Popen | None = None
        self.leader = 0

    def __enter__(self) -> "Box":
        try:
            if self.base:
                if not self.base.exists():
                    make_base(self.base, self.suite)
                run("cp", "-a", self.base, self.root)
            else:
                make_base(self.root, self.suite)
            # Nothing answers there, as nothing of the box reaches a network; a name that is asked is "cannot be told" at once.
            (self.root / "etc/resolv.conf").unlink(missing_ok=True)
            (self.root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
            self.boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.halt()
        # systemd makes some files that cannot be written, and root removes them all the same.
        shutil.rmtree(self.folder, ignore_errors=False)

    def boot(self) -> None:
        """Start it, and wait until systemd answers."""
        command = ["systemd-nspawn", "--quiet", f"--directory={self.root}", "--boot", "--register=no", "--keep-unit", "--private-network", "--resolv-conf=off",
                   "--link-journal=no", "--timezone=off", "--console=pipe", "--machine=smtptls-deb"]
        with self.log.open("wb") as log:
            # A systemd of its own wants the second version of control groups; where the machine has both, it is said so.
            self.process = subprocess.Popen(["env", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        wait_until(self.find_leader, "a systemd in the box", 60)
        wait_until(lambda: self.try_in("systemctl", "is-system-running")[1].strip() in ("running", "degraded"), "the box has booted", 90)

    def find_leader(self) -> bool:
        """The first process of the box, as the machine numbers it."""
        if self.process.poll() is not None:
            raise Failure(f"systemd-nspawn ended with {self.process.returncode}:\n{self.log.read_text(errors='replace')}")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                self.leader = int(child)
        return bool(self.leader)

    def halt(self) -> None:
        """End it: asked first, and then not asked."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            # With the first process of a box the kernel ends all the others.
            if self.leader:
                subprocess.run(["kill", "-KILL", str(self.leader)], check=False)
            self.process.kill()
            self.process.wait(timeout=20)

    def try_in(self, *argv, timeout: float = 120) -> tuple[int, str]:
        """Run a program in the box; its exit status and what it printed."""
        words = ["nsenter", "--target", str(self.leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--", "/usr/bin/env", "-i",
                 "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", *map(str, argv)]
        done = subprocess.run(words, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False)
        return done.returncode, done.stdout

    def run(self, *argv, timeout: float = 120) -> str:
        """Run a program in the box that has to succeed."""
        status, out = self.try_in(*argv, timeout=timeout)
        if status:
            raise Failure(f"in the box: {' '.join(map(str, argv))}: exit {status}\n{out}")
        return out

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def get(self, path: str, address: str = "127.0.0.1:10461", method: str = "GET") -> tuple[int, str]:
        """Ask the monitor; 0 where nobody answers."""
        words = ["nsenter", "--target", str(self.leader), "--net", "--", "curl", "-s", "-m", "10", "-X", method, "-w", "\n%{http_code}", f"http://{address}{path}"]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    def inside(self, path: str) -> Path:
        """A file of the box, as the machine sees it. Links of the box lead elsewhere here: for plain files alone."""
        return self.root / path.lstrip("/")

    def files(self) -> set[str]:
        """What lies where a package and a service leave things."""
        found = self.run("find", "/etc", "/usr", "/var", "/opt", "/srv", "/root", "-xdev", "-not", "-path", "/var/log/*", "-not", "-path", "/var/cache/*")
        return set(found.splitlines())


def wait_until(condition, what: str, seconds: float, pause: float = 0.1):
    """Poll until the condition gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {seconds:g} s")
        time.sleep(pause)
