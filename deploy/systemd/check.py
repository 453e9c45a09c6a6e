#!/usr/bin/env python3
"""Holds the units together, and the program to their sandbox, without a systemd that runs:

- `systemd-analyze verify` has no complaint, and `systemd-analyze security` rates the service no worse than docs/how-to/service.md says;
- the program does all of its work (`demo`: probes, pages, state, reports, a reload, the end) under the filter of system calls and
  address families of the unit, which here kills it where the unit would say EPERM; a call that the filter has not is refused.

Needs systemd-analyze and libseccomp, on Linux; it starts a few processes and talks to loopback.
"""

import argparse
import ctypes
import errno
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
UNIT = FOLDER / "smtptls-exporter.service"
INSTALLED = "/usr/bin/smtptls-exporter"
# Tenths, as --threshold wants them; the page says the same number.
EXPOSURE_MOST = 11
# Far beyond what anything here takes.
PATIENCE = 300

# Root may do what the user of the service may not, and SQLite then does: it gives its files away.
NOBODY = 65534

ALLOW = 0x7FFF0000
KILL = 0x80000000
# <linux/seccomp.h>, libseccomp: an error number instead of the call.
ERRNO = 0x00050000
NOT_EQUAL = 1


def settings(name: str) -> list[str]:
    """The values of a key of the unit, in their order."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.M)


def calls_of(word: str) -> set[str]:
    """The system calls that a word of SystemCallFilter= stands for."""
    if not word.startswith("@"):
        return {word}
    listing = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True).stdout
    words = [line.strip() for line in listing.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*(calls_of(one) for one in words))


def allowed() -> set[str]:
    """The system calls that the unit allows: its lines in their order, and those that systemd always allows."""
    calls = calls_of("@default")
    for line in settings("SystemCallFilter"):
        words = set().union(*(calls_of(word) for word in line.lstrip("~").split()))
        calls = calls - words if line.startswith("~") else calls | words
    return calls


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp"""

    _fields_ = [("argument", ctypes.c_uint), ("operation", ctypes.c_int), ("first", ctypes.c_uint64), ("second", ctypes.c_uint64)]


