#!/usr/bin/env python3
"""Everything at once for a long time: memory, descriptors, threads and tasks of the program must not rise.

    tests/e2e/soak.py [--seconds 1200] [--exporter PATH] [--domains 150]

`demo` is the world, with its faults and changes, in a process of its own. `serve` probes it every few seconds, while others scrape, read
pages, ask for looks, post reports (good, forged, broken, bombs) and put mails into a maildir, break off, load the configuration anew
(good and broken), and take domains away and bring them back. Every five seconds it is noted what `serve` has. The slope over the time
after the first quarter is given with its 95 % interval, by blocks of samples, for neighbours in time are alike. It fails where even the
lower end of the interval is above the bound, where the program panicked or ended, or where it did not look or answer. Python 3 alone.
"""

import argparse
import gzip
import json
import math
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter, deque
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILDS = [ROOT / "target" / profile / "smtptls-exporter" for profile in ("release", "debug")]
PATIENCE = 180
SAMPLE_EVERY = 5
# Blocks for the interval of a slope; Student's t for 97.5 % and so many less two.
BLOCKS = 10
STUDENT = 2.306
# What may rise in an hour. A store that keeps reports and changes grows, and its cache with it; the rest must not.
RSS_MOST = 24.0  # MB
FDS_MOST = 12.0
THREADS_MOST = 12.0
TASKS_MOST = 60.0
# A run of minutes is a smoke test: what a program takes once, when it is new, is a steep slope there.
SMOKE = 600
SMOKE_FACTOR = 60
PAGES = [
    "/", "/hosts", "/certificates", "/failures", "/domains/good.test", "/domains/hostile.test", "/api/v1/domains", "/api/v1/findings",
    "/api/v1/changes", "/api/v1/domains/good.test", "/api/v1/domains/good.test/reports", "/api/v1/domains/good.test/changes", "/sd",
    "/config", "/api/v1/openapi.json", "/probe?target=good.test", "/probe?target=hostile.test&debug=true", "/nothing", "/domains/%00",
]


