#!/usr/bin/env python3
"""Builds the last stage of the Dockerfile around a static program, looks into the image, and runs it. No registry and no network is used.

    check.py PROGRAM     what packaging/static.sh printed

It needs root, and on Debian the packages podman, runc, iproute2, curl and gcc. The storage is a temporary folder; containers run in a network namespace of
their own that has loopback alone. Everything is removed at the end, after a failure too.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True

from peers import DOMAINS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAM = "usr/local/bin/smtptls-exporter"
STATE = "var/lib/smtptls-exporter"
NOBODY = 65532
# Everything that may be in the image, with mode and owner. What is more, somebody could use.
FILES = {
    "usr": (0o755, 0), "usr/local": (0o755, 0), "usr/local/bin": (0o755, 0), PROGRAM: (0o755, 0),
    "usr/share": (0o755, 0), "usr/share/doc": (0o755, 0), "usr/share/doc/smtptls-exporter": (0o755, 0),
    **{f"usr/share/doc/smtptls-exporter/{name}": (0o644, 0) for name in ("LICENSE", "NOTICE", "THIRD-PARTY")},
    "tmp": (0o1777, 0), "var": (0o755, 0), "var/lib": (0o755, 0), STATE: (0o750, NOBODY),
}
# What docs/how-to/container.md advises.
HARDENED = ["--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--memory", "512m", "--pids-limit", "256"]
# The machine's own limits may be lower than what podman asks for, and cannot be raised in every machine.
LIMITS = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"]
# Seconds. A busy machine; each wait ends as soon as what it waits for is there.
PATIENCE = 60
# Seconds from SIGTERM to the end. The monitor has 20 where peers and disk are slow (docs/how-to/container.md tells Docker to wait 30); here
# nothing is, so it has to be enough what Docker waits unless told otherwise.
END = 10
URL = "http://127.0.0.1:10461"


class Failure(Exception):
    """What does not hold."""


def main() -> int:
    """Build, look, run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path, help="the static program")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    missing = [name for name in ("podman", "runc", "ip", "curl", "cc", "readelf") if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if missing or os.geteuid() != 0:
        print(f"check.py: needs root, and {', '.join(missing) or 'nothing else'}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="smtptls-image-") as name, Machine(Path(name)) as machine:
        try:
            machine.start()
            revision = machine.build(arguments.program.resolve())
            for step in (inspect, contents, version, no_shell, mistakes, whole_life, database, demonstration):
                began = time.monotonic()
                said = step(machine, revision)
                print(f"  {step.__name__.replace('_', ' ')}: {said} ({time.monotonic() - began:.1f} s)", flush=True)
        except Failure as failure:
            print(f"check.py: {failure}", file=sys.stderr)
            return 1
    return 0


class Machine:
    """Podman with a storage of its own, and the network namespace with the peers."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.namespace = f"smtptls-image-{os.getpid()}"
        # vfs asks nothing of the kernel or of the file system below. Cgroups of both versions at once, as some machines
        # have them, are runc's alone; and there may be no systemd to ask for one.
        self.podman_words = [
            "podman", "--root", folder / "storage", "--runroot", folder / "run", "--tmpdir", folder / "tmp", "--storage-driver", "vfs",
            "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--log-level", "error",
        ]
        # Nobody needs a timer of systemd for health here: it is asked for below.
        self.environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "DISABLE_HC_SYSTEMD": "true"}
        self.peers = None
        self.image = "localhost/smtptls-exporter:check"

    def __enter__(self):
        return self

    def start(self) -> None:
        """The network namespace and the peers in it."""
        self.command("ip", "netns", "add", self.namespace)
        self.command("ip", "-n", self.namespace, "link", "set", "lo", "up")
        log = (self.folder / "peers.log").open("w")
        self.peers = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, sys.executable, HERE / "peers.py"], stdout=log, stderr=log, env=self.environment)
        self.wait(lambda: "ready" in self.told(), "the peers are up")

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.podman("rm", "--all", "--force", "--time", "1", expect=None)
            self.podman("volume", "rm", "--all", "--force", expect=None)
        if self.peers is not None:
            self.peers.kill()
            self.peers.wait()
        self.command("ip", "netns", "del", self.namespace, expect=None)

    def command(self, *words, expect: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess:
        """Run a program to its end. `expect`: its exit status; None where any is right."""
        done = subprocess.run(
            [str(word) for word in words], input=stdin, capture_output=True, text=True, timeout=300, env=self.environment, check=False)
        if expect is not None and done.returncode != expect:
            raise Failure(f"{' '.join(map(str, words))}: exit {done.returncode} and not {expect}\n{done.stdout}{done.stderr}")
        return done

    def podman(self, *words, expect: int | None = 0) -> subprocess.CompletedProcess:
        """Podman's answer."""
        return self.command(*self.podman_words, *words, expect=expect)

    def build(self, program: Path) -> str:
        """The last stage of the Dockerfile, with what its first one would have laid out. Returns the revision of the program."""
        self.command(HERE / "layout.sh", program, self.folder / "build/image")
        revision = self.command(program, "--version").stdout.partition("revision ")[2].partition(",")[0]
        # An image of OCI has no place for HEALTHCHECK.
        self.podman("build", "--format", "docker", "--build-context", f"build={self.folder / 'build'}", "--build-arg", f"SMTPTLS_REVISION={revision}",
                    "--network", "none", "--pull=never", "--tag", self.image, ROOT)
        return revision

    def run(self, name: str, *words, options=(), expect: int | None = 0) -> subprocess.CompletedProcess:
        """A container as a careful operator runs it, with the peers beside it."""
        return self.podman(
            "run", "--name", name, "--network", f"ns:/run/netns/{self.namespace}", "--dns", "127.0.0.1", "--add-host", "files.example:127.0.0.1",
            *HARDENED, *LIMITS, *options, self.image, *words, expect=expect)

    def fetch(self, path: str, *words) -> tuple[int, str]:
        """Status and body of an answer of the monitor; 0 where nobody answers."""
        done = self.command("ip", "netns", "exec", self.namespace, "curl", "-sS", "-m", "10", "-w", "\n%{http_code}", *words, URL + path, expect=None)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    def sample(self, series: str) -> float | None:
        """The value of one series of /metrics."""
        for line in self.fetch("/metrics")[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        return None

    def told(self) -> str:
        """What came to the peers."""
        return (self.folder / "peers.log").read_text()

    def wait(self, condition, what: str, container: str | None = None) -> None:
        """Until it holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            running = container is None or self.podman("inspect", "--format", "{{.State.Running}}", container).stdout.strip() == "true"
            # What it waited for may have come between the two.
            if (time.monotonic() > end or not running) and not condition():
                logs = self.podman("logs", container, expect=None) if container else None
                ended = "" if running else f", and the container ended with {self.podman('inspect', '--format', '{{.State.ExitCode}}', container).stdout.strip()}"
                raise Failure(f"{what}: not within {PATIENCE} s{ended}\n{logs.stdout + logs.stderr if logs else self.told()}")
            time.sleep(0.2)

    def configuration(self, text: str) -> list:
        """The option that mounts a configuration."""
        file = self.folder / f"{len(list(self.folder.glob('*.yml')))}.yml"
        file.write_text(text)
        return ["--volume", f"{file}:/etc/smtptls-exporter/smtptls-exporter.yml:ro"]


    def trap(self) -> list:
        """The options for a machine whose names are first asked of a module that no program survives. A static program must not load it:
        packaging/no-modules.c."""
        (self.folder / "nsswitch.conf").write_text("hosts: trap files dns\n")
        source, module = self.folder / "trap.c", self.folder / "trap.so"
        source.write_text("__attribute__((constructor)) static void loaded(void) { __builtin_trap(); }\n")
        self.command("cc", "-shared", "-fPIC", "-nostdlib", "-o", module, source)
        place = f"/lib/{self.command('cc', '-print-multiarch').stdout.strip()}/libnss_trap.so.2"
        return ["--volume", f"{module}:{place}:ro", "--volume", f"{self.folder}/nsswitch.conf:/etc/nsswitch.conf:ro"]


def inspect(machine: Machine, revision: str) -> str:
    """What the image says of itself."""
    image = json.loads(machine.podman("image", "inspect", machine.image).stdout)[0]
    config = image["Config"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items() if "opencontainers" in name}
    manifest = dict(re.findall(r'^(\w+) = "(.*)"$', (ROOT / "Cargo.toml").read_text().partition("\n[lib]")[0], re.M))
    for label, key in (("version", "version"), ("licenses", "license"), ("source", "repository"), ("title", "name")):
        expect(labels[label], manifest[key], f"the label {label}")
    expect(labels["revision"], revision, "the label of the revision")
    expect(config["User"], f"{NOBODY}:{NOBODY}", "the user")
    expect(config["Entrypoint"], [f"/{PROGRAM}"], "the entry point")
    expect(config["WorkingDir"], f"/{STATE}", "the folder where it runs")
    expect(list(config["Volumes"]), [f"/{STATE}"], "the volumes")
    expect(list(config["ExposedPorts"]), ["10461/tcp"], "the ports")
    expect(image["Healthcheck"]["Test"], ["CMD", f"/{PROGRAM}", "healthcheck"], "the health check")
    return f"{image['Size'] / 1e6:.1f} MB, {len(image['RootFS']['Layers'])} layers"


def contents(machine: Machine, _: str) -> str:
    """Exactly the files that are meant, and no program that needs another file."""
    archive = machine.folder / "image.tar"
    machine.podman("create", "--name", "contents", "--network", "none", machine.image)
    machine.podman("export", "--output", archive, "contents")
    machine.podman("rm", "contents")
    with tarfile.open(archive) as tar:
        found = {entry.name.rstrip("/"): (entry.mode & 0o7777, entry.uid) for entry in tar if entry.name.rstrip("/")}
        program = machine.folder / "program"
        program.write_bytes(tar.extractfile(PROGRAM).read())
    archive.unlink()
    # Podman makes these when it mounts the container.
    made = {"dev", "etc", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "proc", "run", "run/.containerenv", "sys"}
    expect({name: facts for name, facts in found.items() if name not in made}, FILES, "the files")
    headers = machine.command("readelf", "--wide", "--program-headers", "--dynamic", program).stdout
    expect([line for line in headers.splitlines() if "INTERP" in line or "(NEEDED)" in line], [], "what the program needs beside it")
    return f"{len(FILES)} files and folders, static"


def version(machine: Machine, revision: str) -> str:
    """The program says which one it is."""
    said = machine.run("version", "--version", options=["--rm"]).stdout.strip()
    if revision not in said:
        raise Failure(f"--version says {said}")
    return said


def no_shell(machine: Machine, _: str) -> str:
    """Nothing else can be started. 127 is podman's word for a program that is not there."""
    machine.run("shell", "-c", "true", options=["--rm", "--entrypoint", "/bin/sh"], expect=127)
    return "no /bin/sh"


def mistakes(machine: Machine, _: str) -> str:
    """A wrong configuration, and none at all, end with status 2 and a message."""
    wrong = machine.run("wrong", options=["--rm", *machine.configuration("domains: [example..com]\n")], expect=2)
    absent = machine.run("absent", options=["--rm"], expect=2)
    for done, words in ((wrong, "example..com"), (absent, "/etc/smtptls-exporter/smtptls-exporter.yml")):
        if words not in done.stdout + done.stderr:
            raise Failure(f"the message does not say {words}: {done.stdout}{done.stderr}")
    # The roots of the system are not in the image; where they are asked for, that is told and not passed over.
    text = "domains: [example.com]\nprobe: {roots: system}\n"
    without = machine.run("roots", options=["--rm", *machine.configuration(text)], expect=2)
    return f"status 2; without roots of a system: {(without.stdout + without.stderr).strip().splitlines()[-1]}"


def whole_life(machine: Machine, _: str) -> str:
    """Served, healthy, names found by DNS and /etc/hosts, a report kept over a stop and a new container, hung and not healthy."""
    options = ["--detach", "--volume", f"state:/{STATE}", *machine.trap(), *machine.configuration(
        "domains: [reports.example]\nresolver: {servers: [127.0.0.1], dnssec: 'off', timeout: 1s}\nreports: {http: {path: /tlsrpt}}\n"
        "http_sd:\n" + "".join(f"  - url: http://{host}:8080/domains\n" for host in DOMAINS))]
    machine.run("first", options=options)
    machine.wait(lambda: machine.fetch("/-/ready")[0] == 200, "/-/ready answers", "first")
    machine.podman("healthcheck", "run", "first")
    # Nobody listens there.
    machine.podman("exec", "first", f"/{PROGRAM}", "healthcheck", "--web.listen-address", "127.0.0.1:1", expect=1)
    for host, domain in DOMAINS.items():
        machine.wait(lambda domain=domain: f'domain="{domain}"' in machine.fetch("/metrics")[1], f"the list of {host} is in force", "first")
    process = Path("/proc", machine.podman("inspect", "--format", "{{.State.Pid}}", "first").stdout.strip(), "status").read_text()
    facts = dict(line.split(":\t", 1) for line in process.splitlines() if ":\t" in line)
    expect([facts["Uid"].split("\t")[0], facts["CapEff"], facts["CapBnd"], facts["NoNewPrivs"], facts["Seccomp"]],
           [str(NOBODY), "0" * 16, "0" * 16, "1", "2"], "user, capabilities, no-new-privileges and seccomp")
    report = machine.folder / "report.json"
    report.write_text(json.dumps(tls_report()))
    post = ["-H", "Content-Type: application/tlsrpt+json", "--data-binary", f"@{report}"]
    expect(machine.fetch("/tlsrpt", *post)[0], 201, "the answer to a report")
    took = stop(machine, "first")
    # Another container with the same volume: what a new version of the image finds.
    machine.podman("rm", "first")
    machine.run("second", options=options)
    machine.wait(lambda: machine.fetch("/-/ready")[0] == 200, "/-/ready answers again", "second")
    expect(machine.sample('smtptls_tlsrpt_reports_total{transport="https"}'), 1.0, "the report, after the restart")
    expect(machine.fetch("/tlsrpt", *post)[0], 201, "the answer to the same report")
    machine.wait(lambda: machine.sample("smtptls_tlsrpt_reports_duplicate_total") == 1, "the report is known", "second")
    # A process that hangs is not healthy.
    pid = int(machine.podman("inspect", "--format", "{{.State.Pid}}", "second").stdout)
    os.kill(pid, signal.SIGSTOP)
    machine.podman("healthcheck", "run", "second", expect=1)
    os.kill(pid, signal.SIGCONT)
    machine.podman("healthcheck", "run", "second")
    return f"ended {took:.1f} s and {stop(machine, 'second'):.1f} s after SIGTERM"


def database(machine: Machine, _: str) -> str:
    """The database is found by its name."""
    text = "domains: [example.com]\nresolver: {servers: [127.0.0.1], timeout: 1s}\nstate: {url: 'postgres://monitor@db.example/smtptls?sslmode=disable'}\n"
    machine.run("database", options=["--detach", *machine.configuration(text)])
    machine.wait(lambda: "database" in machine.told(), "a connection to db.example", "database")
    machine.podman("rm", "--force", "--time", "1", "database")
    return "found by name"


def demonstration(machine: Machine, _: str) -> str:
    """The demonstration, the same as with docker compose, but for the read-only root."""
    machine.run("demo", "demo", "--web.listen-address", ":10461", options=["--detach", "--tmpfs", "/tmp:size=64m"])
    machine.wait(lambda: machine.fetch("/-/ready")[0] == 200, "the demonstration is ready", "demo")
    series = 'smtptls_domain_findings{domain="drift.test",severity="error"}'
    machine.wait(lambda: (machine.sample(series) or 0) >= 1, "the fault of drift.test is found", "demo")
    machine.podman("healthcheck", "run", "demo")
    return f"ended {stop(machine, 'demo'):.1f} s after SIGTERM"


def stop(machine: Machine, name: str) -> float:
    """SIGTERM, and an end without a fault within what container runtimes wait. Returns the seconds."""
    began = time.monotonic()
    machine.podman("stop", "--time", str(END), name)
    took = time.monotonic() - began
    # 137 where it had to be killed.
    expect(machine.podman("inspect", "--format", "{{.State.ExitCode}}", name).stdout.strip(), "0", f"the exit status of {name}")
    return took


def tls_report() -> dict:
    """A report about yesterday (RFC 8460 §4.4)."""
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400))
    summary = {"total-successful-session-count": 5, "total-failure-session-count": 0}
    policy = {"policy-type": "no-policy-found", "policy-domain": "reports.example"}
    return {
        "organization-name": "Sender", "contact-info": "tls@sender.example", "report-id": f"{day}-1",
        "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
        "policies": [{"policy": policy, "summary": summary}],
    }


def expect(found, wanted, what: str) -> None:
    """Both are the same."""
    if found != wanted:
        raise Failure(f"{what}: {found}, and should be {wanted}")


if __name__ == "__main__":
    sys.exit(main())
