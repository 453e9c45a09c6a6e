"""What has to be told when the world is broken: by the rules' own promises (docs/alerting.md), never by what once came."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from world import port25
from world.domains import ALERTS, ALERTS_EXPORTER
from world.mail_world import MailWorld


@dataclass(frozen=True)
class Alert:
    """One alert that somebody is to hear of.

    `words`: what its text has to say. `grouped`: the label that the notification is by. `within`: minutes from the fault to the
    message, as docs/alerting.md has them: until the monitor looks, the wait of the alert, two evaluations; a minute is a second here.
    `wait`: the wait of the alert; before it nothing may come.
    """

    name: str
    severity: str
    about: str
    words: tuple[str, ...]
    grouped: str
    wait: int
    within: int
    receiver: str = "tickets"

    def identity(self) -> tuple[str, str, str]:
        """As `Told` has it."""
        return self.name, self.severity, self.about

    def group(self) -> tuple[tuple[str, str], ...]:
        """The labels of its notification."""
        return ((self.grouped, self.name if self.grouped == "alertname" else self.about),)


@dataclass(frozen=True)
class Fault:
    """What is broken and mended, what is told of it, and what of it is held back because a page tells it."""

    what: str
    broken: Callable[[MailWorld], None]
    mended: Callable[[MailWorld], None]
    told: tuple[Alert, ...]
    held_back: tuple[tuple[str, str, str], ...] = ()
    # What is to be told later on although it is mended, and waits for that.
    lasting: tuple[tuple[str, str, str], ...] = ()


def page(name: str, mx: str, *words: str, wait: int, within: int) -> Alert:
    """A page about a mail host: one a host."""
    return Alert(name, "critical", f"{mx}.{ALERTS}", (f"{mx}.{ALERTS}", *words), "mx", wait, within, "pager")


def ticket(name: str, about: str, *words: str, wait: int, within: int, grouped: str = "mx") -> Alert:
    """A ticket: one a host, or one a kind."""
    return Alert(name, "warning", f"{about}.{ALERTS}", (f"{about}.{ALERTS}", *words), grouped, wait, within)


def about_the_monitor(name: str, *words: str, wait: int, within: int) -> Alert:
    """A ticket about the monitor."""
    instance = "{}:{}".format(*ALERTS_EXPORTER)
    return Alert(name, "warning", instance, (f"The monitor {instance}", *words), "alertname", wait, within)


def ticket_of(alert: Alert) -> tuple[str, str, str]:
    """The ticket of the same name, which its page holds back."""
    return alert.name, "warning", alert.about


def new_id(number: int) -> tuple[str, ...]:
    """The _mta-sts record with another id."""
    return (f"v=STSv1; id=2026120{number};",)


def policy_names(domain: str, *mx: str, number: int = 0) -> Callable[[MailWorld], None]:
    """The policy names these hosts; with a number the record has a new id as well."""

    def change(world: MailWorld) -> None:
        name = f"{domain}.{ALERTS}"
        policy = replace(world.table.domains[name].policy, mx=tuple(f"{host}.{ALERTS}" for host in mx))
        world.change_domain(name, policy=policy, **({"sts_txt": new_id(number)} if number else {}))

    return change


def publish_id(domain: str) -> Callable[[MailWorld], None]:
    """The record has a new id at last."""
    return lambda world: world.change_domain(f"{domain}.{ALERTS}", sts_txt=new_id(1))


def serves(mx: str, certificate: str) -> Callable[[MailWorld], None]:
    """The host presents another certificate; its TLSA records stay."""
    return lambda world: world.serve_certificate(f"{mx}.{ALERTS}", certificate)


def offers(mx: str, certificate: str) -> Callable[[MailWorld], None]:
    """With the certificate `none` the host offers no STARTTLS."""
    return lambda world: world.change_host(f"{mx}.{ALERTS}", certificate=certificate)


def still_held(mx: str) -> tuple[tuple[str, str, str], ...]:
    """Senders that fetched the policy without the host may go on with it for a day, though there is a new one."""
    return (("SMTPTLSMXFinding", "warning", f"{mx}.{ALERTS}"),)


def same_id(domain: str) -> Fault:
    """The policy names one more host, and the id stays. Only a new id ends it."""
    told = ticket(
        "SMTPTLSPolicyChangedWithoutID", domain, "the MTA-STS policy changed, its id did not.", "Publish a new id",
        # Seen at the next look; one without an id after two intervals and the grace of ten minutes, at the look that follows.
        wait=30, within=10 + 2 * 10 + 10 + 10 + 30 + 2, grouped="alertname",
    )
    return Fault(f"{domain}: the policy changes, its id does not", policy_names(domain, f"mx.{domain}", "mx.later"),
                 publish_id(domain), (told,))


PROVIDER = page(
    "SMTPTLSStartTLSMissing", "mx.provider", "does not do TLS; enforcing senders can deliver nothing to 3 domains.",
    "Seen: starttls-not-offered.", wait=15, within=55,
)
MOVED = page(
    "SMTPTLSEnforcedMXNotInPolicy", "mx.moved",
    "is not in the policy of 1 domain, to which enforcing senders can deliver nothing.",
    f"Add a line mx: mx.moved.{ALERTS} to the policy", wait=25, within=45,
)
TLSA = page(
    "SMTPTLSDANEMismatch", "mx.tlsa",
    "presents a certificate that no TLSA record matches; DANE senders can deliver nothing to 1 domain.",
    f"dig +dnssec _25._tcp.mx.tlsa.{ALERTS} TLSA", wait=35, within=75,
)
BOTH_DANE = replace(
    TLSA, about=f"mx.both.{ALERTS}", words=(f"mx.both.{ALERTS}", "presents a certificate that no TLSA record matches"),
)
BOTH_STS = page(
    "SMTPTLSEnforcedMXUnverifiable", "mx.both",
    "the certificate cannot be verified; senders that enforce MTA-STS can deliver nothing to 1 domain.",
    "certificate-untrusted", wait=35, within=75,
)

# Each on domains of its own, so that all are tried at once.
FAULTS = (
    Fault("mx2.expired: the certificate of a backup ended", serves("mx2.expired", "expired"), serves("mx2.expired", "good"), (
        ticket(
            "SMTPTLSCertificateExpiryWarning", "mx2.expired",
            # The certificate ended three days before the world was made.
            "the certificate expired 3d 0h ago; domains that use this host: 1, of them with a policy in enforce: 1.",
            "Enforcing senders do not deliver to this host", wait=60, within=30 + 60 + 2,
        ),
    )),
    Fault("mx.provider: STARTTLS gone at the host of three domains", offers("mx.provider", "none"), offers("mx.provider", "good"),
          (PROVIDER,), (ticket_of(PROVIDER),)),
    Fault("mx2.dropped: a new policy without the second host", policy_names("dropped", "mx1.dropped", number=1),
          policy_names("dropped", "mx1.dropped", "mx2.dropped", number=2), (
        ticket(
            "SMTPTLSEnforcedMXNotInPolicy", "mx2.dropped",
            "is not in the policy of 1 domain: enforcing senders pass it by.",
            f"Add a line mx: mx2.dropped.{ALERTS} to the policy", wait=35, within=10 + 35 + 2,
        ),
    ), lasting=still_held("mx2.dropped")),
    Fault("mx.moved: a new policy without the only host", policy_names("moved", "mx.elsewhere", number=1),
          policy_names("moved", "mx.moved", number=2), (MOVED,), (ticket_of(MOVED),), still_held("mx.moved")),
    Fault("mx.tlsa: renewed certificate, old TLSA record", serves("mx.tlsa", "renewed"), serves("mx.tlsa", "good"),
          (TLSA,), (ticket_of(TLSA),)),
    # Two faults of one host: one page.
    Fault("mx.both: self-signed, with TLSA and policy", serves("mx.both", "self-signed"), serves("mx.both", "good"),
          (BOTH_DANE, BOTH_STS), (ticket_of(BOTH_DANE), ticket_of(BOTH_STS))),
    # Two domains with one fault: one ticket.
    same_id("sameid1"),
    same_id("sameid2"),
)

RESOLVER = Fault(
    "the resolver is silent", lambda world: world.unbound.pause(), lambda world: world.unbound.resume(), (
        about_the_monitor("SMTPTLSResolverFailing", "gets no answer from its DNS resolver.", "not of your mail",
                          wait=10, within=10 + 20 + 10 + 2),
    ),
)
PORT_25 = Fault(
    "port 25 is shut off", lambda _: port25.shut(), lambda _: port25.open_again(), (
        about_the_monitor("SMTPTLSEgressBlocked", "cannot reach port 25 of any host.", "not of your mail",
                          wait=15, within=30 + 5 + 15 + 2),
    ),
)