class Program:
    """A running exporter, whose log is read to its end."""

    def __init__(self, arguments: list[str]):
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.address: tuple[str, int] | None = None
        self.panics: list[str] = []
        self.last: deque = deque(maxlen=20)
        self.levels: Counter = Counter()
        threading.Thread(target=self._read, daemon=True).start()
        end = time.monotonic() + PATIENCE
        while self.address is None or not self._ready():
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"it does not start: {arguments}\n{''.join(self.last)}")
            time.sleep(0.1)

    def _read(self) -> None:
        for line in self.process.stderr:
            self.last.append(line)
            found = re.search(r'msg=listening address="?([\d.]+):(\d+)', line)
            if found and self.address is None:
                self.address = (found[1], int(found[2]))
            level = re.search(r" level=(\w+) ", line)
            self.levels[level[1] if level else "other"] += 1
            if "panicked" in line:
                self.panics.append(line.strip())

    def _ready(self) -> bool:
        try:
            return self.get("/-/ready")[0] == 200
        except OSError:
            return False

    def get(self, path: str, method: str = "GET", headers: dict | None = None, body: bytes | None = None) -> tuple[int, bytes]:
        request = urllib.request.Request(f"http://{self.address[0]}:{self.address[1]}{path}", body, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read()

    def raw(self, data: bytes, wait: float) -> None:
        """Sends something and hangs up, whatever is answered."""
        with socket.create_connection(self.address, timeout=5) as stream:
            try:
                stream.sendall(data)
                stream.settimeout(wait)
                stream.recv(4096)
            except OSError:
                # That is what breaking off means.
                pass

    def end(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit("it does not end when it is told to") from None


def sample(program: Program) -> dict[str, float]:
    folder = Path(f"/proc/{program.process.pid}")
    status = (folder / "status").read_text()
    metrics = program.get("/metrics")[1].decode()

    def value(name: str) -> float:
        return sum(float(line.rsplit(" ", 1)[1]) for line in metrics.splitlines() if re.match(rf"{name}[ {{]", line))

    return {
        "RSS, MB": int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024,
        "descriptors": len(os.listdir(folder / "fd")),
        "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
        "tasks": value("smtptls_tasks"),
        "looks": value("smtptls_probes_total"),
        "panics": value("smtptls_task_panics_total"),
    }


def slope(points: list[tuple[float, float]]) -> float:
    """By least squares, an hour."""
    x = sum(at for at, _ in points) / len(points)
    y = sum(value for _, value in points) / len(points)
    square = sum((at - x) ** 2 for at, _ in points)
    return sum((at - x) * (value - y) for at, value in points) / square * 3600 if square else 0.0


def interval(points: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Slope with its 95 % interval, over the means of blocks."""
    size = len(points) // BLOCKS
    if size == 0:
        raise SystemExit("there are too few samples for a slope")
    means = []
    for block in range(BLOCKS):
        part = points[block * size : (block + 1) * size]
        means.append((sum(at for at, _ in part) / size, sum(value for _, value in part) / size))
    rise = slope(means)
    x = sum(at for at, _ in means) / BLOCKS
    y = sum(value for _, value in means) / BLOCKS
    rest = sum((value - y - rise / 3600 * (at - x)) ** 2 for at, value in means)
    error = STUDENT * math.sqrt(rest / (BLOCKS - 2) / sum((at - x) ** 2 for at, _ in means)) * 3600
    return rise, rise - error, rise + error


def report(domain: str) -> dict:
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400))
    return {
        "organization-name": random.choice(["Sender", "Other <b>Sender</b>", f"Forged {random.randrange(10**9)}"]),
        "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
        "contact-info": "tls@sender.test",
        "report-id": str(uuid.uuid4()),
        "policies": [
            {
                "policy": {"policy-type": "sts", "policy-string": ["version: STSv1"], "policy-domain": domain, "mx-host": ["mx"]},
                "summary": {"total-successful-session-count": random.randrange(1000), "total-failure-session-count": 2},
                "failure-details": [
                    {"result-type": "certificate-expired", "failed-session-count": 2, "receiving-mx-hostname": f"mx.{domain}",
                     "failure-reason-code": "x" * random.randrange(300)}
                ],
            }
        ],
    }


class Soak:
    """Those who ask, each in a thread of its own, until the time is over."""

    def __init__(self, program: Program, config: Path, maildir: Path):
        self.program, self.config, self.maildir = program, config, maildir
        self.good = config.read_text()
        self.over = threading.Event()
        self.done: Counter = Counter()
        self.faults: list[str] = []

    def run(self, seconds: float) -> list[tuple[float, dict[str, float]]]:
        jobs = [(self.scrape, 0.5), (self.read, 0.3), (self.post, 0.4), (self.bomb, 7), (self.deliver, 3), (self.reload, 11),
                (self.break_off, 0.7), (self.wish, 9)]
        threads = [threading.Thread(target=self.repeat, args=job, daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        samples, began = [], time.monotonic()
        while time.monotonic() - began < seconds and self.program.process.poll() is None:
            samples.append((time.monotonic() - began, sample(self.program)))
            time.sleep(SAMPLE_EVERY)
        self.over.set()
        for thread in threads:
            thread.join(60)
        return samples

    def repeat(self, job, pause: float) -> None:
        while not self.over.wait(pause * random.uniform(0.5, 1.5)):
            try:
                self.done[job.__name__] += 1
                job()
            except OSError as error:
                self.faults.append(f"{job.__name__}: {error}")

    def expect(self, what: str, status: int, allowed: set[int]) -> None:
        self.done[f"{what} {status}"] += 1
        if status not in allowed:
            self.faults.append(f"{what}: {status}")

    def scrape(self) -> None:
        kinds = ["text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"]
        status, _ = self.program.get("/metrics", headers={"Accept": random.choice(kinds), "Accept-Encoding": random.choice(["gzip", "identity"])})
        self.expect("scrape", status, {200})

    def read(self) -> None:
        self.expect("page", self.program.get(random.choice(PAGES))[0], {200, 404, 429, 503})

    def post(self) -> None:
        text = json.dumps(report(random.choice(["good.test", "drift.test", "nobody.test"]))).encode()
        body = random.choice([gzip.compress(text), text, gzip.compress(text)[:-9], text[: len(text) // 2], os.urandom(300)])
        self.expect("post", self.program.get("/tlsrpt", "POST", {"Content-Type": "application/tlsrpt+gzip"}, body)[0], {201, 400, 415, 429, 503})

    def bomb(self) -> None:
        body = random.choice([b"[" * (24 << 20), b'{"a":' * (4 << 20), b'{"organization-name":"' + b"a" * (24 << 20) + b'"}', b" " * (64 << 20)])
        self.expect("bomb", self.program.get("/tlsrpt", "POST", {}, gzip.compress(body))[0], {201, 400, 413, 429, 503})

    def deliver(self) -> None:
        name = str(uuid.uuid4())
        text = json.dumps(report(random.choice(["good.test", "nobody.test"])))
        mail = (
            f"From: tls@sender.test\r\nTo: r@good.test\r\nSubject: Report Domain: good.test\r\nMessage-ID: <{name}@sender.test>\r\n"
            "MIME-Version: 1.0\r\nContent-Type: application/tlsrpt+json\r\n\r\n" + random.choice([text, text[:200]]) + "\r\n"
        )
        (self.maildir / "tmp" / name).write_text(mail)
        (self.maildir / "tmp" / name).rename(self.maildir / "new" / name)
        # Whoever reads the mailbox tidies up.
        for old in sorted((self.maildir / "cur").iterdir())[:-50]:
            old.unlink()

    def reload(self) -> None:
        lines = self.good.splitlines()
        listed = [number for number, line in enumerate(lines) if "group: many" in line]
        gone = set(random.sample(listed, len(listed) // 3)) if listed else set()
        text = "\n".join(line for number, line in enumerate(lines) if number not in gone) + "\n"
        broken = random.random() < 0.3
        self.config.write_text(text + "unknown: key\n" if broken else text)
        if random.random() < 0.3:
            self.program.process.send_signal(signal.SIGHUP)
            return
        self.expect("reload", self.program.get("/-/reload", "POST")[0], {500} if broken else {200})

    def break_off(self) -> None:
        head = b"HTTP/1.1\r\nHost: x\r\n"
        self.program.raw(random.choice([
            b"GET /metrics " + head + b"\r\n",
            b"GET /metrics " + head,
            b"POST /tlsrpt " + head + b"Content-Length: 10000000\r\n\r\n" + b" " * 100_000,
            b"POST /tlsrpt " + head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"\x16\x03\x01\x02\x00" + os.urandom(500),
            b"GET /" + b"a" * 20_000 + b" " + head + b"\r\n",
        ]), random.uniform(0, 2))

    def wish(self) -> None:
        self.expect("wish", self.program.get("/api/v1/domains/good.test/probe", "POST")[0], {200, 202, 429})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--domains", type=int, default=150)
    parser.add_argument("--exporter", type=Path)
    arguments = parser.parse_args()
    exporter = arguments.exporter or next((build for build in BUILDS if build.exists()), None)
    if exporter is None:
        print("there is no build; see --exporter", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="smtptls-soak-"))
    programs: list[Program] = []
    try:
        world = folder / "world"
        listen = ["--web.listen-address", "127.0.0.1:0", "--log.level", "info"]
        programs.append(Program([str(exporter), "demo", *listen, "--demo.dir", str(world), "--domains", str(arguments.domains)]))
        maildir = folder / "mail"
        for part in ("new", "cur", "tmp"):
            (maildir / part).mkdir(parents=True)
        config = world / "soak.yml"
        text = (world / "smtptls-exporter.yml").read_text()
        text = re.sub(r"(?m)^(  (?:mx_|policy_retry_)?interval): .*", r"\1: 10s", text)
        text = re.sub(r"interval: \d+s}", "interval: 10s}", text)
        text = re.sub(r"(?m)^  maildir: .*", f"  maildir: [{maildir}]", text)
        text = re.sub(r"(?m)^state: .*", f"state: {{dir: {folder / 'state'}}}", text)
        config.write_text(text)
        programs.append(Program([str(exporter), "serve", *listen, "--config.file", str(config)]))
        soak = Soak(programs[1], config, maildir)
        samples = soak.run(arguments.seconds)
        return verdict(soak, samples)
    finally:
        for program in reversed(programs):
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait()
        shutil.rmtree(folder)


def verdict(soak: Soak, samples: list[tuple[float, dict[str, float]]]) -> int:
    wrong: list[str] = []
    settled = samples[len(samples) // 4 :]
    factor = SMOKE_FACTOR if samples[-1][0] < SMOKE else 1
    print(f"{samples[-1][0]:.0f} s, {len(samples)} samples; {dict(sorted(soak.done.items()))}")
    for name, most in [("RSS, MB", RSS_MOST), ("descriptors", FDS_MOST), ("threads", THREADS_MOST), ("tasks", TASKS_MOST)]:
        most *= factor
        values = [taken[name] for _, taken in samples]
        rise, low, high = interval([(at, taken[name]) for at, taken in settled])
        print(
            f"{name:12} {values[0]:8.1f} at first {values[-1]:8.1f} at last {max(values):8.1f} at most; "
            f"slope {rise:+9.2f} an hour ({low:+.2f} to {high:+.2f}), at most {most}"
        )
        if low > most:
            wrong.append(f"{name} rises by {rise:.2f} an hour, {low:.2f} at least")
    looks = samples[-1][1]["looks"] - samples[0][1]["looks"]
    print(f"looks        {looks / (samples[-1][0] - samples[0][0]):8.1f} a second")
    if looks <= 0:
        wrong.append("it did not look")
    if samples[-1][1]["tasks"] <= 0:
        wrong.append("it does not tell its tasks")
    if soak.program.panics or samples[-1][1]["panics"]:
        wrong.append(f"it panicked: {soak.program.panics[:3]}")
    if soak.faults:
        wrong.append(f"{len(soak.faults)} answers were not as expected: {soak.faults[:5]}")
    if soak.program.process.poll() is not None:
        wrong.append(f"it ended by itself: {soak.program.process.returncode}")
    elif (status := soak.program.end()) != 0:
        wrong.append(f"it ended with {status}")
    print(f"log          {dict(soak.program.levels)}")
    for one in wrong:
        print(f"FAILED: {one}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
