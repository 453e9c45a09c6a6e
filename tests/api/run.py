#!/usr/bin/env python3
"""Every answer of the API against its own description, by a validator that is not ours: the demonstration is asked, all domains of it.

    tests/api/run.py [--exporter PATH]

It needs Python 3 and Debian's python3-jsonschema.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import jsonschema

ROOT = Path(__file__).resolve().parents[2]
BUILDS = [ROOT / "target" / profile / "smtptls-exporter" for profile in ("release", "debug")]
# Long enough for the first round of a busy machine.
PATIENCE = 120
# Pages of a list at most: beyond this it goes in circles.
PAGES_MOST = 1000
# Two lists that are asked for one after the other are compared so often.
LISTS_MOST = 3


class Api:
    """A running server and its description."""

    def __init__(self, url: str):
        self.url = url
        self.asked = 0
        self.faults: list[str] = []
        self.document = json.loads(self.get("/api/v1/openapi.json")[1])

    def get(self, target: str, method: str = "GET") -> tuple[int, str]:
        """The status and the body of an answer."""
        request = urllib.request.Request(self.url + target, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ask(self, path: str, target: str, expected: int, method: str = "get") -> dict | None:
        """An answer, held against the description of its path."""
        status, body = self.get(target, method.upper())
        self.asked += 1
        responses = self.document["paths"][path][method]["responses"]
        if status != expected or str(status) not in responses:
            self.faults.append(f"{method} {target}: {status}, expected {expected}: {body[:200]}")
            return None
        schema = responses[str(status)]["content"]["application/json"]["schema"]
        value = json.loads(body)
        validator = jsonschema.Draft202012Validator({**schema, "components": self.document["components"]})
        for error in validator.iter_errors(value):
            self.faults.append(f"{method} {target}: {'.'.join(map(str, error.absolute_path))}: {error.message[:200]}")
        return value

    def pages(self, path: str, target: str, of: str, limit: int) -> list[dict]:
        """A whole list, page by page."""
        found: list[dict] = []
        after = ""
        for _ in range(PAGES_MOST):
            joint = "&" if "?" in target else "?"
            page = self.ask(path, f"{target}{joint}limit={limit}{after}", 200)
            if page is None:
                return found
            found += page[of]
            if not page["next"] or not page.get("more", True) or not page[of]:
                return found
            name = "before" if of == "reports" else "after"
            after = f"&{name}={urllib.parse.quote(page['next'], safe='')}"
        self.faults.append(f"{target}: no end after {PAGES_MOST} pages")
        return found


def hold(api: Api) -> None:
    """Asks all that can be asked."""
    for schema in api.document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    rows = api.pages("/api/v1/domains", "/api/v1/domains", "domains", 3)
    names = [row["domain"] for row in rows]
    if len(names) != len(set(names)) or len(names) < 12:
        api.faults.append(f"the pages of the list hold {names}")
    for parameter in api.document["paths"]["/api/v1/domains"]["get"]["parameters"]:
        for word in parameter["schema"].get("enum", []):
            api.ask("/api/v1/domains", f"/api/v1/domains?{parameter['name']}={word}", 200)
    # The world goes on between the two lists: they agree where nothing changed meanwhile.
    for _ in range(LISTS_MOST):
        rows = api.pages("/api/v1/domains", "/api/v1/domains", "domains", 3)
        findings = api.pages("/api/v1/findings", "/api/v1/findings", "findings", 7)
        counted = sum(sum(row["findings"].values()) for row in rows)
        if len(findings) == counted:
            break
    else:
        api.faults.append(f"{len(findings)} findings are listed and {counted} counted")
    api.pages("/api/v1/changes", "/api/v1/changes", "changes", 10)
    one = "/api/v1/domains/{name}"
    for name in names:
        told = api.ask(one, f"/api/v1/domains/{name}", 200)
        row = next(row for row in rows if row["domain"] == name)
        if told and told["delivery"] != row["delivery"]:
            api.faults.append(f"{name}: {told['delivery']} alone and {row['delivery']} in the list")
        api.pages(f"{one}/changes", f"/api/v1/domains/{name}/changes", "changes", 50)
        api.pages(f"{one}/reports", f"/api/v1/domains/{name}/reports", "reports", 20)
    api.ask(f"{one}/probe", f"/api/v1/domains/{names[0]}/probe", 200, "post")
    for path, target, status in [
        ("/api/v1/domains", "/api/v1/domains?limit=0", 400),
        ("/api/v1/findings", "/api/v1/findings?domain=other.example", 404),
        ("/api/v1/changes", "/api/v1/changes?after=7.1", 410),
        (one, "/api/v1/domains/other.example", 404),
    ]:
        api.ask(path, target, status)


def main() -> int:
    """Starts the demonstration, asks, stops it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exporter", type=Path, help="the program; default: target/release, then target/debug")
    given = parser.parse_args().exporter
    binary = next((path for path in ([given] if given else BUILDS) if path.is_file()), None)
    if binary is None:
        print("there is no program to ask: cargo build", file=sys.stderr)
        return 2
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "w") as log:
        command = [binary, "demo", "--web.listen-address", address, "--demo.dir", Path(folder) / "demo"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            api = until_probed(f"http://{address}", process)
            hold(api)
        except TimeoutError as late:
            print(f"{late}\n{(Path(folder) / 'log').read_text()[-4000:]}", file=sys.stderr)
            return 1
        finally:
            process.terminate()
            process.wait()
    print("\n".join(api.faults))
    print(f"{api.asked} answers, {len(api.faults)} faults")
    return 1 if api.faults else 0


def until_probed(url: str, process: subprocess.Popen) -> Api:
    """The server, once it has looked at every domain."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            api = Api(url)
            status, body = api.get("/api/v1/domains?state=not-probed")
            if status == 200 and json.loads(body)["matching"] == 0:
                return api
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.2)
    raise TimeoutError("the demonstration does not come up")


if __name__ == "__main__":
    sys.exit(main())
