"""What the exporter must say about each domain of this world.

Nothing here is taken from what the exporter prints: the verdicts follow from RFC 8461, RFC 7672 and the definitions of delivery.
"""

from dane_verdicts import DANE_VERDICTS, MATCH, NO_STS
from expected import Expected
from world.domains import ALERTS

VERDICTS = {
    # Enforce, and every address of both MX passes.
    "good.test": Expected("protected"),
    # Enforcing senders deliver to mx1 and refuse mx2: degraded. Opportunistic ones deliver to both, so it is not blocked.
    "drift.test": Expected(
        "partial", 1, {"tlsrpt-record-missing": "warning"}, {"mx2.drift.test mx-not-in-policy": "error"}
    ),
    # The same through an expired certificate on the second MX.
    "backup.test": Expected("partial", 1, {}, {"mx2.backup.test certificate-expired": "error"}),
    # The second MX refuses connections: down for every kind of sender, degraded. Mail flows: a warning.
    "down.test": Expected("partial", 0, {}, {"mx2.down.test smtp-connect-failed": "warning"}),
    # In enforce, and the only path is refused to enforcing senders: blocked, though opportunistic mail flows.
    "wrongname.test": Expected("blocked", 1, {}, {"mx.wrongname.test certificate-name-mismatch": "error"}),
    "plain.test": Expected("blocked", 1, {}, {"mx.plain.test starttls-not-offered": "error"}),
    "untrusted.test": Expected("blocked", 1, {}, {"mx.untrusted.test certificate-untrusted": "error"}),
    # No policy can be had and none is cached: senders deliver without one, nothing enforces.
    "gone.test": Expected("unprotected", 1, {"sts-policy-http-status": "error"}),
    "redirect.test": Expected("unprotected", 1, {"sts-policy-redirect": "error"}),
    "hostexpired.test": Expected("unprotected", 1, {"sts-policy-certificate-expired": "error"}),
    # Two records are none: senders do not look for the policy, which is there and good.
    "twotxt.test": Expected("unprotected", 1, {"sts-record-multiple": "error"}, optional=("sts-policy-unused",)),
    # The domain's servers fail while the resolver answers everything else: no sender can find the MX.
    # One failed lookup is a warning, the third in a row an error; `check` makes one.
    "servfail.test": Expected("blocked", 0, {"dns-lookup-failed": None}),
    # Only the lookup of the record fails, and nothing is cached: those who deliver do so without a policy.
    "stsfail.test": Expected("unprotected", 0, {"dns-lookup-failed": None}),
    # Not deployed is no fault.
    "none.test": Expected("unprotected", 0, {"sts-record-missing": "info", "tlsrpt-record-missing": "info"}),
    "nullmx.test": Expected(
        "no-mail", 0, {"mx-null": "info"}, optional=("sts-record-missing", "tlsrpt-record-missing")
    ),
    # Testing asks nobody to refuse: all paths are open.
    "testing.test": Expected("unprotected", 0, {"sts-policy-mode-testing": "info"}),
    # One provider's MX under three domains.
    "shared1.test": Expected("protected"),
    "shared2.test": Expected("protected"),
    "shared3.test": Expected("protected"),
    "flaky.test": Expected("protected"),
    "late.test": Expected("protected"),
    # Old TLS is no policy's business: opportunistic senders deliver over whatever they get (definitions 1.3, `opportunistic`).
    # Versions 1.0 and 1.1 beside newer ones do no harm to those who have the newer ones (MXT-09).
    "oldtls.test": Expected("unprotected", 0, {"sts-record-missing": "info"}, {"mx.oldtls.test tls-legacy-accepted": "info"}),
    # Nothing newer than 1.1. That the old ones are accepted, or a handshake of today fails, is the same fact once more.
    "tls11.test": Expected(
        "unprotected", 0, {"sts-record-missing": "info"}, {"mx.tls11.test tls-version-obsolete": "warning"},
        optional=("tls-legacy-accepted", "tls-handshake-failed", "tls-weak-ciphers"),
    ),
    # RSA key exchange with CBC: no forward secrecy, no AEAD, but other senders still connect (MXT-12).
    "rsakex.test": Expected("unprotected", 0, {"sts-record-missing": "info"}, {"mx.rsakex.test tls-weak-ciphers": "warning"}),
    # RSA under 2048 bits, or a SHA-1 signature (MXT-12). Whether such a chain is still trusted differs among senders.
    "rsa1024.test": Expected(
        "unprotected", 0, {"sts-record-missing": "info"}, {"mx.rsa1024.test certificate-weak": "warning"},
        optional=("certificate-untrusted",),
    ),
    "sha1cert.test": Expected(
        "unprotected", 0, {"sts-record-missing": "info"}, {"mx.sha1cert.test certificate-weak": "warning"},
        optional=("certificate-untrusted",),
    ),
    # For the stage of the alerts, which breaks them later.
    **{
        f"{name}.{ALERTS}": Expected("protected")
        for name in ("steady", "expired", "dropped", "moved", "sameid1", "sameid2", "customer1", "customer2", "customer3")
    },
    # By DANE alone, and by both.
    f"tlsa.{ALERTS}": Expected("protected", 0, NO_STS, hosts={f"mx.tlsa.{ALERTS}": MATCH}),
    f"both.{ALERTS}": Expected("protected", hosts={f"mx.both.{ALERTS}": MATCH}),
} | DANE_VERDICTS
