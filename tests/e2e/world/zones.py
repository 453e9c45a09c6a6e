"""The zones of the world: which are signed, and what is wrong with the others."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Zone:
    """A zone below the root.

    `signing`: nsec or nsec3 (by the authority), none, or signed beforehand: lapsed (its signatures ended a day ago), ending (they
    end in a day and a half), sha1 (RSA with SHA-1). `ds` in the parent: right, none, wrong (a digit changed), sha1 (that digest alone).
    """

    name: str
    signing: str = "nsec"
    ds: str = "right"

    def security(self) -> str:
        """RFC 4035 section 4.3: what a validator finds. `weak`: some still find it secure and newer ones insecure."""
        if self.signing == "none":
            return "insecure"
        if self.ds == "wrong" or self.signing == "lapsed":
            return "bogus"
        return "weak" if "sha1" in (self.signing, self.ds) else "secure"

    def holds(self, name: str) -> bool:
        """Whether a name is in it or below it."""
        return name == self.name or name.endswith(f".{self.name}")


ZONES = (
    Zone("dane.test", signing="nsec3"),
    Zone("unsigned.test", signing="none", ds="none"),
    Zone("bogus.test", ds="wrong"),
    Zone("lapsed.test", signing="lapsed"),
    Zone("ending.test", signing="ending"),
    Zone("sha1.test", signing="sha1"),
    Zone("sha1ds.test", ds="sha1"),
    Zone("test"),
)

# Seconds around now: when the signatures of a zone that is signed beforehand begin and end.
DAY = 86400
VALIDITY = {"lapsed": (-20 * DAY, -DAY), "ending": (-18 * DAY, 3 * DAY // 2), "sha1": (-DAY, 20 * DAY)}


def zone_of(name: str) -> Zone:
    """The zone that a name stands in."""
    return next(zone for zone in ZONES if zone.holds(name))


def security(name: str) -> str:
    """What a validator finds of a name's records: secure, insecure, bogus, or weak."""
    return zone_of(name).security()
