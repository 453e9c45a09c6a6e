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

from alerts import AlertsStage
from compare import print_comparison
from partitions_stage import PartitionsStage
from report import Report
from shards_stage import ShardsStage
from stages import Stages
from world.domains import DNS_RESOLVER
from world.exporter import Exporter
from world.mail_world import MailWorld
from world.process import Failure, require_programs, tail

ROOT = Path(__file__).resolve().parents[2]
BUILDS = [ROOT / "target" / profile / "smtptls-exporter" for profile in ("release", "debug")]


def main() -> int:
    """Start the world, run the stages, stop everything."""
    arguments = parse()
    # However it is stopped, everything is taken down. (A shell's background job would ignore Ctrl-C's signal.)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    report = Report(arguments.only)
    try:
        require_programs()
        binary = None if arguments.world_only else find_binary(arguments.exporter)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="smtptls-e2e-"))
    # Servers that drop their privileges read their settings here.
    folder.chmod(0o755)
    if arguments.only == "partitions":
        return partitions_alone(report, folder, binary)
    world = MailWorld(folder)
    exporter = Exporter(binary or BUILDS[0], world)
    try:
        report.stage("the servers")
        took = world.start()
        print("  " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items()))
        try:
            stages(report, Stages(report, world, exporter), arguments.world_only)
        except Failure as failure:
            report.result("run", str(failure))
        if report.failed:
            print_logs(world, exporter)
        if arguments.compare:
            print_comparison(world)
        if arguments.keep:
            keep(exporter)
    except Failure as failure:
        report.result("the servers", str(failure))
        print_logs(world, exporter)
    except KeyboardInterrupt:
        report.result("run", "interrupted")
    finally:
        # Nobody's impatience leaves half of the servers behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        exporter.stop()
        world.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return report.end()


def partitions_alone(report: Report, folder: Path, binary: Path) -> int:
    """The stage that needs nothing of the world."""
    try:
        report.stage("partitions: each side cut off and joined again")
        PartitionsStage(report, folder, binary).run()
    except Failure as failure:
        report.result("partitions", str(failure))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report.end()


def stages(report: Report, run: Stages, world_only: bool) -> None:
    """The stages, as far as they are asked for."""
    report.stage("world: each domain is as intended")
    run.world_proof()
    if report.failed:
        raise Failure("the world is not as intended: nothing can be judged against it")
    if world_only:
        return
    if report.wants_stage("check"):
        report.stage("check: the command")
        run.check()
    if report.wants_stage("advice"):
        report.stage("advice: what to publish")
        run.advice()
    if report.wants_stage("alerts"):
        report.stage("alerts: from a fault to the page, with a minute made a second")
        AlertsStage(report, run.world, run.exporter.binary).run()
    if report.wants_stage("shards"):
        report.stage("shards: instances that share the domains and a database")
        ShardsStage(report, run.world, run.exporter.binary).run()
    if report.wants_stage("partitions"):
        report.stage("partitions: each side cut off and joined again")
        PartitionsStage(report, run.world.folder, run.exporter.binary).run()
    if report.only == "reports":
        report.stage("reports: by every way, through restarts")
        run.reports()
        return
    if not any(report.wants_stage(stage) for stage in ("scrape", "probe", "parts", "connections", "faults", "reload", "resolver", "dashboards", "stop")):
        return
    run.start()
    if report.wants_stage("scrape"):
        report.stage("scrape: Prometheus's view")
        run.scrape()
    else:
        run.settle()
    if report.wants_stage("probe"):
        report.stage("probe: looks on demand, and a Prometheus that asks for them")
        run.probe()
    if report.wants_stage("parts"):
        report.stage("parts: a Prometheus that takes four parts")
        run.parts()
    if report.wants_stage("connections"):
        report.stage("connections: the mail log's view")
        run.connections()
    if report.wants_stage("faults") or report.wants_stage("reload"):
        report.stage("faults and reload: changes under a running monitor")
        run.faults()
    if report.wants_stage("resolver"):
        report.stage("resolver: silent, then back")
        run.resolver()
    if report.wants_stage("dashboards"):
        report.stage("dashboards: every query of every panel")
        run.dashboards()
    if report.wants_stage("reports"):
        report.stage("reports: by every way, through restarts")
        run.reports()
    if report.wants_stage("stop"):
        report.stage("stop")
        run.stop()


def print_logs(world: MailWorld, exporter: Exporter) -> None:
    """The ends of all logs."""
    logs = world.logs()
    if end := tail(exporter.log, 40):
        logs += f"\n--- {exporter.log}\n{end}"
    print(f"\n{logs}" if logs else "", flush=True)


def keep(exporter: Exporter) -> None:
    """Leave the servers running for a person until Ctrl-C."""
    with_configuration = f"--config.file {exporter.configuration}"
    print(
        f"\nThe world runs in {exporter.world.folder} until Ctrl-C. For example, in another terminal:\n"
        f"  {exporter.binary} check good.test backup.test {with_configuration}\n"
        f"  {' '.join(map(str, exporter.serve))}\n"
        f"  kdig @{DNS_RESOLVER} _mta-sts.good.test TXT +adflag\n"
        f"  Prometheus: {exporter.world.prometheus.url}   domains: {' '.join(exporter.world.table.domains)}",
        flush=True,
    )
    try:
        signal.pause()
    except (KeyboardInterrupt, SystemExit):
        print()


def find_binary(given: Path | None) -> Path:
    """The program under test."""
    for binary in [given] if given else BUILDS:
        if binary.is_file():
            return binary.resolve()
    raise Failure(f"no exporter at {given or ' or '.join(map(str, BUILDS))}: run cargo build, or name one with --exporter")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exporter", type=Path, metavar="PATH", help="the binary (default: target/release, then target/debug)")
    parser.add_argument("--world-only", action="store_true", help="start and prove the servers, without an exporter")
    parser.add_argument("--compare", action="store_true", help="print what Postfix and ldns say about the DANE of this world")
    parser.add_argument("--only", metavar="NAME", help="one stage (world, check, advice, alerts, scrape, probe, parts, connections, faults, resolver, dashboards, reports, partitions, stop) "
                        "or whatever concerns one domain or mail host")
    parser.add_argument("--keep", action="store_true", help="leave the servers running afterwards, until Ctrl-C")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
