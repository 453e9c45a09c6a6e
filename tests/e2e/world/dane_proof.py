"""Proof that zones, TLSA records and TLS are as intended: by kdig, OpenSSL and Postfix's own posttls-finger."""

import re
import time

from .dns import Answer, query
from .domains import DNS_PLAIN_RESOLVER, DNS_RESOLVER, DNS_STRIPPING_FORWARDER, Domain, MailHost
from .mail_world import MailWorld
from .peers import openssl, openssl_dane
from .process import Failure, run
from .proof import expect
from .zones import VALIDITY, Zone, security

# The OpenSSL verify code where it is not 0: 10 expired, 20 no issuer, 62 name, 65 no record matches.
OPENSSL = {
    "mx.tanoroot.dane.test": 20,
    "mx.taexpired.dane.test": 10,
    # OpenSSL is told the TLSA base domain alone; posttls-finger knows the mail domain too.
    "mx.tadomain.dane.test": 62,
    "mx.taname.dane.test": 62,
    "mx.mismatch.dane.test": 65,
    "mx2.half.dane.test": 65,
    "mx.renewed.dane.test": 65,
    "mx.testingdane.dane.test": 65,
    "mx1.halfsts.dane.test": 65,
    "mx1.disjoint.dane.test": 65,
}

NO_RECORD_MATCHES = 65

# Without records that can be used it is opportunistic: it tells that the certificate leads nowhere, and would deliver.
NO_RECORDS = "untrusted: untrusted issuer"
NO_MATCH = "untrusted: no matching DANE TLSA records"
# What posttls-finger makes of a domain, or of a host in brackets, where it is not `verified`.
POSTTLS_FINGER = {
    "tanoroot.dane.test": NO_MATCH,
    "taexpired.dane.test": "untrusted: certificate has expired",
    "taname.dane.test": "untrusted: hostname mismatch",
    "mismatch.dane.test": NO_MATCH,
    "[mx2.half.dane.test]": NO_MATCH,
    "[mx2.some.dane.test]": NO_RECORDS,
    "unusable.dane.test": NO_RECORDS,
    "short.dane.test": NO_RECORDS,
    "unusableplain.dane.test": "no TLS",
    "plaindane.dane.test": "no TLS",
    "tlsafail.dane.test": "lookup failed",
    "renewed.dane.test": NO_MATCH,
    "testingdane.dane.test": NO_MATCH,
    "[mx2.somests.dane.test]": NO_RECORDS,
    "[mx1.halfsts.dane.test]": NO_MATCH,
    "[mx2.halfsts.dane.test]": NO_RECORDS,
    "[mx1.disjoint.dane.test]": NO_MATCH,
    # The host is authenticated, the way to it is not.
    "unsigned.test": "trusted",
    "sts.unsigned.test": "trusted",
    "bogus.test": "lookup failed",
    "lapsed.test": "lookup failed",
    # Opportunistic: the records do not count.
    "hostunsigned.dane.test": "untrusted: hostname mismatch",
    "hostbogus.dane.test": "lookup failed",
}

# The versions that a host accepts, as options of s_client.
VERSIONS = ("-tls1", "-tls1_1", "-tls1_2", "-tls1_3")
ACCEPTED = {
    "old-too": VERSIONS,
    "tls11": ("-tls1_1",),
    "rsa-key-exchange": ("-tls1_2",),
    "level-0": ("-tls1_2", "-tls1_3"),
}
LEVEL_0 = ("-cipher", "ALL:@SECLEVEL=0")


def prove_zone(world: MailWorld, zone: Zone) -> None:
    """What the validator finds, and what the resolvers pass on to others who validate."""
    soa = query(zone.name, "SOA")
    bare = query(zone.name, "SOA", DNS_RESOLVER, "+dnssec", "+cdflag")
    delegation = query(zone.name, "DS")
    expect(f"{zone.name} SOA without validation", (bare.status, len(bare.data)), ("NOERROR", 1))
    # Whether there is a DS is always proven, as the parent is signed.
    expect(f"{zone.name} DS", (delegation.status, delegation.secure), ("NOERROR", True))
    digests = {row.split()[2] for row in delegation.data}
    expect(f"{zone.name} DS digests", digests, {"none": set(), "sha1": {"1"}}.get(zone.ds, {"2"}))
    wanted = {"bogus": ("SERVFAIL", False), "insecure": ("NOERROR", False)}.get(zone.security(), ("NOERROR", True))
    expect(f"{zone.name} SOA", (soa.status, soa.secure), wanted)
    signed = zone.signing != "none"
    plain = query(zone.name, "SOA", DNS_PLAIN_RESOLVER, "+dnssec")
    for what, answer in (("with CD", bare), ("from the resolver that does not validate", plain)):
        expect(f"{zone.name}: status, AD, signed {what}", (answer.status, answer.secure, bool(answer.signatures)),
               ("NOERROR", what == "with CD" and soa.secure, signed))
    stripped = query(zone.name, "SOA", DNS_STRIPPING_FORWARDER, "+dnssec")
    expect(f"{zone.name} stripped", stripped, Answer("NOERROR", False, plain.data))
    if signed:
        # Type covered, algorithm, labels, TTL, end, beginning (RFC 4034 section 3.2).
        algorithm, end = plain.signatures[0].split()[1], plain.signatures[0].split()[4]
        expect(f"{zone.name} algorithm", algorithm, "5" if zone.signing == "sha1" else "13")
        if zone.signing in VALIDITY:
            expiry = time.strftime("%Y%m%d%H%M%S", time.gmtime(world.knot.expiry[zone.name]))
            expect(f"{zone.name}: end of the signature", end, expiry)


