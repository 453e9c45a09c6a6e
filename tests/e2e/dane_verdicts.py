"""What the exporter must say about DANE: from RFC 7672, RFC 7671 and part 1 of the definitions.

DAN-nn and MXT-nn are rules of the conformance catalogue, 1.x sections of the definitions. A severity by context follows
findings.yaml: `dane` is a host with secure usable records, `dane_only` one where DANE-EE matches and no policy is in enforce or testing.
"""

from expected import Expected

# Nothing is deployed beside DANE, which is no fault.
NO_STS = {"sts-record-missing": "info"}
MATCH = ("usable", "match")
MISMATCH = ("usable", "mismatch")


def one(name: str, delivery: str, words: tuple[str, str], mx: dict | None = None, **more) -> dict[str, Expected]:
    """A domain of dane.test with one mail host, without MTA-STS unless `findings` says otherwise."""
    host = f"mx.{name}.dane.test"
    findings = {f"{host} {code}": severity for code, severity in (mx or {}).items()}
    more.setdefault("findings", NO_STS)
    return {f"{name}.dane.test": Expected(delivery, None, mx_findings=findings, hosts={host: words}, **more)}


def two(name: str, delivery: str, words: tuple, mx: dict | None = None, **more) -> dict[str, Expected]:
    """The same with two hosts; codes are written `mx1 code`."""
    hosts = {f"mx{number}.{name}.dane.test": said for number, said in zip((1, 2), words, strict=True)}
    findings = {code.replace(" ", f".{name}.dane.test ", 1): severity for code, severity in (mx or {}).items()}
    more.setdefault("findings", NO_STS)
    return {f"{name}.dane.test": Expected(delivery, None, mx_findings=findings, hosts=hosts, **more)}


NOT_CONCERNED = ("none", "not-applicable")

