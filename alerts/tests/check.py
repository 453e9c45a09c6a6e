#!/usr/bin/env python3
"""Holds together what belongs together: each alert has a runbook, links, labels and tests; made files are as they are made."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent.parent
URL = "https://github.com/smtptls/smtptls-exporter/blob/main/docs/runbooks/"


# A page is to hold its ticket back, and may become true an evaluation later than it: five minutes at the most, twice.
AHEAD = 10


def pages_after_tickets(rules):
    """The alerts whose ticket would come before their page, or so soon after it that it may overtake it."""
    waits = {}
    for rule in re.split(r"\n +- (?=alert:|record:)", rules):
        found = re.match(r"alert: (\w+)", rule)
        wait, severity = (re.search(rf"\n +{key}: (\w+)", rule) for key in ("for", "severity"))
        if found:
            minutes = int(wait[1][:-1]) * {"m": 1, "h": 60}[wait[1][-1]] if wait else 0
            waits.setdefault(found[1], {})[severity[1]] = minutes
    both = {name: by for name, by in waits.items() if {"critical", "warning"} <= by.keys()}
    return [f"{name}: the ticket waits {by['warning']} min, its page {by['critical']}" for name, by in both.items()
            if by["warning"] < by["critical"] + AHEAD] or ([] if len(both) > 5 else [f"only {len(both)} alerts are both page and ticket"])


def main():
    wrong, names, tests = [], set(), ""
    for file in sorted((ROOT / "alerts/tests").glob("*.yml")):
        if file.name not in ("month.yml", "shared.yml"):
            tests += file.read_text()
    rules = sorted((ROOT / "alerts").glob("*.rules.yml"))
    for file in rules:
        for rule in re.split(r"\n +- (?=alert:|record:)", file.read_text()):
            found = re.match(r"alert: (\w+)", rule)
            if not found:
                continue
            name = found[1]
            names.add(name)
            for wanted in (r"severity: (critical|warning|info)\n", r"scope: (mx|domain|exporter)\n", r"summary: ", r"description: ",
                           re.escape(f"runbook_url: {URL}{name}.md\n"), r"dashboard_url: /d/smtptls-\w+"):
                if not re.search(wanted, rule + "\n"):
                    wrong.append(f"{file.name}: {name} has no {wanted}")
    wrong += pages_after_tickets("".join(file.read_text() for file in rules))
    for name in sorted(names):
        quiet = re.search(rf"alertname: {name}, exp_alerts: \[\]", tests)
        firing = re.search(rf"alertname: {name}\n\s+exp_alerts:\n", tests)
        if not (quiet and firing):
            wrong.append(f"{name}: no test that it fires, or none that it does not")
    pages = {page.stem for page in (ROOT / "docs/runbooks").glob("SMTPTLS*.md")}
    wrong += [f"{name}: no runbook" for name in sorted(names - pages)]
    wrong += [f"docs/runbooks/{name}.md: no such alert" for name in sorted(pages - names)]
    # Level S is all that a monitor with many domains exports.
    levels = dict(re.findall(r"^\| `(\w+)` \| \w+ \|[^|]*\| ([SNF]) \|", (ROOT / "docs/metrics.md").read_text(), re.M))
    used = set(re.findall(r"(?<![:\w])(smtptls_\w+|process_\w+)", "".join(file.read_text() for file in rules)))
    wrong += [f"{name}: not a metric of level S" for name in sorted(used) if levels.get(name) != "S"]
    for maker in ("alerts/tests/month.py", "deploy/prometheus-operator/make-rules.py", "alerts/sharded/make.py"):
        done = subprocess.run([sys.executable, ROOT / maker, "--check"], capture_output=True, text=True)
        wrong += [done.stderr.strip()] if done.returncode else []
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(names)} alerts, {len(pages)} runbooks, {len(used)} metrics")


if __name__ == "__main__":
    main()
