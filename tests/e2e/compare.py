"""Prints what Postfix and ldns say about the DANE of this world, as the table of docs/conformance.md."""

import time

from world.mail_world import MailWorld
from world.peers import ldns_dane, versions

AUTHENTICATED = "deliver, authenticated"
REFUSED = "do not deliver"
ENCRYPTED = "deliver, TLS required, nobody authenticated"
OPPORTUNISTIC = "deliver, as without DANE"

# What posttls-finger is asked, the mail host, the situation, and what RFC 7672 says a sender does.
SITUATIONS = [
    ("ee.dane.test", "mx.ee.dane.test", "3 1 1 of the live key", AUTHENTICATED),
    ("eeself.dane.test", "mx.eeself.dane.test", "3 1 1, self-signed certificate", AUTHENTICATED),
    ("eeexpired.dane.test", "mx.eeexpired.dane.test", "3 1 1, expired certificate", AUTHENTICATED),
    ("eename.dane.test", "mx.eename.dane.test", "3 1 1, certificate for another name", AUTHENTICATED),
    ("caleaf.dane.test", "mx.caleaf.dane.test", "3 0 1, self-signed leaf with CA:TRUE", AUTHENTICATED),
    ("ta.dane.test", "mx.ta.dane.test", "2 1 1 of the intermediate", AUTHENTICATED),
    ("taroot.dane.test", "mx.taroot.dane.test", "2 0 1 of the root, which is sent", AUTHENTICATED),
    ("tanoroot.dane.test", "mx.tanoroot.dane.test", "2 0 1 of the root, which is not sent", REFUSED),
    ("taexpired.dane.test", "mx.taexpired.dane.test", "2 1 1, expired leaf", REFUSED),
    ("taname.dane.test", "mx.taname.dane.test", "2 1 1, certificate for another name", REFUSED),
    ("tadomain.dane.test", "mx.tadomain.dane.test", "2 1 1, certificate for the mail domain, MX signed", AUTHENTICATED),
    ("mismatch.dane.test", "mx.mismatch.dane.test", "3 1 1 of another key", REFUSED),
    ("staledigest.dane.test", "mx.staledigest.dane.test", "3 1 1 of another key, 3 1 2 of the live one", AUTHENTICATED),
    ("rollover.dane.test", "mx.rollover.dane.test", "3 1 1 of the live and of the next key", AUTHENTICATED),
    ("full.dane.test", "mx.full.dane.test", "3 1 0, the whole key", AUTHENTICATED),
    ("unusable.dane.test", "mx.unusable.dane.test", "1 1 1 alone", ENCRYPTED),
    ("short.dane.test", "mx.short.dane.test", "3 1 1 with a digest of 31 octets", ENCRYPTED),
    ("unusableplain.dane.test", "mx.unusableplain.dane.test", "1 1 1 alone, no STARTTLS", REFUSED),
    ("mixed.dane.test", "mx.mixed.dane.test", "1 1 1 beside a right 3 1 1", AUTHENTICATED),
    ("plaindane.dane.test", "mx.plaindane.dane.test", "3 1 1, no STARTTLS", REFUSED),
    ("tlsafail.dane.test", "mx.tlsafail.dane.test", "addresses signed, TLSA query gets SERVFAIL", REFUSED),
    ("sni.dane.test", "mx.sni.dane.test", "3 1 1 of the key that is served to clients with SNI alone", AUTHENTICATED),
    ("aliasend.dane.test", "mx.aliasend.dane.test", "alias, 3 1 1 at its end", AUTHENTICATED),
    ("aliasbegin.dane.test", "mx.aliasbegin.dane.test", "alias, 3 1 1 at its beginning alone", AUTHENTICATED),
    ("aliasout.dane.test", "mx.aliasout.dane.test", "alias into an unsigned zone, 3 1 1 at its beginning", AUTHENTICATED),
    ("[mx2.some.dane.test]", "mx2.some.dane.test", "no TLSA records", OPPORTUNISTIC),
    ("unsigned.test", "mx.ee.dane.test", "3 1 1 right, MX records unsigned", "deliver, host authenticated, the way to it not"),
    ("hostunsigned.dane.test", "mx.unsigned.test", "3 1 1 in an unsigned zone", OPPORTUNISTIC),
    ("hostbogus.dane.test", "mx.bogus.test", "host in a bogus zone", REFUSED),
    ("bogus.test", "mx.ee.dane.test", "MX records bogus", REFUSED),
    ("lapsed.test", "mx.ee.dane.test", "signatures of the MX records have ended", REFUSED),
]


def print_comparison(world: MailWorld) -> None:
    """The table, in Markdown."""
    print(f"\n{versions()}; {time.strftime('%d %B %Y', time.gmtime())}\n")
    print("| mail domain or host | situation | RFC 7672: a sender will | posttls-finger | ldns-dane |\n|---|---|---|---|---|")
    available = world.finger.available()
    for destination, name, situation, verdict in SITUATIONS:
        host = world.table.hosts[name]
        # ldns-dane knows hosts, no mail domains: where the MX records are the point it has nothing to say.
        ldns = ldns_dane(host, world.folder) if host.name.endswith(destination.strip("[]")) or "host" in destination else "–"
        finger = world.finger.verdict(destination) if available else "not run"
        print(f"| {destination.strip('[]')} | {situation} | {verdict} | {finger} | {ldns} |", flush=True)
