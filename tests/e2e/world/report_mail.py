"""TLS reports (RFC 8460) as a reporter sends them: the JSON, the mail around it, and its DKIM signature (RFC 6376)."""

import base64
import gzip
import hashlib
import json
import re
import subprocess
import time
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import Path

from .process import run

# Who reports; the key stands in the zone at this selector.
REPORTER = "reporter.test"
SELECTOR = "e2e"
# Where the mails go.
RECIPIENT = "reports@reports.test"
IMAP_RECIPIENT = "imap@reports.test"

DAY = 86400
SIGNED = (
    "From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "TLS-Report-Domain", "TLS-Report-Submitter",
)


class Signer:
    """The key of the reporter, made by the openssl program."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.key = folder / "dkim.key"

    def start(self) -> None:
        """Make the key."""
        self.folder.mkdir(parents=True)
        run("openssl", "genrsa", "-out", self.key, "2048")

    def record(self) -> str:
        """The data of the TXT record (RFC 6376 section 3.6.1), in character-strings of not more than 255 octets."""
        lines = run("openssl", "rsa", "-in", self.key, "-pubout").splitlines()
        text = "v=DKIM1; k=rsa; p=" + "".join(line for line in lines if not line.startswith("-"))
        return " ".join(f'"{text[start : start + 250]}"' for start in range(0, len(text), 250))

    def sign(self, message: bytes) -> bytes:
        """A mail with CRLF line ends, with a signature before it: relaxed/relaxed, rsa-sha256."""
        head, body = message.split(b"\r\n\r\n", 1)
        fields = {name.lower(): value for name, value in re.findall(rb"(?m)^([^\s:]+):((?:.*\r\n[ \t])*.*)", head + b"\r\n")}
        names = [name for name in SIGNED if name.lower().encode() in fields]
        digest = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest()).decode()
        signature = (
            f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={REPORTER}; s={SELECTOR}; t={int(time.time())};"
            f" h={':'.join(names)}; bh={digest}; b="
        )
        signed = b"".join(relaxed_field(name.encode(), fields[name.lower().encode()]) + b"\r\n" for name in names)
        signed += relaxed_field(b"DKIM-Signature", signature.encode())
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.key)], input=signed, capture_output=True, check=True
        )
        return f"DKIM-Signature: {signature}{base64.b64encode(done.stdout).decode()}\r\n".encode() + message


def relaxed_field(name: bytes, value: bytes) -> bytes:
    """RFC 6376 section 3.4.2."""
    return name.lower() + b":" + re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip()


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 section 3.4.4."""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def report(domain: str, report_id: str, good: int, failed: int, organization: str = REPORTER) -> bytes:
    """A report about yesterday under the policy of MTA-STS (RFC 8460 section 4.4)."""
    begin = int(time.time()) // DAY * DAY - DAY
    failures = [
        {
            "result-type": "certificate-expired",
            "sending-mta-ip": "192.0.2.1",
            "receiving-mx-hostname": f"mx1.{domain}",
            "failed-session-count": failed,
        }
    ]
    return json.dumps(
        {
            "organization-name": organization,
            "date-range": {"start-datetime": utc(begin), "end-datetime": utc(begin + DAY - 1)},
            "contact-info": f"tlsrpt@{organization}",
            "report-id": report_id,
            "policies": [
                {
                    "policy": {
                        "policy-type": "sts",
                        "policy-string": ["version: STSv1", "mode: enforce", f"mx: *.{domain}", "max_age: 604800"],
                        "policy-domain": domain,
                        "mx-host": [f"*.{domain}"],
                    },
                    "summary": {"total-successful-session-count": good, "total-failure-session-count": failed},
                    **({"failure-details": failures} if failed else {}),
                }
            ],
        }
    ).encode()


def mail(domain: str, report_id: str, body: bytes, recipient: str = RECIPIENT) -> bytes:
    """The mail of RFC 8460 section 5.3, not signed."""
    message = EmailMessage(policy=SMTP)
    message["From"] = f"TLS reports <noreply@{REPORTER}>"
    message["To"] = recipient
    message["Date"] = formatdate()
    message["Subject"] = f"Report Domain: {domain} Submitter: {REPORTER} Report-ID: <{report_id}>"
    message["Message-ID"] = f"<{report_id}@{REPORTER}>"
    message["TLS-Report-Domain"] = domain
    message["TLS-Report-Submitter"] = REPORTER
    message.set_content("This is an aggregate TLS report.\n")
    message.add_attachment(
        gzip.compress(body), "application", "tlsrpt+gzip", filename=f"{REPORTER}!{domain}!0!86399!{report_id}.json.gz"
    )
    message.set_type("multipart/report")
    message.set_param("report-type", "tlsrpt")
    message.set_boundary("e2e-boundary")
    return message.as_bytes()


def utc(at: int) -> str:
    """RFC 3339."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
