#!/usr/bin/env python3
"""End-to-end run: the built exporter against real servers, judged by Prometheus's own query results. See README.md."""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

# Nothing of the run stays behind, in the checkout neither.
sys.dont_write_bytecode = True

from report import Report
from world.mail_world import MailWorld
from world.process import Failure, require_programs
from world.proof import prove_mail_host, prove_policy, prove_records


def main() -> int:
    arguments = parse()
    # A stop from outside ends like Ctrl-C: everything is taken down.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    report = Report()
    folder = Path(tempfile.mkdtemp(prefix="smtptls-e2e-"))
    # Servers that drop their privileges read their settings here.
    folder.chmod(0o755)
    world = MailWorld(folder)
    try:
        require_programs()
        world_stage(report, world)
    except Failure as failure:
        report.result("run", str(failure))
    finally:
        if report.failed:
            print("\n" + world.logs())
        world.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return report.end()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world-only", action="store_true", help="start and prove the world, without an exporter")
    return parser.parse_args()


def world_stage(report: Report, world: MailWorld) -> None:
    """Start the servers and prove that each domain is as intended."""
    report.stage("world: the servers")
    took = world.start()
    print("  " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items()))
    for domain in world.table.domains.values():
        report.check(f"world {domain.name}: records", prove_records, domain)
        if domain.policy is not None:
            report.check(f"world {domain.name}: policy host", prove_policy, world, domain)
    for host in world.table.hosts.values():
        report.check(f"world {host.name}: {host.certificate}", prove_mail_host, world, host)


if __name__ == "__main__":
    sys.exit(main())
