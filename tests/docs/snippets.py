"""Snippets of other languages in the documentation: each is read by the program that it is meant for."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import yaml

from pages import ROOT, Block

# Keys at the top of a configuration of this program.
OWN = {"resolver", "probe", "own_mx", "thresholds", "severities", "accept", "domains", "domain_files", "http_sd", "reports", "metrics", "shard", "state"}
# Those of its web configuration.
WEB = {"tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"}

# The chart of Helm, and the keys at the top of its values.
CHART = ROOT / "deploy/helm/smtptls-exporter"
VALUES = set(yaml.safe_load((CHART / "values.yaml").read_text()))

RECORD = re.compile(r'[\w.*-]+\. (?:\d+ )?(?:IN )?(?:TXT "[^"]*"( "[^"]*")*|(?:A|AAAA) \S+|CNAME [\w.-]+\.|MX \d+ (?:[\w.-]+\.|\.)|TLSA \d \d \d [0-9a-f….]+)(?:\s*;.*)?')


class Snippets:
    """Checks snippets in a folder of its own."""

    def __init__(self, binary: Path, folder: Path):
        self.binary = binary
        self.folder = folder
        folder.mkdir()
        # What the shipped examples name beside themselves.
        for rules in (ROOT / "alerts").glob("*.yml"):
            shutil.copy(rules, folder)
        shutil.copytree(ROOT / "alerts/sharded", folder / "sharded")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=docs.test",
                        "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
        for name in ("web.crt", "clients.crt"):
            shutil.copy(folder / "cert.pem", folder / name)
        shutil.copy(folder / "key.pem", folder / "web.key")
        (folder / "web-password").write_text("secret\n")
        self.checked: dict[str, int] = {}

    def wrong(self, block: Block) -> str | None:
        """What is wrong with a snippet; None also for languages that are no snippets."""
        check = getattr(self, block.language, None)
        if check is None:
            return None
        text = "\n".join(block.lines) + "\n"
        return check(text)

    def count(self, kind: str) -> None:
        """One more was checked."""
        self.checked[kind] = self.checked.get(kind, 0) + 1

    def text(self, text: str) -> str | None:
        """Anything, but no command lines."""
        return "a command and its output: write ```console" if re.search(r"^\$ ", text, re.M) else None

    def json(self, text: str) -> str | None:
        """One value."""
        self.count("JSON")
        try:
            json.loads(text)
        except ValueError as error:
            return f"no JSON: {error}"
        return None

    def jsonl(self, text: str) -> str | None:
        """A value a line."""
        return next(filter(None, map(self.json, text.splitlines())), None)

    def yaml(self, text: str) -> str | None:
        """By its keys: a configuration or a list of domains of this program, a configuration of Prometheus, of Alertmanager, rules, services of
        docker compose, or manifests of Kubernetes."""
        try:
            documents = [document for document in yaml.safe_load_all(text) if document is not None]
        except yaml.YAMLError as error:
            return f"no YAML: {error}"
        if documents and all(isinstance(document, list) for document in documents):
            self.count("lists of domains")
            lists = self.folder / "lists"
            lists.mkdir(exist_ok=True)
            (lists / "list.yml").write_text(text)
            return self.ask([self.binary, "config", "check"], "domain_files: [lists/list.yml]\n", "smtptls-exporter.yml")
        if not documents or not all(isinstance(document, dict) for document in documents):
            return "no map"
        keys = set().union(*documents)
        if all("apiVersion" in document for document in documents):
            self.count("manifests")
            return None if all(isinstance(document.get("metadata"), dict) for document in documents) else "a manifest without metadata"
        if keys <= OWN:
            self.count("configurations")
            # A folder that is away is a mistake.
            for pattern in set().union(*(document.get("domain_files") or [] for document in documents)):
                (self.folder / pattern).parent.mkdir(parents=True, exist_ok=True)
            # A part of a file is shown often; a file needs domains.
            whole = text if "domains" in keys else f"domains: [example.com]\n{text}"
            return self.ask([self.binary, "config", "check"], whole, "smtptls-exporter.yml")
        if keys <= VALUES:
            self.count("values of the chart")
            schema = json.loads((CHART / "values.schema.json").read_text())
            # What is not shown is as in values.yaml.
            whole = yaml.safe_load((CHART / "values.yaml").read_text()) | documents[0]
            return next((f"{error.json_path}: {error.message}" for error in jsonschema.Draft7Validator(schema).iter_errors(whole)), None)
        if keys <= WEB:
            self.count("web configurations")
            return self.ask([self.binary, "config", "check", "--web.config.file"], text, "web.yml")
        if "groups" in keys:
            self.count("rules")
            return self.ask(["promtool", "check", "rules"], text, "rules.yml")
        if keys & {"scrape_configs", "rule_files", "alerting"}:
            self.count("Prometheus configurations")
            return self.ask(["promtool", "check", "config"], text, "prometheus.yml")
        if keys & {"receivers", "inhibit_rules"}:
            self.count("Alertmanager configurations")
            return self.ask(["amtool", "check-config"], text, "alertmanager.yml")
        if "services" in keys:
            return self.compose(documents)
        return f"YAML of nobody known: {', '.join(sorted(keys))}"

    def compose(self, documents: list[dict]) -> str | None:
        """A file of docker compose: its services have a pinned image, and their volumes are declared or of this host."""
        for document in documents:
            for name, service in document["services"].items():
                self.count("services of compose")
                if not re.fullmatch(r"[\w./-]+:v?\d+(\.\d+)+(-\w+)?", service.get("image", "")):
                    return f"{name}: its image is not pinned"
                for volume in service.get("volumes", []):
                    source = volume.partition(":")[0]
                    if not source.startswith((".", "/")) and source not in document.get("volumes", {}):
                        return f"{name}: the volume {source} is not declared"
        return None

    def promql(self, text: str) -> str | None:
        """Expressions, set apart by empty lines."""
        rules = []
        for expression in re.split(r"\n\s*\n", text.strip()):
            self.count("queries")
            rules.append({"record": f"docs:expression:{len(rules)}", "expr": expression})
        return self.ask(["promtool", "check", "rules"], yaml.safe_dump({"groups": [{"name": "docs", "rules": rules}]}), "queries.yml")

    def nginx(self, text: str) -> str | None:
        """Server blocks, with a certificate that is there."""
        self.count("nginx")
        text = re.sub(r"(ssl_certificate\s+)\S+;", rf"\1{self.folder}/cert.pem;", text)
        text = re.sub(r"(ssl_certificate_key\s+)\S+;", rf"\1{self.folder}/key.pem;", text)
        whole = f"pid {self.folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{text}}}\n"
        return self.ask(["nginx", "-t", "-p", self.folder, "-c"], whole, "nginx.conf")

    def caddy(self, text: str) -> str | None:
        """A Caddyfile."""
        self.count("Caddy")
        return self.ask(["caddy", "validate", "--adapter", "caddyfile", "--config"], text, "Caddyfile")

    def dns(self, text: str) -> str | None:
        """Records in the syntax of zone files."""
        for line in filter(None, map(str.strip, text.splitlines())):
            self.count("records")
            if not line.startswith(";") and not RECORD.fullmatch(line):
                return f"no record in the syntax of zone files: {line}"
            if re.search(r'"[^"]{256,}"', line):
                return f"a string of more than 255 octets: {line}"
        return None

    def ask(self, command: list, text: str, name: str) -> str | None:
        """Have a program read it."""
        file = self.folder / name
        file.write_text(text)
        try:
            # Caddy keeps files of its own below the home.
            done = subprocess.run([*map(str, command), str(file)], cwd=self.folder, env={**os.environ, "HOME": str(self.folder)},
                                  capture_output=True, text=True, timeout=60, check=False)
        except FileNotFoundError:
            return f"{command[0]} is not installed, so it cannot be checked"
        return None if done.returncode == 0 else f"{command[0]}: {(done.stdout + done.stderr).strip()[-800:]}"
