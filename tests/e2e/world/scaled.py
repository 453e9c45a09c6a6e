"""The shipped rules and examples with a minute made a second: every duration divided by one number, and nothing else changed."""

import re
from fractions import Fraction

from .process import Failure

# The exporter's default intervals, divided by it, are still within what its configuration takes.
FACTOR = 60

MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
DURATION = re.compile(r"(?<![\w.:-])(\d+)(ms|[smhdw])\b")
# Where a duration is meant to stand: behind a key, in a range or a subquery, behind `offset`.
PLACES = (
    re.compile(r"(?<=[ \[])(?P<key>for|keep_firing_for|interval|\w+_interval|group_wait|\w*timeout): *$"),
    re.compile(r"\[$"),
    re.compile(r"\boffset $"),
)


def scaled(text: str, factor: int = FACTOR) -> str:
    """The same file, quicker. Comments stay; a duration in a place that is not known is refused."""
    return "".join(scaled_line(line, factor) for line in text.splitlines(keepends=True))


def scaled_line(line: str, factor: int) -> str:
    """One line."""
    if line.lstrip().startswith("#"):
        return line

    def shorter(found: re.Match) -> str:
        before = line[: found.start()]
        if not any(place.search(before) for place in PLACES):
            raise Failure(f"a duration in an unknown place: {line.strip()}")
        return written(milliseconds(found) / factor)

    return DURATION.sub(shorter, line)


def milliseconds(found: re.Match) -> Fraction:
    """The length of a duration that `DURATION` found."""
    return Fraction(int(found[1]) * MILLISECONDS[found[2]])


def written(length: Fraction) -> str:
    """A duration as Prometheus and Alertmanager read it, to the millisecond."""
    if length.denominator != 1:
        raise Failure(f"{float(length)} ms cannot be written")
    return f"{length // 1000}s" if length % 1000 == 0 else f"{length}ms"


def prove_scaled(before: str, after: str, durations: int, factor: int = FACTOR) -> None:
    """Nothing but the durations differs, each is exactly a part of what it was, and there are as many as counted by others."""
    def bare(text: str) -> str:
        return "".join(line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#"))

    old, new = DURATION.findall(bare(before)), DURATION.findall(bare(after))
    if DURATION.sub("?", bare(before)) != DURATION.sub("?", bare(after)):
        raise Failure("something else than durations was changed")
    for one, other in zip(old, new, strict=True):
        long, short = (int(number) * MILLISECONDS[unit] for number, unit in (one, other))
        if long != short * factor:
            raise Failure(f"{''.join(one)} became {''.join(other)}")
    if len(old) != durations:
        raise Failure(f"{len(old)} durations changed, {durations} are there")


def count_durations(text: str) -> int:
    """How many there are, by another way than the above: words behind the known keys, brackets and offsets, counted bluntly."""
    lines = [line.strip() for line in text.splitlines() if not line.strip().startswith("#")]
    keys = ("for:", "keep_firing_for:", "interval:", "group_wait:", "group_interval:", "repeat_interval:", "scrape_interval:",
            "evaluation_interval:")
    behind_keys = sum(line.startswith(keys) for line in lines)
    joined = " ".join(line for line in lines if not line.startswith(keys))
    ranges = sum(part.split("]")[0].rstrip("smhdw").isdigit() for part in joined.split("[")[1:])
    offsets = sum(part.split()[0].rstrip("smhdw").isdigit() for part in joined.split(" offset ")[1:])
    return behind_keys + ranges + offsets


def replaced(text: str, old: str, new: str) -> str:
    """An address of an example put in its place; it has to stand there exactly once."""
    if text.count(old) != 1:
        raise Failure(f"{old!r} stands {text.count(old)} times in the example")
    return text.replace(old, new)
