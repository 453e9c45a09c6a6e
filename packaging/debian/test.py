#!/usr/bin/env python3
"""The whole life of the Debian package in a Debian with a systemd of its own: installed, started, reloaded, watched, stopped, upgraded, removed, purged.

    test.py PACKAGE [--base FOLDER] [--suite SUITE]

Needs root, and mmdebstrap, systemd-container, curl and lintian. Nothing of the machine is changed; the box reaches no network.
"""

import argparse
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

# Nothing of the run stays behind, in the checkout neither.
sys.dont_write_bytecode = True

import shutil

from box import PROGRAMS, Box, Failure, run, wait_until

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "smtptls-exporter.service"
SOCKET = "smtptls-exporter.socket"
CONFIGURATION = "/etc/smtptls-exporter/smtptls-exporter.yml"
FLAGS = "/etc/default/smtptls-exporter"
LISTS = "/etc/smtptls-exporter/domains.d"
# Where systemd keeps the folder of a user that exists only while its service runs.
STATE = "/var/lib/private/smtptls-exporter"
CONFFILES = [FLAGS, f"{LISTS}/README", CONFIGURATION]
# A version from before the one that is tested.
OLDER = "0.0.9-1"
# The unit gives it 30 seconds, and nothing here hangs.
STOP_SECONDS = 10
# The series that tells when a domain was looked at.
LOOKED = 'smtptls_domain_last_probe_timestamp_seconds{domain="first.test"}'
# What dpkg and systemd say where something is wrong.
COMPLAINTS = re.compile(r"(?im)^.*\b(warning|error|fail(ed|ure)?|cannot|unable)\b.*$")
# Said where a service is not to start, as it was asked for, or of a file that apt reads as root.
NO_COMPLAINT = re.compile(r"Download is performed unsandboxed|is a disabled or a static unit")