DANE_VERDICTS = {
    # --- DANE-EE: the key alone counts; names, dates and issuers are ignored (DAN-10, RFC 7672 3.1.1).
    # 1.6 "none deployed, TLSA on all, match; MX secure": protected.
    **one("ee", "protected", MATCH, senders={"dane": "protected", "sts": "unprotected", "both": "protected"}),
    # What the Web PKI would say stays worth knowing: info for dane_only.
    **one("eeself", "protected", MATCH, {"certificate-untrusted": "info"}),
    **one("eeexpired", "protected", MATCH, {"certificate-expired": "info"}),
    **one("eename", "protected", MATCH, {"certificate-name-mismatch": "info"}),
    # A leaf with CA:TRUE is an end entity all the same: 3 0 1 is the digest of the certificate and nothing else (DAN-10).
    **one("caleaf", "protected", MATCH, {"certificate-untrusted": "info"}),
    # --- DANE-TA: an issuer in the sent chain, then path, dates and name (DAN-11). Only CA keys are pinned (DAN-14).
    **one("ta", "protected", MATCH, {"dane-ta-only": "info"}),
    **one("taroot", "protected", MATCH, {"dane-ta-only": "info"}),
    # The server has to send the trust anchor (DAN-13). Without it no record matches what was sent: tlsa-invalid, the mismatch.
    **one("tanoroot", "blocked", MISMATCH, {"dane-mismatch": "error", "dane-ta-only": "info"}),
    # The record matches and the path does not hold: expired, or for another name (DAN-11, 1.3 "usage 2: also path, dates, name").
    # The Web PKI view: `none`, as dane_only asks for a matching DANE-EE.
    **one("taexpired", "blocked", ("usable", "mismatch|failed"),
          {"dane-chain-invalid": "error", "certificate-expired": "warning", "dane-ta-only": "info"}),
    **one("taname", "blocked", ("usable", "mismatch|failed"),
          {"dane-chain-invalid": "error", "certificate-name-mismatch": "info", "dane-ta-only": "info"}),
    # The mail domain is a reference name too where the MX is secure (DAN-12).
    **one("tadomain", "protected", MATCH, {"certificate-name-mismatch": "info", "dane-ta-only": "info"}),
    # --- No match, or only in part.
    # 1.3 "TLSA secure, usable; TLS works, no match": refused on the only path (DAN-04); 1.5 line 3.
    **one("mismatch", "blocked", MISMATCH, {"dane-mismatch": "error"}, senders={"dane": "blocked", "opportunistic": "unprotected"}),
    # One path secure, one refused: degraded (1.4).
    **two("half", "partial", (MATCH, MISMATCH), {"mx2 dane-mismatch": "error"}, senders={"dane": "partial"}),
    # One secure, one open: an attacker steers to the open one (DAN-21; 1.6 "none deployed, TLSA on 1 of 2, match").
    **two("some", "partial", (MATCH, NOT_CONCERNED), findings=NO_STS | {"dane-partial": "warning"}, senders={"dane": "partial"}),
    # A client that prefers SHA-512 sees a match, one with SHA-256 only none: the publisher owes a record for each (DAN-15, DAN-16).
    **one("staledigest", "protected", MATCH, {"dane-combination-stale": "warning"}, optional=("dane-rollover",)),
    # The next key is published beside the live one, in the same combination (DAN-17).
    **one("rollover", "protected", MATCH, {"dane-rollover": "info"}),
    # Full(0) is discouraged (DAN-14).
    **one("full", "protected", MATCH, {"dane-answer-large": "warning"}),
    # --- No record is usable: TLS is a must, authentication is off (DAN-05; 1.6 "all unusable, STARTTLS works").
    **one("unusable", "unprotected", ("unusable", "encrypt-only"), {"dane-unusable": "warning"}, senders={"dane": "unprotected"}),
    # A digest of 31 octets is malformed (DAN-08).
    **one("short", "unprotected", ("unusable", "encrypt-only"), {"dane-unusable": "warning"}),
    # 1.6 "all unusable, no STARTTLS": blocked. The catalogue's context `dane` asks for usable records, so the letter says
    # warning; that DANE senders are refused by it (DAN-06) says error.
    **one("unusableplain", "blocked", ("unusable", "failed"), {"dane-unusable": "warning", "starttls-not-offered": "warning|error"}),
    # One unusable beside a good one (DAN-09).
    **one("mixed", "protected", MATCH, {"dane-record-unusable": "warning"}),
    # Records commit to STARTTLS: no clear text (DAN-06). No chain was seen, so none mismatches.
    **one("plaindane", "blocked", ("usable", "failed"), {"starttls-not-offered": "error"}),
    # The addresses are there and signed, the TLSA lookup fails (DAN-07): refused (1.3), worse than no record.
    **one("tlsafail", "blocked", ("failed", "failed|not-applicable"), {"dane-lookup-failed": "error"},
          optional=("dns-lookup-failed",), senders={"dane": "blocked"}),
    # RFC 7672 8.1 has senders ask for the base domain by SNI, so DANE holds; a server that needs it fails the others (DAN-20, MXT-10).
    **one("sni", "protected", MATCH, {"tls-sni-dependent": "error", "tls-legacy-accepted": "info"}),
    # --- A mail host that is an alias (MXT-05, DAN-18): the expanded name is the first base domain, the original the second.
    **one("aliasend", "protected", MATCH, {"mx-cname": "warning"}),
    **one("aliasbegin", "protected", MATCH, {"mx-cname": "warning"}),
    # The end is insecure, the alias itself secure: the original name alone (RFC 7672 2.2.2).
    **one("aliasout", "protected", MATCH, {"mx-cname": "warning"}),
    # --- Together with MTA-STS.
    **one("both", "protected", MATCH, findings={}, senders={"sts": "protected", "dane": "protected", "both": "protected"}),
    # The certificate was renewed, the record was not: 1.6 "enforce, all pass; TLSA on all, mismatch on all".
    **one("renewed", "blocked", MISMATCH, {"dane-mismatch": "error"}, findings={},
          senders={"sts": "protected", "dane": "blocked", "both": "blocked"}),
    # 1.6 "testing; mismatch on all".
    **one("testingdane", "blocked", MISMATCH, {"dane-mismatch": "error"}, findings={"sts-policy-mode-testing": "info"}),
    # 1.6 "enforce, all pass; TLSA on 1 of 2 hosts, match": dane is partial (exposed), the domain protected.
    **two("somests", "protected", (MATCH, NOT_CONCERNED), findings={"dane-partial": "warning"},
          senders={"sts": "protected", "dane": "partial"}),
    # 1.6 the same, mismatch: degraded for dane.
    **two("halfsts", "partial", (MISMATCH, NOT_CONCERNED), {"mx1 dane-mismatch": "error"}, findings={"dane-partial": "warning"}),
    # 1.6 "enforce, only mx1 passes; TLSA: only mx2 matches": for those who apply both no path is left.
    **two("disjoint", "blocked", (MISMATCH, MATCH), {"mx1 dane-mismatch": "error", "mx2 certificate-untrusted": "error"}, findings={},
          senders={"sts": "partial", "dane": "partial", "both": "blocked"}),
    # --- DANE is deployed, so reports are owed (RPT-01).
    "norpt.dane.test": Expected("protected", 0, NO_STS | {"tlsrpt-record-missing": "warning"}, hosts={"mx.ee.dane.test": MATCH}),
    # --- The zones.
    # MX insecure: the host is authenticated and redirection possible, hence open (1.3, DAN-02); the host is the provider's: info.
    "unsigned.test": Expected(
        "unprotected", 0, NO_STS | {"dane-mx-insecure": "info"}, hosts={"mx.ee.dane.test": MATCH}, senders={"dane": "unprotected"}
    ),
    # 1.6 "enforce, all pass; provider's TLSA match, own MX unsigned".
    "sts.unsigned.test": Expected(
        "protected", 0, {"dane-mx-insecure": "info"}, hosts={"mx.ee.dane.test": MATCH},
        senders={"sts": "protected", "dane": "unprotected"},
    ),
    # Insecure addresses: senders do not even ask for the records (DAN-03).
    "hostunsigned.dane.test": Expected(
        "unprotected", 0, NO_STS, {"mx.unsigned.test dane-insecure": "warning"},
        hosts={"mx.unsigned.test": ("insecure", "not-applicable")}, senders={"dane": "unprotected"},
    ),
    # 1.3 "address lookup bogus": refused for dane on the only path.
    "hostbogus.dane.test": Expected(
        "blocked", 1, NO_STS, {"mx.bogus.test dnssec-bogus": "error"},
        hosts={"mx.bogus.test": ("bogus|failed|indeterminate", "")}, senders={"dane": "blocked"},
    ),
    # 1.3 "MX lookup bogus": refused on every path, for every kind. That the record is not there cannot be said.
    "bogus.test": Expected("blocked", 1, {"dnssec-bogus": "error"}, senders={"dane": "blocked", "opportunistic": "blocked"}),
    # The same through signatures that have ended.
    "lapsed.test": Expected("blocked", 1, {"dnssec-bogus": "error"}, optional=("dnssec-signature-expiring",)),
    # 36 h of 19.5 d left: under 2 d, over 1 d (DAN-22).
    "ending.test": Expected("unprotected", 0, NO_STS | {"dnssec-signature-expiring": "warning"}),
    # SHA-1 in the signatures, or as the only digest in the DS (DAN-22). Secure for some validators, insecure for newer ones, bogus
    # for none.
    "sha1.test": Expected("unprotected", 0, NO_STS | {"dnssec-algorithm-weak": "warning"}),
    "sha1ds.test": Expected("unprotected", 0, NO_STS | {"dnssec-algorithm-weak": "warning"}),
}
