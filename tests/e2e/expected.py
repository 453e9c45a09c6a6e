"""The form of an expectation about one domain."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Expected:
    """The verdict on one domain. `findings` and `mx_findings`: code, and severity (None: depends on how often it failed).

    Findings of an MX are written `host code`. `exit` is the status of `check`; None: 1 exactly where there is an error.
    `hosts`: for each MX host that DANE is about, `tlsa.status` and the word `dane` of its addresses. `senders`: states of some kinds.
    A word may be `one|other` where the definitions leave it open.
    """

    delivery: str
    exit: int | None = 0
    findings: dict[str, str | None] = field(default_factory=dict)
    mx_findings: dict[str, str | None] = field(default_factory=dict)
    # Codes that the catalogue neither demands nor excludes here.
    optional: tuple[str, ...] = ()
    hosts: dict[str, tuple[str, str]] = field(default_factory=dict)
    senders: dict[str, str] = field(default_factory=dict)


def fits(wanted: str, got: str | None) -> bool:
    """Whether a word is the one that is wanted, or one of them."""
    return got in wanted.split("|")
