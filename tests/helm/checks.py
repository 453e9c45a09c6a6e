"""What has to hold of manifests, whichever values they were made with. Each check gives what is wrong; nothing is wrong where it gives nothing."""

# What the Prometheus operator takes (its API reference, monitoring.coreos.com/v1), as far as the chart says it. Its schemas are not among those
# of Kubernetes, and an unknown key is dropped without a word.
ENDPOINT = {"port", "path", "interval", "scrapeTimeout", "scheme", "tlsConfig", "basicAuth", "params", "relabelings"}
TLS_CONFIG = {"ca", "cert", "keySecret", "serverName", "insecureSkipVerify"}
RELABELING = {"sourceLabels", "separator", "targetLabel", "regex", "modulus", "replacement", "action"}
GROUP = {"name", "interval", "rules", "labels", "limit", "partial_response_strategy", "query_offset"}
RULE = {"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
# Volumes that the restricted standard allows (kubernetes.io/docs/concepts/security/pod-security-standards).
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def by_kind(documents: list[dict], kind: str) -> list[dict]:
    """Those of one kind."""
    return [document for document in documents if document["kind"] == kind]


def restricted(documents: list[dict]) -> list[str]:
    """Where pods do not meet the Pod Security Standard "restricted"."""
    wrong = []
    for document in by_kind(documents, "StatefulSet"):
        pod = document["spec"]["template"]["spec"]
        of_pod = pod.get("securityContext", {})
        wrong += [f"the pod sets {name}" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
        for volume in pod.get("volumes", []):
            kinds = set(volume) - {"name"}
            wrong += [f"volume {volume['name']}: {kinds}"] if not kinds <= VOLUMES else []
        for container in pod["containers"] + pod.get("initContainers", []):
            own = container.get("securityContext", {})
            effective = of_pod | own
            name = container["name"]
            if effective.get("runAsNonRoot") is not True or effective.get("runAsUser") == 0:
                wrong.append(f"{name}: may run as root")
            if effective.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
                wrong.append(f"{name}: no seccomp profile")
            if own.get("allowPrivilegeEscalation") is not False:
                wrong.append(f"{name}: may gain privileges")
            if own.get("privileged"):
                wrong.append(f"{name}: is privileged")
            capabilities = own.get("capabilities", {})
            if capabilities.get("drop") != ["ALL"] or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
                wrong.append(f"{name}: capabilities {capabilities}")
            # Not of the standard, and of ours.
            if own.get("readOnlyRootFilesystem") is not True:
                wrong.append(f"{name}: may write into its image")
            wrong += [f"{name}: the port of the host {port['hostPort']}" for port in container.get("ports", []) if "hostPort" in port]
        if pod.get("automountServiceAccountToken") is not False:
            wrong.append("the pod gets a token for the API")
    return wrong


def together(documents: list[dict]) -> list[str]:
    """Where manifests that speak of each other do not agree."""
    wrong = []
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    wrong += [f"{kind} {name} twice" for kind, name in set(names) if names.count((kind, name)) > 1]
    services = {service["metadata"]["name"]: service for service in by_kind(documents, "Service")}
    config_maps = {one["metadata"]["name"]: one for one in by_kind(documents, "ConfigMap")}
    for one in by_kind(documents, "StatefulSet"):
        spec = one["spec"]
        template, pod = spec["template"], spec["template"]["spec"]
        labels = template["metadata"]["labels"]
        if not spec["selector"]["matchLabels"].items() <= labels.items():
            wrong.append(f"StatefulSet: selects {spec['selector']['matchLabels']}, its pods have {labels}")
        service = services.get(spec["serviceName"])
        if service is None:
            wrong.append(f"StatefulSet: no Service {spec['serviceName']}")
        elif spec["replicas"] > 1 and service["spec"].get("clusterIP") != "None":
            wrong.append("Service: several pods, and no name for each")
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        claims = {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
        container = pod["containers"][0]
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        wrong += [f"volume {name}: mounted, and not there" for name in set(mounts) - set(volumes) - claims]
        wrong += [f"volume {name}: there, and not mounted" for name in (set(volumes) | claims) - set(mounts)]
        wrong += [f"ConfigMap {volume['configMap']['name']}: mounted, and not there" for volume in volumes.values() if "configMap" in volume and volume["configMap"]["name"] not in config_maps]
        paths = [mount["mountPath"] for mount in mounts.values()]
        commands = [container[probe]["exec"]["command"] for probe in PROBES if "exec" in container.get(probe, {})]
        for word in [*container["args"], *(word for command in commands for word in command[1:])]:
            flag, _, value = word.partition("=")
            if flag != "--web.route-prefix" and value.startswith("/") and not any(value == path or value.startswith(f"{path}/") for path in paths):
                wrong.append(f"{word}: is not mounted")
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe in PROBES:
            if probe not in container:
                wrong.append(f"no {probe}")
                continue
            asked = container[probe].get("httpGet", {}).get("port", "http")
            if asked not in ports:
                wrong.append(f"{probe}: port {asked}")
        for other, selector in selectors(documents):
            if not selector.items() <= labels.items():
                wrong.append(f"{other}: selects {selector}, the pods have {labels}")
        for service in services.values():
            wrong += [f"Service: leads to port {port['targetPort']}" for port in service["spec"]["ports"] if port["targetPort"] not in ports]
        for policy in by_kind(documents, "NetworkPolicy"):
            opened = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
            if not set(ports.values()) <= opened:
                wrong.append(f"NetworkPolicy: shuts {set(ports.values()) - opened}")
    return wrong + monitors(documents, services) + prefixed(documents)


def prefixed(documents: list[dict]) -> list[str]:
    """Probes and the ServiceMonitor ask below the prefix at which the program answers."""
    wrong = []
    for one in by_kind(documents, "StatefulSet"):
        container = one["spec"]["template"]["spec"]["containers"][0]
        prefix = prefix_of(container["args"])
        for probe in (probe for probe in PROBES if probe in container):
            if "exec" in container[probe]:
                asked = prefix_of(container[probe]["exec"]["command"])
                wrong += [f"{probe}: asks below {asked!r}, the program answers below {prefix!r}"] if asked != prefix else []
            elif "httpGet" in container[probe]:
                path = container[probe]["httpGet"]["path"]
                wrong += [f"{probe}: asks for {path}"] if path not in (f"{prefix}/-/healthy", f"{prefix}/-/ready") else []
        paths = {endpoint["path"] for monitor in by_kind(documents, "ServiceMonitor") for endpoint in monitor["spec"]["endpoints"]}
        wrong += [f"ServiceMonitor: asks for {path}" for path in sorted(paths - {f"{prefix}/metrics"})]
    return wrong


def prefix_of(words: list[str]) -> str:
    """What a command line says that paths begin with."""
    said = [word.partition("=")[2] for word in words if word.startswith("--web.route-prefix=")]
    return said[-1].rstrip("/") if said else ""


def selectors(documents: list[dict]) -> list[tuple[str, dict]]:
    """What selects pods, beside the StatefulSet itself."""
    found = [("Service", one["spec"]["selector"]) for one in by_kind(documents, "Service")]
    found += [("PodDisruptionBudget", one["spec"]["selector"]["matchLabels"]) for one in by_kind(documents, "PodDisruptionBudget")]
    return found + [("NetworkPolicy", one["spec"]["podSelector"]["matchLabels"]) for one in by_kind(documents, "NetworkPolicy")]


def monitors(documents: list[dict], services: dict[str, dict]) -> list[str]:
    """A ServiceMonitor finds the Service, by a port that it has, and its parts are the whole."""
    wrong = []
    for one in by_kind(documents, "ServiceMonitor"):
        endpoints = one["spec"]["endpoints"]
        for service in services.values():
            if not one["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items():
                wrong.append("ServiceMonitor: does not select the Service")
            if not {endpoint["port"] for endpoint in endpoints} <= {port["name"] for port in service["spec"]["ports"]}:
                wrong.append("ServiceMonitor: asks a port that the Service has not")
        parts = [endpoint["params"] for endpoint in endpoints if "params" in endpoint]
        if (parts or len(endpoints) > 1) and parts != [{"part": [str(number + 1)], "parts": [str(len(endpoints))]} for number in range(len(endpoints))]:
            wrong.append(f"ServiceMonitor: these parts are not the whole: {parts}")
    return wrong


def operator(documents: list[dict]) -> list[str]:
    """Keys that the Prometheus operator does not know."""
    wrong = []

    def unknown(what: str, part: dict, known: set[str]) -> None:
        wrong.extend(f"{what}: {key}" for key in sorted(set(part) - known))

    for one in by_kind(documents, "ServiceMonitor"):
        unknown("ServiceMonitor", one["spec"], {"selector", "endpoints", "namespaceSelector", "jobLabel"})
        for endpoint in one["spec"]["endpoints"]:
            unknown("endpoint", endpoint, ENDPOINT)
            unknown("tlsConfig", endpoint.get("tlsConfig", {}), TLS_CONFIG)
            unknown("basicAuth", endpoint.get("basicAuth", {}), {"username", "password"})
            for relabeling in endpoint.get("relabelings", []):
                unknown("relabeling", relabeling, RELABELING)
    for one in by_kind(documents, "PrometheusRule"):
        unknown("PrometheusRule", one["spec"], {"groups"})
        for group in one["spec"]["groups"]:
            unknown(f"group {group.get('name')}", group, GROUP)
            for rule in group["rules"]:
                unknown(f"rule {rule.get('alert') or rule.get('record')}", rule, RULE)
                if not isinstance(rule.get("expr"), (str, int)) or ("alert" in rule) == ("record" in rule):
                    wrong.append(f"{rule}: neither an alert nor a record")
    return wrong
