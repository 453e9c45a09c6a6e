#!/usr/bin/env python3
"""Writes rules.yaml beside this file: the shipped rule files as one PrometheusRule for the Prometheus operator.

    deploy/prometheus-operator/make-rules.py            writes it
    deploy/prometheus-operator/make-rules.py --check    fails where it differs
"""
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
RULES = HERE.parent.parent / "alerts"
ORDER = ["thresholds", "records", "mx", "domain", "reports", "exporter", "state", "shards"]
HEAD = """# Made by make-rules.py from alerts/*.rules.yml: change those, not this.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: smtptls-exporter
  labels:
    # What ruleSelector of your Prometheus asks for.
    release: prometheus
spec:
  groups:
"""


def main():
    out = [HEAD]
    for name in ORDER:
        lines = (RULES / f"{name}.rules.yml").read_text().splitlines()
        groups = lines[lines.index("groups:") + 1:]
        out += [f"  {line}\n" if line else "\n" for line in groups]
    content, file = "".join(out), HERE / "rules.yaml"
    if "--check" not in sys.argv:
        file.write_text(content)
    elif not file.exists() or file.read_text() != content:
        sys.exit("rules.yaml: not what make-rules.py writes; run it")


if __name__ == "__main__":
    main()
