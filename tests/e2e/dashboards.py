#!/usr/bin/env python3
"""Every query of the dashboards against a real Prometheus: which of them find nothing, and whether that is as it should be.

    dashboards.py http://localhost:9090 [UNIX-TIME]
"""

import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "dashboards"

# What the user would have chosen; `$domain` of the dashboard about one domain is asked for one domain after the other.
VARIABLES = {"$job": ".+", "$instance": ".+", "$group": ".*", "$mx": ".+", "$__rate_interval": "1m", "$__range": "1h"}
DOMAINS = ("good.test", "drift.test", "backup.test", "testing.test", "ee.dane.test", "servfail.test", "gone.test")

# What finds nothing in the world of the end-to-end run, by the title of the panel, each with the reason.
MAY_BE_EMPTY = {
    "Alerts": "no alert has been true for long enough, and the Prometheus of the run loads no rules",
    "Phases of a probe": "metrics.level is normal",
    "Failed, DANE": "no report of this world tells of DANE",
    "Old TLS accepted": "an earlier stage switched the survey off, and what is not looked at is not 0",
    "Safe to remove": "no policy of this world is withdrawn in order",
    # Single queries of panels that have others.
    "What can be seen from here, query E": "no canary is configured",
    "Latest changes, query A": "no policy changes while the monitor runs",
    "Latest changes, query B": "no id changes while the monitor runs",
    "Latest changes, query C": "no id is stale",
    "Policy last changed": "no policy changes while the monitor runs",
    "Id last changed": "no id changes while the monitor runs",
}
# Reports come in the stage after this one, which asks these queries itself.
REPORTS = re.compile(r"smtptls_tlsrpt_(?!record_)")


def panels():
    """Each query: the file, the panel and its query, and the target."""
    for path in sorted(FOLDER.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield path.stem, panel["title"], target


def expanded(expr: str, domain: str) -> str:
    """The query with every variable in it replaced."""
    for name, value in {**VARIABLES, "$domain": domain}.items():
        expr = expr.replace(name, value)
    return expr


def ask(url: str, expr: str, ranged: bool, at: float) -> int:
    """The number of series that a query finds."""
    words = {"query": expr, "time": at}
    if ranged:
        words = {"query": expr, "start": at - 600, "end": at, "step": 15}
    request = f"{url}/api/v1/query{'_range' if ranged else ''}?{urllib.parse.urlencode(words)}"
    try:
        answer = json.load(urllib.request.urlopen(request, timeout=20))
    except urllib.error.HTTPError as error:
        raise AssertionError(f"Prometheus rejects {expr}: {error.read().decode()}") from error
    return len(answer["data"]["result"])


def look(url: str, at: float | None = None, reports: bool = False) -> tuple[int, list[str], list[str]]:
    """How many queries there are, those that find nothing without a reason, and those that do with one. `reports`: only those about
    reports, and where reports came in."""
    at = time.time() if at is None else at
    count, wrong, excused = 0, [], []
    for board, title, target in panels():
        if reports and not REPORTS.search(target["expr"]):
            continue
        count += 1
        one_domain = 'domain="$domain"' in target["expr"]
        domains = DOMAINS if one_domain else (".+",)
        if any(ask(url, expanded(target["expr"], domain), target["range"], at) for domain in domains):
            continue
        place = f"{title}, query {target['refId']}"
        reason = MAY_BE_EMPTY.get(title) or MAY_BE_EMPTY.get(place)
        if reason is None and not reports and REPORTS.search(target["expr"]):
            reason = "no reports came yet"
        if reason is None:
            wrong.append(f"{board}: {place}: no data: {target['expr']}")
        else:
            excused.append(f"{board}: {place}: {reason}")
    return count, wrong, excused


def main() -> int:
    """The same for a Prometheus of one's own."""
    count, wrong, excused = look(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else None)
    print(*(f"empty, as expected: {line}" for line in excused), sep="\n")
    print(*wrong, sep="\n")
    print(f"{count} queries, {len(wrong)} without data, {len(excused)} empty for a known reason")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
