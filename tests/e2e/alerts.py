"""The stage of the alerts: the world is broken, and those who are to hear of it do, of nothing else, and of its end."""

import re
import time
from pathlib import Path

from alert_expectations import FAULTS, PORT_25, RESOLVER, Alert, Fault
from report import Report
from world import port25
from world.alerting import RUNBOOKS, AlertingPrometheus, Alertmanager, QuickExporter, Receiver, Told, identity
from world.domains import ALERTS
from world.mail_world import MailWorld
from world.process import Failure, tail, wait_until
from world.ticket_mail import TicketMail

# Seconds that this machine may be late by, and that Alertmanager waits for more of a group.
SLACK = 15
# How long after the last message another one would be wrong: the waits of nearly all tickets, and an interval of a group.
QUIET = 35
# The faults of mail are told last by the longest wait that there is: two intervals of a group after it all are told.
GROUP_INTERVALS = 10
# From a repair until everybody has heard: a look at a host, keep_firing_for, an interval of a group.
MENDED = 30 + 15 + 5 + 2 * SLACK
RUNBOOK = re.compile(r"https://\S+/docs/runbooks/(\w+\.md)$")
DASHBOARD = re.compile(r"/d/smtptls-\w+(\?var-\w+=\S+)?$")


class AlertsStage:
    """Its servers, and the faults in order."""

    def __init__(self, report: Report, world: MailWorld, binary: Path):
        self.report = report
        self.world = world
        folder = world.folder / "alerting"
        self.exporter = QuickExporter(binary, world)
        self.prometheus = AlertingPrometheus(folder / "prometheus")
        self.alertmanager = Alertmanager(folder / "alertmanager")
        self.receiver = Receiver(folder / "receiver")
        self.mail: TicketMail | None = None

    def run(self) -> None:
        """Everything; whatever happens, it is taken down."""
        failed = len(self.report.failed)
        try:
            self.start()
            self.sound()
            self.fault("mail", FAULTS, GROUP_INTERVALS)
            self.accept_what_lasts()
            self.fault("resolver", (RESOLVER,), QUIET)
            self.fault("port 25", (PORT_25,), QUIET)
            self.report.check("alerts tickets by mail: subject, summary, links", self.tickets)
        except Failure as failure:
            self.report.result("alerts: the chain", str(failure))
        finally:
            self.stop()
        if len(self.report.failed) > failed:
            for part in (self.exporter, self.prometheus, self.alertmanager, self.receiver):
                print(f"\n--- {part.log}\n{tail(part.log, 15)}")

    def start(self) -> None:
        """From the receiver backwards, so that nothing is told into the void."""
        self.mail = TicketMail()
        self.mail.start()
        self.receiver.start()
        self.alertmanager.start()
        self.exporter.start()
        self.prometheus.start()

    def stop(self) -> None:
        """Take down what stands, and nothing of the world stays broken."""
        port25.open_again()
        self.world.unbound.resume()
        self.prometheus.stop()
        self.exporter.stop()
        self.alertmanager.stop()
        self.receiver.stop()
        if self.mail:
            self.mail.stop()

    def sound(self) -> None:
        """Before anything is broken: all is protected, nothing is told, and nothing is about to be."""
        wanted = len(self.world.table.below(ALERTS))

        def protected():
            return self.prometheus.query('sum(smtptls_domain_delivery{state="protected"})') == [({}, wanted)]

        wait_until(protected, f"{wanted} domains protected", 60, 0.3)
        pending = self.settled(())
        self.verdict("alerts sound world: nothing pending, nothing told", [*pending, *map(str, self.receiver.told())], [])

    def fault(self, title: str, faults: tuple[Fault, ...], quiet: float) -> None:
        """Break all of it, judge what is told, mend it, judge again."""
        began, first = time.time(), self.receiver.count()
        since = {}
        mended = False
        try:
            for fault in faults:
                for alert in fault.told:
                    since[alert.identity()] = time.time()
                fault.broken(self.world)
            self.wait_for("firing", faults, first, max(alert.within for fault in faults for alert in fault.told) + 2 * SLACK)
            # Whatever else is about to be told is told by then.
            time.sleep(quiet)
            self.judge_firing(title, faults, first, began, since)
            ended, last = time.time(), self.receiver.count()
            mended = True
            for fault in faults:
                fault.mended(self.world)
            self.wait_for("resolved", faults, last, MENDED)
            self.judge_mended(title, faults, last, ended)
        finally:
            if not mended:
                for fault in faults:
                    fault.mended(self.world)

    def wait_for(self, status: str, faults: tuple[Fault, ...], first: int, seconds: float) -> None:
        """Until every alert was told with this status, or time is over: then the judgement says what is missing."""
        wanted = {alert.identity() for fault in faults for alert in fault.told}
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if wanted <= {told.alert for told in self.receiver.told(first) if told.status == status}:
                return
            time.sleep(0.3)

    def judge_firing(self, title: str, faults: tuple[Fault, ...], first: int, began: float, since: dict) -> None:
        """Each alert as it should be, and no other; what a page explains is held back."""
        told = [one for one in self.receiver.told(first) if one.status == "firing"]
        fired = self.fired(began)
        held = self.alertmanager.held_back()
        for fault in faults:
            for alert in fault.told:
                problems, took = self.problems(alert, told, since[alert.identity()])
                name = f"alerts {alert.about}: {alert.name} {alert.severity}{took}"
                self.verdict(name, problems, self.receiver.told(first))
            for alert in fault.held_back:
                missing = [] if alert in fired and alert in held else [f"firing: {alert in fired}, held back: {alert in held}"]
                self.verdict(f"alerts {alert[2]}: {alert[0]} {alert[1]}, held back by its page", missing, self.receiver.told(first))
        wanted = {alert.identity() for fault in faults for alert in fault.told}
        other = [str(one) for one in self.receiver.told(first) if one.alert not in wanted or one.status != "firing"]
        self.verdict(f"alerts {title}: nothing else is told", other, self.receiver.told(first))
        silent = {alert for fault in faults for alert in fault.held_back}
        other = [" ".join(alert) for alert in sorted(fired - wanted - silent)]
        self.verdict(f"alerts {title}: nothing else fires in Prometheus", other, self.receiver.told(first))
        self.verdict(f"alerts {title}: one notification a group", grouping(faults, told), self.receiver.told(first))

    def fired(self, began: float) -> set[tuple[str, str, str]]:
        """Every alert that fired since then, in Prometheus's own memory."""
        span = max(2, int(time.time() - began))
        rows = self.prometheus.query(f'max_over_time(ALERTS{{alertstate="firing"}}[{span}s])', keep=("instance",))
        return {identity(labels) for labels, _ in rows}

    @staticmethod
    def problems(alert: Alert, told: list[Told], since: float) -> tuple[list[str], str]:
        """What is wrong with how an alert was told, and how long it took."""
        mine = [one for one in told if one.alert == alert.identity()]
        if not mine:
            return [f"expected at {alert.receiver}, by {dict(alert.group())}: it was not told"], ""
        one = mine[0]
        found = [f"not said: {word}\n  in: {one.text}" for word in alert.words if word not in one.text]
        if {(other.receiver, other.group) for other in mine} != {(alert.receiver, alert.group())}:
            found.append(f"expected at {alert.receiver}, by {dict(alert.group())}; came: {', '.join(map(str, mine))}")
        page = RUNBOOK.match(one.annotations.get("runbook_url", ""))
        if not page or not (RUNBOOKS / page[1]).is_file() or not page[1].startswith(alert.name):
            found.append(f"no runbook: {one.annotations.get('runbook_url')}")
        if not DASHBOARD.match(one.annotations.get("dashboard_url", "")):
            found.append(f"no dashboard: {one.annotations.get('dashboard_url')}")
        took = one.at - since
        if not alert.wait <= took <= alert.within + SLACK:
            found.append(f"came after {took:.0f} s; promised: from {alert.wait} to {alert.within}, and {SLACK} of slack")
        return found, f", after {took:.0f} s of {alert.within}"

    def judge_mended(self, title: str, faults: tuple[Fault, ...], first: int, ended: float) -> None:
        """The end of each is told to those who heard of the beginning; nothing new is."""
        told = self.receiver.told(first)
        for fault in faults:
            for alert in fault.told:
                ends = [one for one in told if one.status == "resolved" and one.alert == alert.identity()]
                problems = [] if ends else ["its end was not told"]
                if {(one.receiver, one.group) for one in ends} - {(alert.receiver, alert.group())}:
                    problems.append(f"told elsewhere: {', '.join(map(str, ends))}")
                took = f", after {ends[0].at - ended:.0f} s" if ends else ""
                self.verdict(f"alerts {alert.about}: {alert.name} is over{took}", problems, told)
        wanted = {alert.identity() for fault in faults for alert in fault.told}
        self.verdict(f"alerts {title}: nothing else is told after the repair",
                     [str(one) for one in told if one.alert not in wanted], told)
        lasting = tuple(alert for fault in faults for alert in fault.lasting)
        self.verdict(f"alerts {title}: nothing fires any more, {len(lasting)} pending", self.settled(lasting), told)

    def settled(self, wanted: tuple[tuple[str, str, str], ...]) -> list[str]:
        """Wait until these alerts are pending and no others are, nor fire; what is wrong with it when time is over."""
        try:
            wait_until(lambda: self.prometheus.alerts() == dict.fromkeys(wanted, "pending"), "the alerts that are left", MENDED, 0.5)
        except Failure as failure:
            return [f"{failure}: {self.prometheus.alerts()}"]
        return []

    def accept_what_lasts(self) -> None:
        """What senders still hold is accepted, as the runbook says: then it does not alert."""
        self.exporter.accept("mx-not-in-cached-policy")
        self.verdict("alerts SMTPTLSMXFinding: nothing pending once it is accepted", self.settled(()), self.receiver.told())

    def tickets(self) -> None:
        """The mail of the example: what the subject promises, and each text with its links."""
        tickets = self.mail.tickets()
        problems = []
        for fault in (*FAULTS, RESOLVER, PORT_25):
            for alert in fault.told:
                if alert.receiver != "tickets":
                    continue
                texts = [text for subject, text in tickets if re.fullmatch(rf"{re.escape(alert.group()[0][1])}: \d+ alert\(s\)", subject)]
                flat = [" ".join(text.split()) for text in texts]
                words = (*alert.words, f"/docs/runbooks/{alert.name}.md", "https://grafana.example.com/d/smtptls-")
                if not any(all(word in text for word in words) for text in flat):
                    problems.append(f"{alert.name} of {alert.about}: {texts or 'no mail'}")
        if problems or not tickets:
            raise Failure("\n".join([*problems, f"subjects: {[subject for subject, _ in tickets]}"]))

    def verdict(self, name: str, problems: list[str], told: list[Told]) -> None:
        """One line of the run; a failure shows what was told."""
        text = None
        if problems:
            seen = "\n".join(map(str, told)) or "nothing"
            text = "\n".join([*problems, "told in this phase:", seen])
        self.report.result(name, text)


def grouping(faults: tuple[Fault, ...], told: list[Told]) -> list[str]:
    """A page is one notification, whatever it tells of; a ticket that tells of several may grow, and in the end tells of all."""
    groups: dict[tuple, set] = {}
    for fault in faults:
        for alert in fault.told:
            groups.setdefault((alert.receiver, alert.group()), set()).add(alert.identity())
    problems = []
    for (receiver, group), alerts in groups.items():
        mine = [one for one in told if (one.receiver, one.group) == (receiver, group)]
        numbers = sorted({one.notification for one in mine})
        most = 1 if receiver == "pager" else len(alerts)
        if not 1 <= len(numbers) <= most:
            problems.append(f"{receiver} {dict(group)}: {len(numbers)} notifications, at most {most} expected")
        last = {one.alert for one in mine if numbers and one.notification == numbers[-1]}
        if last != alerts:
            problems.append(f"{receiver} {dict(group)}: the last notification tells of {sorted(last)}, not of {sorted(alerts)}")
    return problems
