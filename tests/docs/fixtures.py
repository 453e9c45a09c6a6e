"""Files that the reader has by the time of a command line: reports, a policy, an earlier state."""

import email.message
import gzip
import json
import mailbox
import shutil
from pathlib import Path

from pages import ROOT
from world import World

POLICY = "version: STSv1\nmode: testing\nmx: mx1.example.com\nmx: mx2.example.com\nmax_age: 86400\n"

# Its certificate and key are made by a line of the page.
WEB = """tls_server_config: {cert_file: web.crt, key_file: web.key}
basic_auth_users: {prometheus: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG}
"""

# What Google and Microsoft sent about two days, shortened: the fields are those of RFC 8460 §4.4.
FAILED = {"result-type": "certificate-expired", "receiving-mx-hostname": "mx2.example.com", "failed-session-count": 2,
          "failure-reason-code": "certificate has expired"}


def report(organization: str, identifier: str, day: int, sessions: int, failed: int) -> dict:
    """One report about example.com, for one day of November."""
    date = f"2026-11-{day:02}"
    return {
        "organization-name": organization,
        "date-range": {"start-datetime": f"{date}T00:00:00Z", "end-datetime": f"{date}T23:59:59Z"},
        "contact-info": "smtp-tls-reporting@reporter.example",
        "report-id": identifier,
        "policies": [{
            "policy": {"policy-type": "sts", "policy-domain": "example.com", "mx-host": ["mx1.example.com", "mx2.example.com"],
                       "policy-string": ["version: STSv1", "mode: enforce", "mx: mx1.example.com", "mx: mx2.example.com", "max_age: 604800"]},
            "summary": {"total-successful-session-count": sessions - failed, "total-failure-session-count": failed},
            "failure-details": [{**FAILED, "failed-session-count": failed}],
        }],
    }


REPORTS = {
    "google.com!example.com!1763596800!1763683199.json.gz": report("Google Inc.", "2026-11-20T00:00:00Z_example.com", 20, 1206, 2),
    "microsoft.com!example.com!1763769600!1763855999.json.gz": report("Microsoft Corporation", "134081234567890123+example.com", 22, 1000, 30),
}


def write(path: Path, body: dict) -> None:
    """Write a report as it comes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(body).encode(), mtime=0))


def mail(body: dict) -> email.message.EmailMessage:
    """A report in a mail (RFC 8460 §5.3)."""
    message = email.message.EmailMessage()
    message["From"], message["To"] = "tls-reports@reporter.example", "tlsrpt@example.com"
    message["Subject"] = "Report Domain: example.com Submitter: reporter.example"
    message.set_content("A TLS report.")
    message.add_attachment(gzip.compress(json.dumps(body).encode()), maintype="application", subtype="tlsrpt+gzip", filename="report.json.gz")
    return message


def lay_out(world: World) -> None:
    """Put everything where the pages say that it lies."""
    reader = world.folder.parent / "reader"
    for name, body in REPORTS.items():
        write(reader / "reports" / name, body)
        write(reader / name, body)
    write(reader / "report.json.gz", next(iter(REPORTS.values())))
    for name in ("archive.mbox", "old.mbox"):
        box = mailbox.mbox(reader / name)
        box.add(mail(REPORTS[next(iter(REPORTS))]))
        box.close()
    mailbox.Maildir(world.folder.parent / "Maildir")
    mailbox.Maildir(world.folder.parent / "Maildir/.tlsrpt").add(mail(REPORTS[next(iter(REPORTS))]))
    write(reader / "data/quarantine/NAME", next(iter(REPORTS.values())))
    # Some lines are for the folder of the source.
    (world.folder / "alerts").symlink_to(ROOT / "alerts")
    (reader / "mta-sts.txt").write_text(POLICY)
    (reader / "domains.txt").write_text("good.test\nplain.test   # a comment\n")
    (reader / "imap-password").write_text("secret\n")
    (reader / "web.yml").write_text(WEB)
    restore(world)


def restore(world: World) -> None:
    """Bring back what a command took away."""
    shutil.copytree(world.folder.parent / "reader", world.folder, dirs_exist_ok=True)
