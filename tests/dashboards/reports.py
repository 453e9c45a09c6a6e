#!/usr/bin/env python3
"""Two weeks of made-up TLS reports as OpenMetrics, for the picture of the dashboard about them: no sender reports to a test world.

    reports.py UNIX-TIME | promtool tsdb create-blocks-from openmetrics /dev/stdin DATA-FOLDER
"""

import random
import sys

DAYS, STEP = 14, 300
DOMAINS = {"good.test": (9000, 0.0), "drift.test": (2400, 0.04), "backup.test": (700, 0.002), "shared1.test": (320, 0.0)}
REPORTERS = {"google.com": 0.55, "microsoft.com": 0.3, "mail.ru": 0.05, "other": 0.08, "unverified": 0.02}


def rise() -> dict[tuple, float]:
    """What one day's reports add."""
    risen = {}

    def add(name, value, **labels):
        key = (name, tuple(labels.items()))
        risen[key] = risen.get(key, 0) + value

    for domain, (sessions, share) in DOMAINS.items():
        for reporter, part in REPORTERS.items():
            count = round(sessions * part * random.uniform(0.7, 1.3))
            failed = round(count * share * random.uniform(0.5, 1.5))
            for policy, weight in (("sts", 1), ("tlsa", 0.3), ("no-policy-found", 0.01)):
                bad = failed if policy == "sts" else 0
                add("smtptls_tlsrpt_sessions", round(count * weight), domain=domain, policy_type=policy)
                add("smtptls_tlsrpt_failed_sessions", bad, domain=domain, policy_type=policy)
            for result, weight in (("validation-failure", 0.8), ("certificate-expired", 0.2)):
                add("smtptls_tlsrpt_failure_details", round(failed * weight), domain=domain, policy_type="sts", result_type=result)
            add("smtptls_tlsrpt_reporter_sessions", count, domain=domain, reporter=reporter)
            add("smtptls_tlsrpt_reporter_failed_sessions", failed, domain=domain, reporter=reporter)
            add("smtptls_tlsrpt_reports", 1, transport="https" if reporter == "unverified" else "mail")
    add("smtptls_tlsrpt_reports_rejected", random.choice((0, 0, 1)), reason="bad-json")
    add("smtptls_tlsrpt_reports_rejected", random.choice((0, 1)), reason="unknown-domain")
    add("smtptls_tlsrpt_reports_duplicate", random.choice((0, 2)))
    add("smtptls_tlsrpt_reports_late", random.choice((0, 0, 1)))
    add("smtptls_tlsrpt_report_quirks", 1, quirk="policy-string-as-one-string")
    return risen


def main() -> None:
    """The same each time: the seed stands here."""
    random.seed(8460)
    end = int(sys.argv[1])
    target = 'instance="127.77.90.2:10461",job="smtptls"'
    lines, risen, came = {}, rise(), {}
    total = dict.fromkeys(risen, 0)
    # Each reporter has its hour.
    hour = {key: random.randrange(0, 86400, STEP) for key in risen}
    for at in range(end - DAYS * 86400, end + 1, STEP):
        if at % 86400 < STEP:
            risen = rise()
        for key in total:
            if at % 86400 // STEP == hour[key] // STEP:
                total[key] += risen[key]
                came[dict(key[1]).get("domain")] = at
        for (name, labels), value in total.items():
            text = ",".join([*(f'{label}="{word}"' for label, word in labels), target])
            lines.setdefault(f"# TYPE {name} counter", []).append(f"{name}_total{{{text}}} {value} {at}")
        for domain in came.keys() & DOMAINS:
            for name, time in (("last_report", came[domain]), ("last_report_end", came[domain] - 5 * 3600)):
                metric = f"smtptls_tlsrpt_{name}_timestamp_seconds"
                lines.setdefault(f"# TYPE {metric} gauge", []).append(f'{metric}{{domain="{domain}",{target}}} {time} {at}')
    for head, samples in lines.items():
        print(head, *samples, sep="\n")
    print("# EOF")


if __name__ == "__main__":
    main()