def main() -> int:
    """Say what holds; end at the first thing that does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--base", type=Path, help="a folder for the empty Debian: taken if it is there, and made and kept if not")
    parser.add_argument("--suite", default="bookworm")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(130))
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        print(f"missing: apt-get install --no-install-recommends {' '.join(missing)}", file=sys.stderr)
        return 2
    began = time.monotonic()
    try:
        contents(arguments.package)
        lint(arguments.package)
        with tempfile.TemporaryDirectory(prefix="smtptls-deb-") as scratch, Box(arguments.suite, arguments.base) as box:
            said("a Debian with a systemd of its own", began)
            life = Life(box, arguments.package, older(arguments.package, Path(scratch)))
            try:
                life.all()
            except Failure:
                print(box.try_in("journalctl", "--no-pager", "-n", "60", "-u", "smtptls-exporter*")[1], file=sys.stderr)
                raise
    except Failure as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    print(f"{Life.passed} passed, 0 failed")
    return 0


def said(what: str, began: float) -> None:
    """One thing that holds, and how long it took to see."""
    Life.passed += 1
    print(f"  {what}: {time.monotonic() - began:.1f} s", flush=True)


def expect(holds: bool, what: str) -> None:
    """The one way to fail."""
    if not holds:
        raise Failure(what)


def contents(package: Path) -> None:
    """The package says of itself what is so."""
    began = time.monotonic()
    field = lambda name: run("dpkg-deb", "--field", package, name).strip()
    crate = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    changelog = re.match(r"smtptls-exporter \((\S+)\) ", (ROOT / "packaging/debian/changelog").read_text())[1]
    expect(field("Package") == "smtptls-exporter" and field("Provides") == "prometheus-smtptls-exporter", f"its names: {field('Package')}, {field('Provides')}")
    expect(field("Version") == changelog == f"{crate}-1", f"version {field('Version')}, in the changelog {changelog}, of the program {crate}")
    with tempfile.TemporaryDirectory(prefix="smtptls-deb-") as scratch:
        run("dpkg-deb", "--raw-extract", package, scratch)
        here = Path(scratch)
        found = sorted((here / "DEBIAN/conffiles").read_text().split())
        expect(found == sorted(CONFFILES), f"the files of the administrator's: {found}")
        program = here / "usr/bin/smtptls-exporter"
        expect(crate in run(program, "--version"), f"the program is not version {crate}")
        commands = [line.split()[0] for line in run(program, "--help").split("Commands:\n")[1].split("\n\n")[0].splitlines() if re.match(r"  \S", line)]
        for page in ["smtptls-exporter", *(f"smtptls-exporter-{command}" for command in commands if command != "help")]:
            expect((here / f"usr/share/man/man1/{page}.1.gz").stat().st_size > 200, f"no manual page {page}")
        for folder, what in (("alerts", "*.rules.yml"), ("dashboards", "*.json")):
            ours = {file.name: file.read_bytes() for file in (ROOT / folder).glob(what)}
            theirs = {file.name: file.read_bytes() for file in (here / "usr/share/smtptls-exporter" / folder).glob(what)}
            expect(bool(ours) and ours == theirs, f"{folder}/ is not what is installed")
        for kind in ("service", "socket"):
            name = f"smtptls-exporter.{kind}"
            expect((here / "usr/lib/systemd/system" / name).read_bytes() == (ROOT / "deploy/systemd" / name).read_bytes(), f"{name} is not that of deploy/systemd")
        bad = [str(file.relative_to(here)) for file in here.rglob("*") if not file.is_symlink() and (file.stat().st_mode & 0o022 or file.stat().st_uid)]
        expect(not bad, f"others may write: {bad}")
        checked = run(program, "config", "check", here / CONFIGURATION.lstrip("/"))
        expect("is valid: 0 domains" in checked, f"the configuration that is installed: {checked}")
    said("contents", began)


def lint(package: Path) -> None:
    """Lintian has no complaint that lintian-overrides does not answer."""
    began = time.monotonic()
    run("lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", package, timeout=300)
    said("lintian", began)


def older(package: Path, scratch: Path) -> Path:
    """The same package as an older version had it: with another configuration, and other flags."""
    folder, made = scratch / "older", scratch / "older.deb"
    run("dpkg-deb", "--raw-extract", package, folder)
    control = folder / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .+$", f"Version: {OLDER}", control.read_text()))
    for path in (CONFIGURATION, FLAGS):
        file = folder / path.lstrip("/")
        file.write_text("# As it was before.\n" + file.read_text())
    # They are no longer right, and dpkg needs none.
    (folder / "DEBIAN/md5sums").unlink(missing_ok=True)
    run("dpkg-deb", "--build", "--root-owner-group", "-Zgzip", "-z1", folder, made)
    return made


class Life:
    """What happens to the package, in this order."""

    passed = 0

    def __init__(self, box: Box, package: Path, before: Path) -> None:
        self.box = box
        for file, name in ((package, "package.deb"), (before, "older.deb")):
            shutil.copy(file, box.inside(f"/root/{name}"))
        self.empty = box.files()

    def all(self) -> None:
        """Each step begins where the one before ended."""
        for step in (self.install, self.follow_a_list, self.reload, self.flags, self.watchdog, self.stop, self.start, self.socket, self.purge,
                     self.upgrade, self.stay_disabled, self.upgrade_behind_the_socket, self.remove, self.install_again, self.purge, self.install_in_the_way):
            began = time.monotonic()
            # systemd refuses a sixth start within ten seconds; nobody but a test is as quick.
            self.box.try_in("systemctl", "reset-failed", SERVICE)
            step()
            said(step.__doc__.rstrip("."), began)

    def apt(self, *words: str) -> str:
        """Run apt; a complaint of it, or of what it calls, is a failure too."""
        out = self.box.run("apt-get", "-qy", *words, timeout=240)
        complaints = [line[0] for line in COMPLAINTS.finditer(out) if not NO_COMPLAINT.search(line[0])]
        expect(not complaints, f"apt-get {' '.join(words)}: {complaints}\n{out}")
        return out

    def main_pid(self) -> int:
        """The process of the service."""
        return int(self.box.show(SERVICE, "MainPID"))

    def domains(self) -> list[str]:
        """What the monitor watches."""
        status, body = self.box.get("/sd")
        expect(status == 200, f"/sd answers {status}")
        return sorted(re.findall(r"[\w.-]+\.(?:example|test)", body))

    def metric(self, name: str) -> float | None:
        """A value of the monitor's; none where there is no such series."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.box.get("/metrics")[1], re.M)
        return float(found[1]) if found else None

    def runs(self) -> None:
        """It is up, and said so itself."""
        show = lambda name: self.box.show(SERVICE, name)
        expect(show("ActiveState") == "active" and show("SubState") == "running", f"the service is {show('ActiveState')}/{show('SubState')}, {show('Result')}")
        # With this type systemd calls it active only after READY=1.
        expect(show("Type") == "notify", f"Type={show('Type')}")
        wait_until(lambda: show("StatusText"), "the line of state", 10)
        expect(self.box.get("/-/ready")[0] == 200, "/-/ready is not answered")

    def uid(self) -> int:
        """Whose process it is, as the box numbers users."""
        status = self.box.run("cat", f"/proc/{self.main_pid()}/status")
        return int(re.search(r"^Uid:\s+(\d+)", status, re.M)[1])

    def write(self, path: str, text: str) -> None:
        """Write a file as the administrator would."""
        self.box.inside(path).write_text(text)

    def read(self, path: str) -> str:
        """Read a file."""
        return self.box.inside(path).read_text()

    def is_enabled(self, unit: str) -> str:
        """As systemctl says it."""
        return self.box.try_in("systemctl", "is-enabled", unit)[1].strip()

    def configure(self, domains: str) -> None:
        """Put domains into the configuration."""
        self.write(CONFIGURATION, re.sub(r"(?m)^domains:.*$", f"domains: {domains}", self.read(CONFIGURATION)))

    def install(self) -> None:
        """Installed: it is enabled, runs without rights and without a domain, and has not failed."""
        self.apt("install", "/root/package.deb")
        self.runs()
        expect(self.is_enabled(SERVICE) == "enabled" and self.is_enabled(SOCKET) == "disabled", f"{self.is_enabled(SERVICE)}, {self.is_enabled(SOCKET)}")
        expect(self.box.show(SERVICE, "NRestarts") == "0", "it was started more than once")
        expect(self.domains() == [], f"it watches {self.domains()}")
        # The users that systemd makes for a service (systemd.exec(5), DynamicUser=).
        expect(61184 <= self.uid() <= 65519, f"it runs as user {self.uid()}")
        mode = self.box.run("stat", "-c", "%a", STATE).strip()
        expect(mode == "700", f"the mode of {STATE} is {mode}")
        journal = self.box.run("journalctl", "--no-pager", "-u", SERVICE)
        expect("level=error" not in journal, f"it complains:\n{journal}")

    def follow_a_list(self) -> None:
        """A list in domains.d is followed without a reload."""
        pid = self.main_pid()
        self.write(f"{LISTS}/mine.txt", "first.test\n")
        wait_until(lambda: self.domains() == ["first.test"], "the domain of the list", 15)
        expect(self.main_pid() == pid, "it was started anew")

    def reload(self) -> None:
        """A reload takes a domain on, and a configuration with a mistake changes nothing."""
        pid = self.main_pid()
        self.configure("[second.test]")
        self.box.run("systemctl", "reload", SERVICE)
        wait_until(lambda: self.domains() == ["first.test", "second.test"], "both domains", 15)
        good = self.read(CONFIGURATION)
        self.write(CONFIGURATION, good + "nonsense: 1\n")
        self.box.run("systemctl", "reload", SERVICE)
        wait_until(lambda: self.metric("smtptls_config_last_reload_successful") == 0, "the refusal of a bad configuration", 15)
        self.runs()
        expect("refused" in self.box.show(SERVICE, "StatusText"), "the state of the service does not tell of it")
        expect(self.domains() == ["first.test", "second.test"], f"after a bad configuration it watches {self.domains()}")
        self.write(CONFIGURATION, good)
        self.box.run("systemctl", "reload", SERVICE)
        wait_until(lambda: self.metric("smtptls_config_last_reload_successful") == 1, "the mended configuration", 15)
        wait_until(lambda: "refused" not in self.box.show(SERVICE, "StatusText"), "the state of the service tells of the mended one", 40)
        expect(self.main_pid() == pid, "it was started anew")

    def flags(self) -> None:
        """The flags of /etc/default count from the next start on."""
        # All of 127/8 is this machine; who listens on every address answers at each.
        expect(self.box.get("/-/ready", "127.0.0.2:10461")[0] == 200, "it does not listen on every address")
        self.write(FLAGS, self.read(FLAGS).replace('ARGS=""', 'ARGS="--web.listen-address 127.0.0.1:10461"'))
        self.box.run("systemctl", "restart", SERVICE)
        self.runs()
        expect(self.box.get("/-/ready", "127.0.0.2:10461")[0] == 0, "the flag has no effect")

    def watchdog(self) -> None:
        """The watchdog leaves a live monitor alone, and starts one anew that hangs."""
        expect(self.box.show(SERVICE, "WatchdogUSec") not in ("0", "infinity"), "the unit has no watchdog")
        drop_in = f"/run/systemd/system/{SERVICE}.d"
        self.box.run("mkdir", "-p", drop_in)
        # /run is in the box alone.
        self.box.run("sh", "-c", f"printf '[Service]\\nWatchdogSec=4s\\nRestartSec=100ms\\n' > {drop_in}/test.conf")
        self.box.run("systemctl", "daemon-reload")
        self.box.run("systemctl", "restart", SERVICE)
        pid = self.main_pid()
        # Two and a half of its times.
        time.sleep(10)
        expect(self.main_pid() == pid and self.box.show(SERVICE, "NRestarts") == "0", "the watchdog ended a live monitor")
        self.box.run("kill", "-STOP", str(pid))
        wait_until(lambda: self.box.show(SERVICE, "NRestarts") != "0", "the watchdog ends one that hangs", 30)
        wait_until(lambda: self.box.show(SERVICE, "ActiveState") == "active", "it is started anew", 30)
        journal = self.box.run("journalctl", "--no-pager", "-u", SERVICE)
        expect("Watchdog timeout" in journal, f"it was not the watchdog:\n{journal}")
        self.runs()
        self.box.run("rm", "-r", drop_in)
        self.box.run("systemctl", "daemon-reload")
        self.box.run("systemctl", "restart", SERVICE)

    def stop(self) -> None:
        """Stopped, it ends by itself, in time, with what it knows written."""
        self.looked = wait_until(lambda: self.metric(LOOKED), "a look at a domain", 30)
        began = time.monotonic()
        self.box.run("systemctl", "stop", SERVICE)
        took = time.monotonic() - began
        show = lambda name: self.box.show(SERVICE, name)
        expect(took < STOP_SECONDS, f"it took {took:.1f} s to stop")
        expect(show("Result") == "success" and show("ExecMainStatus") == "0" and show("ExecMainCode") == "1", f"{show('Result')}, status {show('ExecMainStatus')}")

    def start(self) -> None:
        """Started again, it shows at once what it knew."""
        self.box.run("systemctl", "start", SERVICE)
        looked = self.metric(LOOKED)
        expect(looked == self.looked, f"the last look at first.test was at {self.looked}, and it shows {looked}")
        self.runs()

    def socket(self) -> None:
        """The socket unit starts the service when somebody asks, and hands it its port."""
        self.box.run("systemctl", "stop", SERVICE)
        before = self.read(FLAGS)
        self.write(FLAGS, 'ARGS="--web.systemd-socket"\n')
        self.box.run("systemctl", "start", SOCKET)
        expect(self.box.show(SERVICE, "ActiveState") == "inactive", "it runs before anybody asks")
        status = wait_until(lambda: self.box.get("/-/ready")[0], "an answer through the socket", 30)
        expect(status == 200, f"/-/ready answers {status}")
        self.runs()
        # While it is started anew nobody is refused: the port is open all the time.
        self.box.run("systemctl", "restart", SERVICE)
        expect(self.box.get("/-/ready")[0] == 200, "nobody answers after a new start")
        self.box.run("systemctl", "stop", SOCKET, SERVICE)
        self.write(FLAGS, before)
        self.box.run("systemctl", "start", SERVICE)
        self.runs()

    def purge(self) -> None:
        """Purged, it leaves nothing: no configuration, no state, no link of a unit."""
        self.apt("purge", "smtptls-exporter")
        expect(self.box.show(SERVICE, "ActiveState") == "inactive" and self.box.show(SERVICE, "LoadState") == "not-found", "the unit is still known")
        expect(self.box.get("/-/ready")[0] == 0, "somebody still listens")
        left = {path for path in self.box.files() - self.empty if not path.startswith(("/var/lib/dpkg", "/var/lib/apt", "/var/lib/systemd", "/var/tmp"))}
        expect(not left, f"it left {sorted(left)}")

    def upgrade(self) -> None:
        """Upgraded, it runs anew with what it knew; a changed configuration is kept, one that was not changed follows."""
        self.apt("install", "/root/older.deb")
        self.configure("[kept.test]")
        self.box.run("systemctl", "reload", SERVICE)
        wait_until(lambda: self.metric('smtptls_domain_last_probe_timestamp_seconds{domain="kept.test"}'), "a look at a domain", 30)
        mine, pid, database = self.read(CONFIGURATION), self.main_pid(), self.box.run("stat", "-c", "%i %u", f"{STATE}/state.db").split()
        expect("As it was before" in mine and "As it was before" in self.read(FLAGS), "the older version has another configuration")
        self.apt("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", "install", "/root/package.deb")
        self.runs()
        expect(self.main_pid() != pid, "the old program goes on")
        expect(self.read(CONFIGURATION) == mine, "the configuration of the administrator's is gone")
        expect("As it was before" not in self.read(f"{CONFIGURATION}.dpkg-dist") + self.read(FLAGS), "a file that nobody changed did not follow")
        expect(self.domains() == ["kept.test"], f"it watches {self.domains()}")
        expect(self.box.run("stat", "-c", "%i %u", f"{STATE}/state.db").split()[0] == database[0], "the state is another one")

    def stay_disabled(self) -> None:
        """A service that the administrator disabled stays so through an upgrade."""
        self.box.run("systemctl", "disable", "--now", SERVICE)
        self.apt("install", "--reinstall", "/root/package.deb")
        expect(self.is_enabled(SERVICE) == "disabled" and self.box.show(SERVICE, "ActiveState") == "inactive", "an upgrade started it")
        self.box.run("systemctl", "enable", "--now", SERVICE)
        self.runs()

    def upgrade_behind_the_socket(self) -> None:
        """One that its socket started is started anew by an upgrade too, and the port is not shut."""
        before = self.read(FLAGS)
        self.write(FLAGS, 'ARGS="--web.systemd-socket"\n')
        self.box.run("systemctl", "disable", "--now", SERVICE)
        self.box.run("systemctl", "enable", "--now", SOCKET)
        expect(self.box.get("/-/ready")[0] == 200, "nobody answers behind the socket")
        pid = self.main_pid()
        self.apt("install", "--reinstall", "/root/package.deb")
        expect(self.main_pid() not in (0, pid), "the old program goes on")
        expect(self.is_enabled(SERVICE) == "disabled" and self.is_enabled(SOCKET) == "enabled", f"{self.is_enabled(SERVICE)}, {self.is_enabled(SOCKET)}")
        self.runs()
        self.box.run("systemctl", "disable", "--now", SOCKET)
        self.write(FLAGS, before)
        self.box.run("systemctl", "stop", SERVICE)
        self.box.run("systemctl", "enable", "--now", SERVICE)
        self.runs()

    def remove(self) -> None:
        """Removed, it leaves configuration, lists and state."""
        self.write(f"{LISTS}/mine.txt", "first.test\n")
        mine = self.read(CONFIGURATION)
        self.apt("remove", "smtptls-exporter")
        expect(not self.box.inside("/usr/bin/smtptls-exporter").exists(), "the program is still there")
        expect(self.box.get("/-/ready")[0] == 0 and self.box.show(SERVICE, "ActiveState") == "inactive", "the service still runs")
        expect(self.read(CONFIGURATION) == mine and self.read(f"{LISTS}/mine.txt") == "first.test\n", "the configuration is gone")
        expect(self.box.inside(f"{STATE}/state.db").exists(), "the state is gone")

    def install_again(self) -> None:
        """Installed again, it goes on where it was."""
        self.apt("install", "/root/package.deb")
        self.runs()
        expect(self.is_enabled(SERVICE) == "enabled", f"it is {self.is_enabled(SERVICE)}")
        wait_until(lambda: self.domains() == ["first.test", "kept.test"], "its domains", 15)

    def install_in_the_way(self) -> None:
        """A port that is taken makes the service fail, not the package; once it is free the service starts."""
        self.box.run("systemd-run", "--unit=in-the-way", "--socket-property=ListenStream=10461", "/bin/true")
        out = self.box.run("apt-get", "-qy", "install", "/root/package.deb", timeout=240)
        expect(self.box.run("dpkg-query", "-W", "-f", "${db:Status-Status}", "smtptls-exporter") == "installed", f"it is not installed:\n{out}")
        expect(self.box.show(SERVICE, "ActiveState") != "active", "it runs although its port is taken")
        expect("10461" in self.box.run("journalctl", "--no-pager", "-u", SERVICE), "the log does not say which port")
        self.box.run("systemctl", "stop", "in-the-way.socket")
        self.box.run("systemctl", "restart", SERVICE)
        self.runs()


if __name__ == "__main__":
    sys.exit(main())
