"""The demonstration, in a folder of its own, as the reader has it: its folder is where the command lines are run."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from pages import ROOT

# Seconds. A debug build on a busy machine; each wait ends as soon as what it waits for is there.
START = 60
COMMAND = 60
END = 20


class Failure(Exception):
    """One message for the person who runs it."""


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url: str) -> bool:
    """Whether a monitor is ready."""
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


class World:
    """The demonstration while it runs."""

    def __init__(self, binary: Path, folder: Path):
        self.binary = binary
        self.folder = folder / "demo"
        self.scratch = folder / "elsewhere"
        self.scratch.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "demo.log"
        # The documentation calls the program by its name.
        programs = folder / "bin"
        programs.mkdir()
        (programs / "smtptls-exporter").symlink_to(binary)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SMTPTLS_", "XDG_"))},
            "PATH": f"{programs}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "CURL_HOME": str(folder),
            "HOME": str(folder),
            "USER": "reader",
            # What openssl believes is what the demonstration believes.
            "SSL_CERT_FILE": str(self.folder / "root.pem"),
            "COLUMNS": "80",
            "LC_ALL": "C.UTF-8",
            "MANPAGER": "cat",
            "GIT_CEILING_DIRECTORIES": str(folder),
        }
        self.process = self.alertmanager = None

    def start(self) -> None:
        """Start it, and wait until every domain was probed."""
        command = [self.binary, "demo", "--demo.dir", self.folder, "--web.listen-address", f"127.0.0.1:{self.port}"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.scratch, env=self.environment)
        deadline = time.monotonic() + START
        while not (answers(self.url) and self.probed()):
            if self.process.poll() is not None:
                raise Failure(f"demo ended at once:\n{self.log.read_text()}")
            if time.monotonic() > deadline:
                raise Failure(f"demo: not every domain was probed within {START} s:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.2)
        self.lead_programs_here()
        self.start_alertmanager()

    def lead_programs_here(self) -> None:
        """Let dig, openssl and curl find the hosts of the demonstration by their names; nothing else is changed about them."""
        settings = yaml.safe_load((self.folder / "smtptls-exporter.yml").read_text())
        server, _, port = settings["resolver"]["servers"][0].rpartition(":")
        smtp, https = settings["probe"]["smtp_port"], settings["probe"]["https_port"]
        dig, openssl = (shutil.which(program, path=self.environment["PATH"]) for program in ("dig", "openssl"))
        if not (dig and openssl):
            raise Failure("dig (bind9-dnsutils) and openssl have to be installed")
        programs = self.folder.parent / "bin"
        write_program(programs / "dig", f"""
            # Its only server, in the place of those that the reader would ask.
            for word; do [[ $word == @* ]] || words+=("$word"); done
            exec {dig} @{server} -p {port} +tries=1 +time=5 "${{words[@]}}"
        """)
        write_program(programs / "openssl", f"""
            for word; do
              case $word in
                *.test:25) word=$({dig} @{server} -p {port} +short "${{word%:*}}" A):{smtp} ;;
                *.test:443) word=$({dig} @{server} -p {port} +short "${{word%:*}}" A):{https} ;;
              esac
              words+=("$word")
            done
            exec {openssl} "${{words[@]}}"
        """)
        policy_host = self.run("dig +short mta-sts.good.test A").stdout.strip()
        # A page that is an error is a failed command.
        (self.folder.parent / ".curlrc").write_text(
            f'fail-with-body\nsilent\nshow-error\nmax-time = 30\ncacert = "{self.folder}/root.pem"\nconnect-to = "mta-sts.good.test:443:{policy_host}:{https}"\n')

    def start_alertmanager(self) -> None:
        """An Alertmanager with the shipped example, for amtool."""
        port, folder = free_port(), self.folder.parent / "alertmanager"
        folder.mkdir()
        program = shutil.which("prometheus-alertmanager", path=self.environment["PATH"])
        if program is None:
            raise Failure("prometheus-alertmanager has to be installed")
        words = [program, "--config.file", ROOT / "alerts/alertmanager.example.yml", "--storage.path", folder, "--cluster.listen-address=",
                 "--web.listen-address", f"127.0.0.1:{port}"]
        with (folder / "log").open("wb") as log:
            self.alertmanager = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder)
        deadline = time.monotonic() + START
        while not answers(f"http://127.0.0.1:{port}"):
            if self.alertmanager.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"Alertmanager does not answer: {(folder / 'log').read_text()[-1000:]}")
            time.sleep(0.1)
        # Debian's amtool has an address of its own, which wins over amtool's file of settings.
        amtool = shutil.which("amtool", path=self.environment["PATH"])
        write_program(self.folder.parent / "bin/amtool", f'exec {amtool} --alertmanager.url=http://127.0.0.1:{port} "$@"')

    def probed(self) -> bool:
        """Whether each domain has a state."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        known = text.count("\nsmtptls_domain_delivery{")
        return known > 0 and known == text.count("\nsmtptls_domain_info{")

    def stop(self) -> str | None:
        """End it as Ctrl-C does; says what was wrong with the end."""
        if self.alertmanager is not None:
            self.alertmanager.kill()
            self.alertmanager.wait()
        if self.process is None or self.process.poll() is not None:
            return None if self.process is None else f"demo had ended before: {self.log.read_text()[-2000:]}"
        self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return f"demo did not end within {END} s after SIGINT"
        return None if status == 0 else f"demo ended with {status} after SIGINT"

    def run(self, line: str, folder: Path | None = None) -> subprocess.CompletedProcess:
        """Run a command line as a shell does, in the folder of the demonstration."""
        shell = ["bash", "-o", "pipefail", "-c", line]
        try:
            return subprocess.run(shell, cwd=folder or self.folder, env=self.environment, capture_output=True, text=True,
                                  errors="replace", timeout=COMMAND, stdin=subprocess.DEVNULL, check=False)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(shell, 124, "", f"no end within {COMMAND} s")

    def answers(self, port: int, prefix: str, words: list[str]) -> bool:
        """Whether a monitor answers; one with a web configuration is asked as its own health check does."""
        flag = "--web.config.file"
        if flag not in words:
            return answers(f"http://127.0.0.1:{port}{prefix}")
        asked = [self.binary, "healthcheck", "--web.listen-address", f"127.0.0.1:{port}", flag, words[words.index(flag) + 1]]
        return subprocess.run(asked, capture_output=True, timeout=COMMAND, check=False).returncode == 0

    def run_monitor(self, words: list[str], number: int, health: list[str] | None = None) -> str | None:
        """Start a monitor, see that it answers, perhaps by the healthcheck of a page, and end it; says what was wrong."""
        port, folder = free_port(), self.scratch / f"monitor-{number}"
        folder.mkdir()
        words = list(words)
        if "--web.listen-address" in words:
            words[words.index("--web.listen-address") + 1] = f"127.0.0.1:{port}"
        else:
            words += ["--web.listen-address", f"127.0.0.1:{port}"]
        if words[1:2] != ["demo"]:
            # It watches the same world; its state is its own, as the folder of the demonstration is in use.
            words += [] if "--config.file" in words else ["--config.file", str(self.folder / "smtptls-exporter.yml")]
            words += [] if "--state.dir" in words else ["--state.dir", str(folder / "data")]
        prefix = route_prefix(words)
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen([self.binary, *words[1:]], stdout=output, stderr=output, cwd=folder, env=self.environment)
        try:
            deadline = time.monotonic() + START
            while not self.answers(port, prefix, words):
                if process.poll() is not None or time.monotonic() > deadline:
                    return f"it does not answer: {log.read_text()[-2000:]}"
                time.sleep(0.1)
            if health:
                health = [f"127.0.0.1:{port}" if before == "--web.listen-address" else word for before, word in zip(["", *health], health)]
                done = subprocess.run([self.binary, *health[1:]], capture_output=True, text=True, timeout=COMMAND, check=False)
                if done.returncode:
                    return f"exit status {done.returncode}: {done.stderr}"
            process.send_signal(signal.SIGTERM)
            status = process.wait(END)
            return None if status == 0 else f"it ended with {status}: {log.read_text()[-1000:]}"
        except subprocess.TimeoutExpired:
            return f"it did not end within {END} s after SIGTERM"
        finally:
            process.kill()
            shutil.rmtree(folder, ignore_errors=True)


def write_program(path: Path, text: str) -> None:
    """A script that stands before a program of the same name."""
    path.write_text("#!/bin/bash\nwords=()\n" + "\n".join(line.strip() for line in text.strip().split("\n")) + "\n")
    path.chmod(0o755)


def route_prefix(words: list[str]) -> str:
    """The path below which a monitor answers."""
    for flag in ("--web.route-prefix", "--web.external-url"):
        if flag in words:
            value = words[words.index(flag) + 1]
            return ("/" + value.split("://", 1)[-1].partition("/")[2] if "://" in value else value).rstrip("/")
    return ""