def confine() -> None:
    """Makes this process a user without rights, and puts the filter of the unit on it and on what it becomes."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(KILL)))
    families = [getattr(socket, name) for name in settings("RestrictAddressFamilies")[0].split()]
    for name in sorted(allowed()):
        number = library.seccomp_syscall_resolve_name(name.encode())
        # Negative: this kind of processor has no such call.
        if number < 0:
            continue
        if name != "socket":
            done = library.seccomp_rule_add_array(context, ctypes.c_uint32(ALLOW), number, 0, None)
            if done:
                raise OSError(-done, f"seccomp_rule_add {name}")
            continue
        # As systemd does for RestrictAddressFamilies=: another family is refused, and nobody is killed for asking.
        for family in range(socket.AF_UNIX, 46):
            is_one = Comparison(0, 4, family, 0)
            action = ALLOW if family in families else ERRNO | errno.EAFNOSUPPORT
            done = library.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, 1, ctypes.byref(is_one))
            if done:
                raise OSError(-done, "seccomp_rule_add socket")
    done = library.seccomp_load(context)
    if done:
        raise OSError(-done, "seccomp_load")


def confined(*command: str, **options) -> subprocess.Popen:
    """Starts a command under the filter."""
    return subprocess.Popen([sys.executable, __file__, "--confined", *command], **options)


# Calls that are tried under the filter, with how the process that tries them ends.
TRIED = {
    # PTRACE_TRACEME: of no consequence where it is not refused.
    "ptrace": (lambda: ctypes.CDLL(None).ptrace(0, 0, 0, 0), -signal.SIGSYS),
    "netlink": (lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW), 1),
    "inet": (lambda: socket.socket(socket.AF_INET), 0),
}


def refuses() -> list[str]:
    """That the filter is one: what the unit does not allow kills, other families are refused."""
    wrong = []
    for name, (_, expected) in TRIED.items():
        status = subprocess.run([sys.executable, __file__, "--tried", name], stderr=subprocess.DEVNULL, check=False).returncode
        if status != expected:
            wrong.append(f"{name} under the filter ends with {status}, expected {expected}")
    return wrong


def get(address: str, path: str, method: str = "GET") -> str:
    """What the monitor answers."""
    request = urllib.request.Request(f"http://{address}{path}", method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read().decode()


def works(binary: Path) -> list[str]:
    """The program under the filter, from the start to the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "127.0.0.1:%d" % free.getsockname()[1]
    with tempfile.TemporaryDirectory() as scratch:
        said = Path(scratch) / "said"
        notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notified.bind(f"{scratch}/notify")
        if os.geteuid() == 0:
            for place in (scratch, f"{scratch}/notify"):
                os.chown(place, NOBODY, NOBODY)
        notified.settimeout(0.5)
        with said.open("w") as out:
            command = [str(binary), "demo", "--web.listen-address", address, "--demo.dir", f"{scratch}/demo"]
            environment = {**os.environ, "NOTIFY_SOCKET": f"{scratch}/notify", "WATCHDOG_USEC": "2000000"}
            process = confined(*command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        try:
            wrong = used(process, address, notified)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode or wrong:
            wrong.append(f"the program under the filter ended with {process.returncode}: {said.read_text()[-2000:]}")
        return wrong


def used(process: subprocess.Popen, address: str, notified: socket.socket) -> list[str]:
    """What does not go as it should with the program that runs there."""
    seen = ""
    end = time.monotonic() + PATIENCE
    while not ("READY=1" in seen and "WATCHDOG=1" in seen):
        if process.poll() is not None or time.monotonic() > end:
            return [f"it was never ready and alive: {seen!r}"]
        try:
            seen += notified.recv(4096).decode()
        except TimeoutError:
            pass
    end = time.monotonic() + PATIENCE
    # Every kind of work: probes of each kind, their judgement, what reports say, and the state in its file.
    wanted = [
        r"^smtptls_probes_total\{kind=\"%s\"\} [1-9]" % kind for kind in ("domain", "mx", "mx-address")
    ] + [r"^smtptls_state_last_write_timestamp_seconds [1-9]", r"^smtptls_tlsrpt_reporter_sessions_total\{.*\} [1-9]", r"^process_start_time_seconds [1-9]", r"^process_open_fds [1-9]"]
    while True:
        if process.poll() is not None:
            return ["it ended before it was told to"]
        metrics = get(address, "/metrics")
        missing = [pattern for pattern in wanted if not re.search(pattern, metrics, re.M)]
        if not missing:
            break
        if time.monotonic() > end:
            return [f"never: {missing}"]
        try:
            # Read on: a full socket would be told in the log.
            notified.recv(4096)
        except TimeoutError:
            pass
    for path in ("/", "/hosts", "/certificates", "/api/v1/domains"):
        get(address, path)
    get(address, "/-/reload", "POST")
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE)
    return []


def analysed() -> list[str]:
    """What systemd itself says of the files."""
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        files = []
        for name in ("smtptls-exporter.service", "smtptls-exporter.socket"):
            file = Path(scratch) / name
            # The program is where it will be installed.
            file.write_text((FOLDER / name).read_text().replace(INSTALLED, "/bin/true"))
            files.append(file)
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, check=False)
        if done.returncode or done.stderr.strip():
            wrong.append(f"systemd-analyze verify: {done.stderr.strip()}")
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MOST}", UNIT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level .*: ([0-9.]+)", done.stdout)
    if done.returncode or not found:
        wrong.append(f"systemd-analyze security: {done.stdout.splitlines()[-1:]} {done.stderr.strip()}")
    else:
        print(f"exposure {found[1]}", flush=True)
        page = (FOLDER.parent.parent / "docs/how-to/service.md").read_text()
        if f"rates the unit {found[1]}" not in page:
            wrong.append(f"docs/how-to/service.md has another figure than {found[1]}")
    return wrong


def main() -> None:
    if sys.argv[1:2] == ["--tried"]:
        confine()
        TRIED[sys.argv[2]][0]()
        return
    if sys.argv[1:2] == ["--confined"]:
        confine()
        os.execvp(sys.argv[2], sys.argv[2:])
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--exporter", type=Path, required=True, help="the program")
    binary = arguments.parse_args().exporter.resolve()
    wrong = analysed() + refuses() + works(binary)
    for one in wrong:
        print(one, file=sys.stderr)
    print(f"{len(allowed())} system calls allowed; {'all' if not wrong else 'not all'} is as it should be")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
