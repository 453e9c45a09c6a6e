"""Holds deploy/kubernetes/ and deploy/systemd/ together, without a cluster: what their parts say of each other, and of the program, is true."""

import re
import subprocess
import urllib.request

import yaml

from pages import ROOT
from world import World

FOLDER = ROOT / "deploy/kubernetes"


def check(world: World) -> list[str]:
    """What is wrong with either."""
    return manifests(world) + unit(world)


def unit(world: World) -> list[str]:
    """The unit of systemd calls the program as it can be called; deploy/systemd/check.py holds the rest."""
    text = (ROOT / "deploy/systemd/smtptls-exporter.service").read_text()
    _, command, *words = re.search(r"^ExecStart=(.+)$", text, re.M)[1].split()
    return flags(world, "ExecStart", command, [word for word in words if word.startswith("--")])


def flags(world: World, where: str, command: str, names: list[str]) -> list[str]:
    """The flags that a command does not know."""
    known = subprocess.run([world.binary, command, "--help"], capture_output=True, text=True, check=False).stdout
    return [f"{where}: {command} has no flag {name}" for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}\b", known)]


def manifests(world: World) -> list[str]:
    """What is wrong with the manifests of Kubernetes: those of one pod, and those of several, each with the network policy."""
    wrong = []
    for name in ("smtptls-exporter.yaml", "sharded.yaml"):
        documents = [document for file in (name, "network-policy.yaml") for document in yaml.safe_load_all((FOLDER / file).read_text())]
        wrong += [f"{name}: {one}" for one in together(world, {document["kind"]: document for document in documents})]
    return wrong


def together(world: World, kinds: dict[str, dict]) -> list[str]:
    """What is wrong with manifests that belong together."""
    wrong = [f"no {kind}" for kind in ("ConfigMap", "Service", "StatefulSet", "NetworkPolicy") if kind not in kinds]
    if wrong:
        return wrong
    wrong += several(kinds)
    label = kinds["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    pod = kinds["StatefulSet"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    service = kinds["Service"]["spec"]["ports"][0]
    for what, selector in (("StatefulSet", kinds["StatefulSet"]["spec"]["selector"]["matchLabels"]), ("Service", kinds["Service"]["spec"]["selector"]),
                           ("NetworkPolicy", kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"])):
        if not selector.items() <= label.items():
            wrong.append(f"{what}: selects {selector}, the pod has {label}")
    if kinds["StatefulSet"]["spec"]["serviceName"] != kinds["Service"]["metadata"]["name"]:
        wrong.append("StatefulSet: its serviceName is not the Service")
    if ports.get(service["targetPort"]) != service["port"]:
        wrong.append(f"Service: port {service['port']} leads to {service['targetPort']}, the container has {ports}")
    if service["port"] not in [port["port"] for rule in kinds["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]]:
        wrong.append("NetworkPolicy: shuts the port of the Service")
    volumes = {volume["name"]: volume for volume in pod["volumes"]} | {claim["metadata"]["name"]: claim for claim in kinds["StatefulSet"]["spec"]["volumeClaimTemplates"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    wrong += [f"StatefulSet: the volume {name} is not there" for name in mounts.values() if name not in volumes]
    wrong += arguments(world, container["args"], mounts, kinds["ConfigMap"])
    wrong += monitors(kinds["Service"])
    for probe in ("livenessProbe", "readinessProbe"):
        path = container[probe]["httpGet"]["path"]
        with urllib.request.urlopen(world.url + path, timeout=10) as answer:
            if answer.status != 200:
                wrong.append(f"{probe}: {path} answers {answer.status}")
    return wrong


def several(kinds: dict[str, dict]) -> list[str]:
    """Where there are several pods: as many as shards, each knows which it is, the secret is there, and a drain leaves some."""
    replicas = kinds["StatefulSet"]["spec"]["replicas"]
    shard = yaml.safe_load(kinds["ConfigMap"]["data"]["smtptls-exporter.yml"]).get("shard", {})
    wrong = []
    if shard.get("total", 1) != replicas:
        wrong.append(f"{replicas} replicas, and shard.total is {shard.get('total', 1)}")
    if replicas == 1:
        return wrong
    container = kinds["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]
    secrets = [source["secretRef"]["name"] for source in container["envFrom"]]
    if shard.get("index") != "auto":
        wrong.append("shard.index is the same for all pods")
    if [kinds["Secret"]["metadata"]["name"]] != secrets:
        wrong.append(f"the container reads {secrets}, the secret is {kinds['Secret']['metadata']['name']}")
    if kinds["PodDisruptionBudget"]["spec"]["selector"] != kinds["StatefulSet"]["spec"]["selector"]:
        wrong.append("PodDisruptionBudget: it is not about the pods of the StatefulSet")
    return wrong


def arguments(world: World, words: list[str], mounts: dict[str, str], config_map: dict) -> list[str]:
    """The command exists, its files are mounted, and the configuration is right."""
    wrong = flags(world, "StatefulSet", words[0], [word.partition("=")[0] for word in words[1:]])
    for word in words[1:]:
        flag, _, value = word.partition("=")
        if not any(value == path or value.startswith(f"{path}/") for path in mounts):
            wrong.append(f"StatefulSet: {value} is not mounted")
        if flag == "--config.file" and value.rpartition("/")[2] not in config_map["data"]:
            wrong.append(f"StatefulSet: {value} is not in the ConfigMap")
    for name, text in config_map["data"].items():
        file = world.scratch / name
        file.write_text(text)
        done = subprocess.run([world.binary, "config", "check", "--config.file", file], capture_output=True, text=True, check=False)
        if done.returncode:
            wrong.append(f"ConfigMap: {done.stdout}{done.stderr}")
    return wrong


def monitors(service: dict) -> list[str]:
    """The ServiceMonitor of the Prometheus operator finds the Service."""
    wrong = []
    for name in ("monitor.yaml", "monitor-parts.yaml"):
        file = f"deploy/prometheus-operator/{name}"
        for document in yaml.safe_load_all((ROOT / file).read_text()):
            if not document or document["kind"] != "ServiceMonitor":
                continue
            if not document["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items():
                wrong.append(f"{file}: does not select the Service of deploy/kubernetes")
            endpoints = document["spec"]["endpoints"]
            names = {endpoint["port"] for endpoint in endpoints}
            if not names <= {port["name"] for port in service["spec"]["ports"]}:
                wrong.append(f"{file}: {names} are no ports of the Service")
            parts = [endpoint["params"] for endpoint in endpoints if "params" in endpoint]
            if parts and parts != [{"part": [str(number + 1)], "parts": [str(len(parts))]} for number in range(len(parts))]:
                wrong.append(f"{file}: these parts are not the whole: {parts}")
    return wrong
