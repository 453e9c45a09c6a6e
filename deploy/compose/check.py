#!/usr/bin/env python3
"""Holds docker-compose.yml, the Dockerfile and what they mount together, without Docker.

    check.py [EXPORTER]     with the built program the configuration of the demonstration is checked too
"""

import pathlib
import re
import subprocess
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PINNED = re.compile(r"[\w./-]+:v?\d+(\.\d+)+(-\w+)?")
# Where each service listens: what the shipped files call localhost.
PORTS = {"exporter": 10461, "prometheus": 9090, "alertmanager": 9093, "pager": 9095}


def main() -> None:
    """Say everything that is wrong at once."""
    compose = yaml.safe_load((HERE / "docker-compose.yml").read_text())
    services = compose["services"]
    wrong = []
    mounts = {name: list(mounted(service, compose["volumes"], wrong)) for name, service in services.items()}
    for name, service in services.items():
        if "build" in service:
            if not (HERE / service["build"] / "Dockerfile").is_file():
                wrong.append(f"{name}: no Dockerfile in {service['build']}")
        elif not PINNED.fullmatch(service["image"]):
            wrong.append(f"{name}: {service['image']} is not pinned")
        if name != "exporter" and service.get("network_mode") != "service:exporter":
            wrong.append(f"{name}: does not share the network of the exporter, so localhost is another one")
        for word in service.get("command", []):
            path = word.partition("=")[2] if word.startswith("--config.file=") else word
            if path.startswith("/") and on_host(path, mounts[name]) is None:
                wrong.append(f"{name}: {word} leads to nothing that is mounted")
    wrong += list(prometheus(mounts["prometheus"])) + list(grafana(mounts["grafana"])) + list(addresses()) + list(dockerfile(mounts))
    wrong += list(overrides(services))
    if len(sys.argv) > 1:
        done = subprocess.run([sys.argv[1], "config", "check", "--config.file", HERE / "smtptls-exporter.yml"],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            wrong.append(f"smtptls-exporter.yml: {done.stdout}{done.stderr}")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(services)} services, {sum(map(len, mounts.values()))} mounts")


def overrides(services: dict):
    """The demonstration gives the exporter another command, which the program knows, and nothing else."""
    changed = yaml.safe_load((HERE / "demo.yml").read_text())
    command = changed["services"].get("exporter", {}).get("command", [])
    if changed != {"services": {"exporter": {"command": command}}} or not command or "exporter" not in services:
        yield "demo.yml: changes something else than the command of the exporter"
    elif len(sys.argv) > 1 and subprocess.run([sys.argv[1], *command, "--help"], capture_output=True, check=False).returncode != 0:
        yield f"demo.yml: the program does not take {command}"


def mounted(service: dict, volumes: dict, wrong: list[str]):
    """Each mount from this host: the path here and the path there."""
    for volume in service.get("volumes", []):
        source, target, *options = volume.split(":")
        if not source.startswith("."):
            if source not in volumes:
                wrong.append(f"the volume {source} is not declared")
            continue
        path = (HERE / source).resolve()
        if not path.exists():
            wrong.append(f"{source} is not there")
        if options != ["ro"]:
            wrong.append(f"{source} could be written to")
        yield path, pathlib.PurePosixPath(target)


def on_host(path: str, mounts: list) -> pathlib.Path | None:
    """The file here that a path in the container leads to."""
    inside = pathlib.PurePosixPath(path)
    for source, target in mounts:
        if inside.is_relative_to(target) and (source / inside.relative_to(target)).exists():
            return source / inside.relative_to(target)
    return None


def prometheus(mounts: list):
    """The rule files that the example names lie beside it."""
    example = yaml.safe_load((ROOT / "alerts/prometheus.example.yml").read_text())
    for name in example["rule_files"]:
        if on_host(f"/etc/prometheus/{name}", mounts) is None:
            yield f"prometheus: {name} is not mounted"


def grafana(mounts: list):
    """The provisioning leads to the dashboards that are mounted, and to the Prometheus beside it."""
    for path in (ROOT / "deploy/grafana/provisioning/dashboards").glob("*.yml"):
        for provider in yaml.safe_load(path.read_text())["providers"]:
            folder = on_host(provider["options"]["path"], mounts)
            if folder is None or not list(folder.glob("*.json")):
                yield f"grafana: {provider['options']['path']} has no dashboards"
    for path in (ROOT / "deploy/grafana/provisioning/datasources").glob("*.yml"):
        for source in yaml.safe_load(path.read_text())["datasources"]:
            if source["url"] != f"http://localhost:{PORTS['prometheus']}":
                yield f"grafana: {source['url']} is not the Prometheus of the demonstration"
    if on_host("/etc/grafana/provisioning/datasources", mounts) is None:
        yield "grafana: the provisioning is not mounted"


def addresses():
    """The shipped examples call each service by the port that it has here."""
    for name, port, file in (
        ("exporter", PORTS["exporter"], "alerts/prometheus.example.yml"),
        ("alertmanager", PORTS["alertmanager"], "alerts/prometheus.example.yml"),
        ("pager", PORTS["pager"], "alerts/alertmanager.example.yml"),
        ("pager", PORTS["pager"], "deploy/compose/receiver.py"),
    ):
        if not re.search(rf"(localhost|127\.0\.0\.1):{port}\b", (ROOT / file).read_text()):
            yield f"{file}: {name} is not at port {port}"


def dockerfile(mounts: dict):
    """What is copied into the build is there and not ignored; what is told to the program fits the mounts."""
    text = (ROOT / "Dockerfile").read_text()
    manifest = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    if f"ARG SMTPTLS_VERSION={manifest}\n" not in text:
        yield f"Dockerfile: SMTPTLS_VERSION is not {manifest}"
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.M):
        for source in line.split()[:-1]:
            if source not in kept or not (ROOT / source).exists():
                yield f"Dockerfile: {source} is not in the context of the build"
    command = re.search(r"^CMD (\[.*\])$", text, re.M)
    config = yaml.safe_load(command[1]) if command else []
    if "--config.file" not in config or on_host(config[config.index("--config.file") + 1], mounts["exporter"]) is None:
        yield "Dockerfile: the configuration that the program is told is not mounted"
    if f"EXPOSE {PORTS['exporter']}\n" not in text:
        yield f"Dockerfile: does not expose {PORTS['exporter']}"


if __name__ == "__main__":
    main()
