"""Proof that the world is as intended, without the exporter: a test world that is not makes false greens."""

import http.client
import smtplib
import socket
import ssl

from .dns import Answer, query
from .domains import Domain, MailHost
from .mail_world import MailWorld
from .process import Failure
from .zones import security

# X509_V_ERR_* of OpenSSL, as it tells them for each kind of certificate.
VERIFY = {"good": 0, "with-root": 0, "expired": 10, "self-signed": 18, "ca-leaf": 18, "wrong-name": 62, "domain-name": 62}


def expect(what: str, got, wanted) -> None:
    """A fact that has to be so."""
    if got != wanted:
        raise Failure(f"{what}: {got!r} instead of {wanted!r}")


def prove_records(domain: Domain) -> None:
    """MX, _mta-sts and _smtp._tls as intended, and validated."""
    targets = ["0 ."] if domain.mx == (".",) else [f"{10 * (index + 1)} {mx}." for index, mx in enumerate(domain.mx)]
    prove_answer(domain, domain.name, "MX", targets)
    prove_answer(domain, f"_mta-sts.{domain.name}", "TXT", [f'"{text}"' for text in domain.sts_txt])
    tlsrpt = ['"v=TLSRPTv1; rua=mailto:reports@reports.test"'] if domain.tlsrpt else []
    prove_answer(domain, f"_smtp._tls.{domain.name}", "TXT", tlsrpt)
    addresses = list(domain.policy.addresses) if domain.policy else []
    prove_answer(domain, f"mta-sts.{domain.name}", "A", addresses)


def prove_answer(domain: Domain, name: str, record: str, data: list[str]) -> None:
    """One answer of the resolver: SERVFAIL where servers or signatures are broken, else the data, with the AD bit if signed."""
    got = query(name, record)
    if domain.fails(name):
        expect(f"{name} {record}", got, Answer("SERVFAIL", False, ()))
        return
    # A name below the domain that does not stand in the zone does not exist; the domain itself always does.
    status = "NOERROR" if data or name == domain.name else "NXDOMAIN"
    expect(f"{name} {record}", got, Answer(status, security(name) != "insecure", tuple(sorted(data))))


def prove_policy(world: MailWorld, domain: Domain) -> None:
    """The policy host answers as intended on each of its addresses."""
    for address in domain.policy.addresses:
        host, policy = f"mta-sts.{domain.name}", domain.policy
        raw = socket.create_connection((address, 443), timeout=5)
        code, stream = handshake(world, raw, host)
        expect(f"{host} at {address}: verify code", code, VERIFY[policy.certificate])
        if stream is None:
            continue
        connection = http.client.HTTPConnection(host)
        connection.sock = stream
        connection.request("GET", "/.well-known/mta-sts.txt")
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        expect(f"{host}: status", answer.status, policy.answer)
        if policy.answer == 200:
            expect(f"{host}: media type", answer.headers["content-type"], "text/plain")
            expect(f"{host}: body", body, policy.body())
        if policy.answer == 301:
            expect(f"{host}: Location", answer.headers["location"], f"https://{host}/moved.txt")


def prove_mail_host(world: MailWorld, host: MailHost) -> None:
    """Each address of a mail host speaks SMTP and serves the certificate that it should."""
    for address in host.addresses:
        if host.certificate == "closed":
            try:
                socket.create_connection((address, 25), timeout=2).close()
                raise Failure(f"{address}: something listens on port 25")
            except ConnectionRefusedError:
                continue
        with smtplib.SMTP(address, 25, local_hostname="proof.test", timeout=5) as smtp:
            smtp.ehlo()
            expect(f"{host.name} at {address}: STARTTLS", smtp.has_extn("starttls"), host.certificate != "none")
            if host.certificate == "none":
                continue
            smtp.docmd("STARTTLS")
            code, stream = handshake(world, smtp.sock, host.name)
            expect(f"{host.name} at {address}: verify code", code, VERIFY[host.certificate])
            if stream is not None:
                expect(f"{host.name} at {address}: TLS", stream.version(), "TLSv1.3")
                stream.close()
            # What follows on the plain stream would make no sense to either side.
            smtp.close()


def handshake(world: MailWorld, raw: socket.socket, name: str) -> tuple[int, ssl.SSLSocket | None]:
    """A handshake that trusts the test root alone: OpenSSL's verify code, and the stream where it is 0."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(world.pki.root)
    try:
        return 0, context.wrap_socket(raw, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        raw.close()
        return error.verify_code, None
