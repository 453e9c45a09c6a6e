"""The reports stage: TLS reports by every way in, with the monitor stopped, killed and started again in the middle."""

import gzip
import random
import smtplib
import subprocess
import time
from pathlib import Path

from dashboards import look
from report import Report
from rows import Row
from world.domains import REPORTS_HTTPS, REPORTS_MX
from world.exporter import Exporter
from world.mail_world import MailWorld
from world.process import Failure, wait_until
from world.proof import expect
from world.report_mail import IMAP_RECIPIENT, RECIPIENT, REPORTER, mail, report

# Seconds. For so long a counter that is new stays at 0, so that Prometheus sees its rise.
NEWBORN = 300
# They outlive every restart, and never fall.
COUNTERS = [f"smtptls_tlsrpt_{name}_total" for name in (
    "sessions", "failed_sessions", "failure_details", "reporter_sessions", "reporter_failed_sessions", "reports", "reports_rejected",
    "reports_duplicate", "report_quirks",
)]
# How many mails lie in the maildir while the monitor is killed again and again.
MAILS = 20
# They come in portions of so many.
PORTION = 4
# So that a run can be repeated: the moments of death come from this.
SEED = 20261126
# Deaths are over once all is stored; more than this means that it never is.
MOST_DEATHS = 60


class ReportsStage:
    """The stage. `poll`: that of the other stages."""

    def __init__(self, report_lines: Report, world: MailWorld, exporter: Exporter, poll):
        self.report = report_lines
        self.world = world
        self.exporter = exporter
        self.poll = poll
        self.maildir = world.postfix.mail / "reports"
        self.quarantine = exporter.state / "quarantine"
        # When the monitor came up, and when the first report was counted.
        self.began = 0.0
        self.born = 0.0

    def run(self) -> None:
        """All of it, in order: each part counts on the ones before."""
        check = self.report.check
        self.exporter.configure(reports=True)
        self.exporter.start()
        self.began = time.monotonic()
        zero = {kind: 0 for kind in ("sts", "tlsa", "no-policy-found", "other")}
        self.poll({"reports: counters begin at 0": [
            Row(f'sum by (policy_type) ({family}{{domain="good.test"}})', zero)
            for family in ("smtptls_tlsrpt_sessions_total", "smtptls_tlsrpt_failed_sessions_total")
        ]}, 20)
        check("reports: by Postfix into a maildir", self.by_maildir)
        check("reports: from Dovecot by IMAP, moved once it is stored", self.by_imap)
        check("reports: by HTTPS POST", self.by_https)
        check("reports: through the pipe of report ingest", self.by_pipe)
        self.poll({"reports: each counted by its way": [
            Row("sum by (transport) (smtptls_tlsrpt_reports_total)", {"mail": 3, "https": 1, "file": 0}),
            Row("smtptls_tlsrpt_reports_duplicate_total", 0),
        ]}, 20)
        check("reports: the same again by another way counts nothing", self.duplicates)
        check("reports: an unsigned mail is refused and set aside", self.unsigned)
        check("reports: what was set aside can be handed in again", self.handed_in_again)
        check(f"reports: {MAILS} mails, killed at random moments, each exactly once", self.killed)
        check("reports: a report that comes after a restart", self.after_a_restart)
        self.report.check("reports promtool: check metrics is silent", self.promtool)
        rest = self.born + NEWBORN + 5 - time.monotonic()
        print(f"  ({rest:.0f} s until the counters are old enough to be shown)", flush=True)
        time.sleep(max(0, rest))
        self.poll({"reports: increase() over all restarts: nothing doubled, nothing lost": self.increases()}, 30)
        check("reports: report show on what Postfix delivered", self.shown)
        check("reports: every query of the dashboards about reports finds data", self.dashboards)

    def dashboards(self) -> None:
        count, wrong, excused = look(self.world.prometheus.url, reports=True)
        expect("queries without data", wrong, [])
        self.report.note(f"{count} queries; {len(excused)} find nothing for a reason that dashboards.py states")

    # --- the ways in

    def by_maildir(self) -> None:
        self.deliver(self.signed("good.test", "maildir-1", 100, 5))
        self.born = time.monotonic()
        self.taken_from_maildir()

    def by_imap(self) -> None:
        self.deliver(self.signed("good.test", "imap-1", 40, 2, IMAP_RECIPIENT), IMAP_RECIPIENT)
        # Dovecot makes the copy first.
        self.moved(1)

    def by_https(self) -> None:
        body = report("shared1.test", "https-1", 7, 1, "elsewhere.test")
        expect("status of gzip", self.post(gzip.compress(body), "application/tlsrpt+gzip"), "201")
        expect("status of broken JSON", self.post(b'{"organization-name": ', "application/tlsrpt+json"), "400")
        expect("status of a picture", self.post(b"\x89PNG\r\n\x1a\n", "application/tlsrpt+json"), "415")

    def by_pipe(self) -> None:
        self.ingest(self.signed("shared1.test", "pipe-1", 10, 0))
        wait_until(lambda: not self.waiting(self.exporter.state / "incoming"), "the file taken", 20)

    def duplicates(self) -> None:
        """Four reports again, each by a way on which it did not come."""
        self.deliver(self.signed("good.test", "maildir-1", 100, 5, IMAP_RECIPIENT), IMAP_RECIPIENT)
        self.deliver(self.signed("good.test", "imap-1", 40, 2))
        self.ingest(self.signed("good.test", "maildir-1", 100, 5))
        expect("status", self.post(report("shared1.test", "pipe-1", 10, 0), "application/tlsrpt+json"), "201")
        expect("status", self.post(report("shared1.test", "https-1", 7, 1, "elsewhere.test"), "application/tlsrpt+json"), "201")
        self.hold(Row("smtptls_tlsrpt_reports_duplicate_total", 5), Row("sum(smtptls_tlsrpt_reports_total)", 4))
        self.moved(2)

    def unsigned(self) -> None:
        rejected = 'smtptls_tlsrpt_reports_rejected_total{reason="unauthenticated"}'
        forged = mail("good.test", "forged-1", report("good.test", "forged-1", 1, 1000))
        self.deliver(forged)
        self.hold(Row(rejected, 1))
        self.taken_from_maildir()
        # A signature that was good once, over another body.
        cut = self.signed("good.test", "forged-2", 1, 1).replace(b"aggregate", b"forged")
        self.deliver(cut)
        self.hold(Row(rejected, 2))
        whys = [path for path in self.quarantine.iterdir() if path.suffix == ".why"]
        if len(whys) < 2 or not any("unauthenticated" in path.read_text() for path in whys):
            raise Failure(f"in quarantine: {[(path.name, path.read_text()) for path in whys]}")

    def handed_in_again(self) -> None:
        """A person has looked at the forged mail, trusts it, and takes it without proof."""
        aside = [
            path for path in self.quarantine.iterdir() if path.suffix != ".why" and b"forged-1" in path.read_bytes()
        ]
        expect("copies of the forged mail", len(aside), 1)
        content = aside[0].read_bytes()
        self.exporter.configure(reports=True, authentication="none")
        expect("reload", self.exporter.request("/-/reload", "POST")[0], 200)
        self.ingest(content)
        self.hold(Row("sum(smtptls_tlsrpt_reports_total)", 5))
        self.exporter.configure(reports=True)
        expect("reload", self.exporter.request("/-/reload", "POST")[0], 200)

    def killed(self) -> None:
        """Between the store's commit and the acknowledgement, before and after: nobody knows when it dies."""
        moments = random.Random(SEED)
        expect("exit", self.exporter.stop(), 0)
        deaths, died_within = 0, 0
        # In portions, so that it dies more often than once.
        for number in range(MAILS):
            self.deliver(self.signed("shared2.test", f"killed-{number}", 10, 1))
            if (number + 1) % PORTION:
                continue
            wait_until(lambda: len(self.waiting(self.maildir / "new")) == PORTION, "all delivered", 30)
            while before := len(self.waiting(self.maildir / "new")):
                deaths += 1
                if deaths > MOST_DEATHS:
                    raise Failure(f"{before} mails are still there after {deaths} deaths")
                self.exporter.daemon.start(lambda: True)
                self.wait_for_a_moment(moments, before)
                self.exporter.kill()
                died_within += 0 < len(self.waiting(self.maildir / "new")) < before
        self.report.note(f"killed {deaths} times, {died_within} of them with some mails of a portion moved and some not")
        self.exporter.start(keep_state=True)
        # What was stored and not acknowledged came again, and counted as a duplicate.
        self.hold(Row("sum(smtptls_tlsrpt_reports_total)", 5 + MAILS))

    def wait_for_a_moment(self, moments: random.Random, before: int) -> None:
        """Mostly that in which the first mail of a portion is moved, or a little later or earlier."""
        if moments.random() < 0.3:
            time.sleep(moments.uniform(0.05, 1.5))
            return
        deadline = time.monotonic() + 20
        while len(self.waiting(self.maildir / "new")) == before and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(moments.uniform(0, 0.01))

    def after_a_restart(self) -> None:
        expect("exit", self.exporter.stop(), 0)
        self.exporter.start(keep_state=True)
        self.deliver(self.signed("good.test", "maildir-2", 60, 3))
        self.hold(Row("sum(smtptls_tlsrpt_reports_total)", 6 + MAILS))

    # --- the end

    def increases(self) -> list[Row]:
        """The forged one counts, too: it was taken on trust."""
        span = f"{int(time.monotonic() - self.began)}s"
        rows = []
        for domain, reporter, sessions, failed in (
            ("good.test", REPORTER, 105 + 42 + 63 + 1001, 5 + 2 + 3 + 1000),
            ("shared2.test", REPORTER, 11 * MAILS, MAILS),
            ("shared1.test", "unverified", 8, 1),
            ("shared1.test", REPORTER, 10, 0),
        ):
            who = f'domain="{domain}",reporter="{reporter}"'
            rows += self.both(f"smtptls_tlsrpt_reporter_sessions_total{{{who}}}", span, sessions)
            rows += self.both(f"smtptls_tlsrpt_reporter_failed_sessions_total{{{who}}}", span, failed)
        for domain, sessions, failed in (("good.test", 1211, 1010), ("shared2.test", 11 * MAILS, MAILS), ("shared1.test", 18, 1)):
            what = f'domain="{domain}",policy_type="sts"'
            rows += self.both(f"smtptls_tlsrpt_sessions_total{{{what}}}", span, sessions)
            rows += self.both(f"smtptls_tlsrpt_failed_sessions_total{{{what}}}", span, failed)
            expired = f'domain="{domain}",policy_type="sts",result_type="certificate-expired"'
            rows += self.both(f"smtptls_tlsrpt_failure_details_total{{{expired}}}", span, failed)
        rows += [Row(f"max(resets({family}[{span}]))", 0) for family in COUNTERS]
        return rows

    @staticmethod
    def both(series: str, span: str, number: int) -> list[Row]:
        """The counter, and how much it rose. `increase` guesses what happened beyond its samples: within a hundredth."""
        increase = f"abs(sum(increase({series}[{span}])) - {number}) <= bool {0.5 + number / 100}"
        return [Row(f"sum({series})", number), Row(increase, 1)]

    def shown(self) -> None:
        """The command sees what the monitor saw."""
        done = self.exporter.command("report", "show", str(self.maildir), "--format", "json")
        # Two forged mails among them are reports all the same: nobody asks for a proof here.
        if done.returncode != 0 or '"killed-19"' not in done.stdout:
            raise Failure(f"exit {done.returncode}: {done.stdout[:500]} {done.stderr[:500]}")

    def promtool(self) -> None:
        status, text = self.exporter.request("/metrics")
        expect("/metrics", status, 200)
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0 or done.stdout or done.stderr:
            raise Failure(f"exit {done.returncode}\n{done.stdout}{done.stderr}")

    # --- means

    def signed(self, domain: str, report_id: str, good: int, failed: int, recipient: str = RECIPIENT) -> bytes:
        """A mail as the reporter signs it."""
        return self.world.signer.sign(mail(domain, report_id, report(domain, report_id, good, failed), recipient))

    @staticmethod
    def deliver(message: bytes, recipient: str = RECIPIENT) -> None:
        """Send it to the mail host of reports.test."""
        with smtplib.SMTP(REPORTS_MX, 25, timeout=20) as server:
            server.sendmail(f"noreply@{REPORTER}", [recipient], message)

    def post(self, body: bytes, media_type: str) -> str:
        """POST to the own listener; the status."""
        host, port = "https.reports.test", REPORTS_HTTPS[1]
        done = subprocess.run(
            ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20", "--cacert", self.world.pki.root,
             "--resolve", f"{host}:{port}:{REPORTS_HTTPS[0]}", "-H", f"Content-Type: {media_type}", "--data-binary", "@-",
             f"https://{host}:{port}/tlsrpt"],
            input=body, capture_output=True, check=False,
        )
        if done.returncode != 0:
            raise Failure(f"curl: exit {done.returncode}: {done.stderr.decode()}")
        return done.stdout.decode()

    def ingest(self, content: bytes) -> None:
        """As an MTA pipes into it."""
        done = subprocess.run(
            [self.exporter.binary, "report", "ingest", "-", "--config.file", self.exporter.configuration],
            input=content, capture_output=True, cwd=self.exporter.folder, timeout=30, check=False,
        )
        if done.returncode != 0:
            raise Failure(f"exit {done.returncode}: {done.stderr.decode()}")

    def taken_from_maildir(self) -> None:
        """Until it is moved out of new/."""
        wait_until(lambda: not self.waiting(self.maildir / "new"), "the mail taken", 20)

    def moved(self, mails: int) -> None:
        """Until so many mails are out of the INBOX."""
        count = self.world.dovecot.count
        wait_until(lambda: (count(), count("Done")) == (0, mails), "the mail moved", 20)

    @staticmethod
    def waiting(folder: Path) -> list[Path]:
        """The files in a folder, which may not be there yet."""
        return list(folder.iterdir()) if folder.is_dir() else []

    def hold(self, *rows: Row) -> None:
        """Wait until Prometheus has these results."""
        problems = []

        def right() -> bool:
            found = [(row, self.world.prometheus.query(row.promql)) for row in rows]
            problems[:] = [f"{row.promql}: wanted {row.wanted}, got {got}" for row, got in found if [v for _, v in got] != [row.wanted]]
            return not problems

        try:
            wait_until(right, "the counters", 30, pause=0.3)
        except Failure as failure:
            raise Failure(f"{failure}\n" + "\n".join(problems)) from None
