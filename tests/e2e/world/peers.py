"""What other programs make of a mail host's DANE: OpenSSL, Postfix and ldns, each in a word or two."""

import re
import subprocess
from pathlib import Path

from .domains import DNS_RESOLVER, MailHost
from .process import Failure, run


def openssl(address: str, *options: str) -> str:
    """What `openssl s_client` prints of an SMTP session with STARTTLS; it may fail."""
    done = subprocess.run(
        ["openssl", "s_client", "-starttls", "smtp", "-connect", f"{address}:25", *options],
        input="QUIT\n", capture_output=True, text=True, timeout=20, check=False,
    )
    return done.stdout + done.stderr


def openssl_dane(host: MailHost, records: list[str], base: str | None = None) -> int:
    """OpenSSL's verify code (X509_V_ERR_*) for a mail host and TLSA records, without any other trust.

    `base`: the name that it asks for and expects, the TLSA base domain unless told.
    """
    given = [word for record in records for word in ("-dane_tlsa_rrdata", record)]
    # RFC 7671 section 5.1: the name does not count for DANE-EE.
    name = base or host.base()
    options = ("-servername", name, "-dane_tlsa_domain", name, "-dane_ee_no_namechecks", "-no-CAfile", "-no-CApath")
    said = openssl(host.addresses[0], *options, *given)
    code = re.search(r"Verify return code: (\d+)", said)
    if code is None:
        raise Failure(f"{host.name}: OpenSSL has no verdict\n{said}")
    return int(code.group(1))


class PosttlsFinger:
    """Postfix's own view. It asks the machine's resolver, so it gets an /etc/resolv.conf of its own, in a mount namespace."""

    def __init__(self, folder: Path):
        self.settings = folder / "resolv.conf"

    def available(self) -> bool:
        """Whether this machine lets root make a mount namespace (many containers do not)."""
        self.settings.write_text(f"nameserver {DNS_RESOLVER}\n")
        return self.call("true").returncode == 0

    def call(self, *argv: str) -> subprocess.CompletedProcess:
        """A program that asks the test resolver."""
        script = f'mount --bind {self.settings} /etc/resolv.conf && exec "$@"'
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", *argv], capture_output=True, text=True, timeout=30, check=False
        )

    def verdict(self, destination: str) -> str:
        """verified, trusted (authenticated, MX insecure), untrusted with the reason, no TLS, or lookup failed.

        `destination`: a domain, or one mail host in brackets.
        """
        said = self.call("posttls-finger", "-c", "-l", "dane", "-t", "5", "-T", "5", destination).stdout
        if re.search(r"lookup (failed|error)", said):
            return "lookup failed"
        level = re.search(r"(\w+) TLS connection established", said)
        if level is None:
            return "no TLS"
        if level.group(1) != "Untrusted":
            return level.group(1).lower()
        reason = re.search(r"certificate verification failed for [^ ]+: (?:num=\d+:)?(.*)", said)
        return f"untrusted: {reason.group(1).split(' /')[0] if reason else 'no reason given'}"


def ldns_dane(host: MailHost, folder: Path) -> str:
    """ldns-dane speaks no SMTP: it is given the chain, and looks up and verifies the TLSA records itself."""
    said = openssl(host.addresses[0], "-servername", host.base(), "-showcerts")
    certificates = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", said, re.S)
    if not certificates:
        return "no TLS"
    chain = folder / "chain.pem"
    chain.write_text("\n".join(certificates) + "\n")
    done = subprocess.run(
        ["ldns-dane", "-r", DNS_RESOLVER, "-c", chain, "verify", host.base(), "25"],
        capture_output=True, text=True, timeout=20, check=False,
    )
    if done.returncode == 0:
        return "validated"
    reason = re.search(r"because: (.*)|dane_query: (.*)", done.stdout + done.stderr)
    return f"not validated: {next(filter(None, reason.groups()))}" if reason else f"exit {done.returncode}"


def versions() -> str:
    """The versions of the programs."""
    openssl_version = " ".join(run("openssl", "version").split()[:2])
    postfix = run("postconf", "-dh", "mail_version").strip()
    ldns = subprocess.run(["ldns-dane", "-v"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"\d+\.\d+\.\d+", ldns)
    return f"posttls-finger of Postfix {postfix} with {openssl_version}, ldns-dane {number.group() if number else '?'}"