def prove_addresses(host: MailHost) -> None:
    """The addresses, through the alias where it is one, with the security of the weakest link."""
    addresses = tuple(sorted(address for address in host.addresses if ":" not in address))
    links = {security(name) for name in (host.name, host.owner())}
    wanted = Answer("NOERROR", links == {"secure"}, addresses)
    if "bogus" in links:
        expect(f"{host.name} A without validation", query(host.name, "A", DNS_RESOLVER, "+cdflag").data, addresses)
        wanted = Answer("SERVFAIL", False, ())
    expect(f"{host.name} A", query(host.name, "A"), wanted)


def prove_tlsa(world: MailWorld, host: MailHost) -> None:
    """The TLSA records at the base domain, and a proven absence at any other name that a sender asks for."""
    for base in {host.name, host.owner()}:
        name = f"_25._tcp.{base}"
        records = world.knot.tlsa(host) if base == host.base() else []
        data = tuple(sorted(record.upper() for record in records))
        # kdig breaks long data with blanks.
        got = query(name, "TLSA")
        joined = tuple(sorted(" ".join([*row.split()[:3], "".join(row.split()[3:])]) for row in got.data))
        if host.tlsa_unserved or security(base) == "bogus":
            expect(f"{name} TLSA", got, Answer("SERVFAIL", False, ()))
            continue
        status = "NOERROR" if records else "NXDOMAIN"
        expect(f"{name} TLSA", (got.status, got.secure, joined), (status, security(base) == "secure", data))


def prove_dane(world: MailWorld, host: MailHost) -> None:
    """OpenSSL against the served chain and the records that can be used for SMTP."""
    usable = [row for row, wanted in zip(world.knot.tlsa(host), host.tlsa, strict=True)
              if row[0] in "23" and not wanted.endswith("cut")]
    if usable:
        expect(f"{host.name}: OpenSSL's verify code", openssl_dane(host, usable), OPENSSL.get(host.name, 0))
    if host.sni_only:
        # s_client knows no DANE without SNI.
        code = openssl_dane(host, usable, "unknown.test")
        expect(f"{host.name}: OpenSSL's verify code, asking for another name", code, NO_RECORD_MATCHES)


def destinations(world: MailWorld, domain: Domain) -> list[str]:
    """What posttls-finger is asked for a domain that DANE is about: the domain, or each of several hosts."""
    hosts = [world.table.hosts[mx] for mx in domain.mx if mx != "."]
    concerned = security(domain.name) == "bogus" or any(host.tlsa or host.tlsa_unserved for host in hosts)
    if not concerned:
        return []
    return [domain.name] if len(hosts) == 1 else [f"[{host.name}]" for host in hosts]


def prove_postfix(world: MailWorld, destination: str) -> None:
    """What Postfix would do."""
    expect(destination, world.finger.verdict(destination), POSTTLS_FINGER.get(destination, "verified"))


def prove_old_tls(host: MailHost) -> None:
    """Exactly the versions, key exchanges, keys and signatures that it is named after."""
    [address] = host.addresses
    accepted = tuple(option for option in VERSIONS if completes(openssl(address, option, *LEVEL_0)))
    expect(f"{host.name}: versions", accepted, ACCEPTED[host.tls])
    said = openssl(address, accepted[-1], *LEVEL_0)
    bits = re.search(r"Server public key is (\d+) bit", said)
    expect(f"{host.name}: key", bits and bits.group(1), {"rsa-1024": "1024", "rsa-2048": "2048"}.get(host.certificate, "256"))
    leaf = said[said.index("-----BEGIN") :]
    signed = re.search(r"Signature Algorithm: (\S+)", run("openssl", "x509", "-noout", "-text", stdin=leaf))
    wanted = "ecdsa-with-SHA1" if host.certificate == "sha1" else "ecdsa-with-SHA256"
    expect(f"{host.name}: signature", signed and signed.group(1), wanted)
    if host.tls == "rsa-key-exchange" and completes(openssl(address, "-tls1_2", "-cipher", "EECDH:EDH:AESGCM:@SECLEVEL=0")):
        raise Failure(f"{host.name}: takes a cipher with forward secrecy or an AEAD")


def completes(said: str) -> bool:
    """Whether s_client came to the end of a handshake."""
    return "-----BEGIN CERTIFICATE" in said and "Cipher is (NONE)" not in said
