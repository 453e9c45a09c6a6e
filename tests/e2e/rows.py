"""Queries and their results."""

from dataclasses import dataclass


class Absent:
    """No such series."""

    def __repr__(self):
        return "no series"


ABSENT = Absent()


@dataclass(frozen=True)
class Row:
    """A query and its result: a number (one series), ABSENT, or for `sum by (LABEL…)` the number of each label value."""

    promql: str
    wanted: float | dict[str, float] | Absent


def ones(names) -> dict[str, float] | Absent:
    """Each of the names once; no series at all where there is none."""
    return {name: 1 for name in names} or ABSENT


def problem(row: Row, series: list[tuple[dict[str, str], float]]) -> str | None:
    """Why a query's result is not as expected."""
    if isinstance(row.wanted, Absent):
        right = not series
    elif isinstance(row.wanted, dict):
        right = {" ".join(labels.values()): value for labels, value in series} == row.wanted
    else:
        right = [value for _, value in series] == [row.wanted]
    if right:
        return None
    got = ", ".join(f"{labels or ''} {value:.17g}" for labels, value in series) or "no series"
    return f"{row.promql}\n  wanted {row.wanted}\n  got    {got}"
