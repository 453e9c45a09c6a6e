#!/usr/bin/env python3
"""How many reports a second parsedmarc reads from the same mail, on one core: to stand beside `cargo bench --bench report`.

    SMTPTLS_MAIL=/tmp/report.eml cargo bench --bench report
    python3 -m venv /tmp/parsedmarc && /tmp/parsedmarc/bin/pip install parsedmarc
    /tmp/parsedmarc/bin/python benches/report_parsedmarc.py /tmp/report.eml
"""

import importlib.metadata
import statistics
import sys
import time

import parsedmarc

TURNS = 9
CALLS = 300


def read(mail):
    # Offline: nothing is looked up in the DNS.
    return parsedmarc.parse_report_email(mail, offline=True)


def turn(mail):
    began = time.perf_counter()
    for _ in range(CALLS):
        read(mail)
    return (time.perf_counter() - began) / CALLS


def main():
    with open(sys.argv[1], "rb") as file:
        mail = file.read()
    outcome = read(mail)
    assert outcome["report_type"] == "smtp_tls", outcome
    seconds = statistics.median(turn(mail) for _ in range(TURNS))
    print(f"parsedmarc {importlib.metadata.version('parsedmarc')}, Python {sys.version.split()[0]}")
    print(f"  read, microseconds            {seconds * 1e6:10.2f}")
    print(f"  reports a second and core     {1 / seconds:10.0f}")


if __name__ == "__main__":
    main()
