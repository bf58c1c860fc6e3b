"""What a benchmark finds: a figure, what it is a ratio of, and what was hoped for."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct


class Figure(Struct, frozen=True, kw_only=True):
    """`value` in `unit`. With `over` there is a `ratio` to that, and a target is a target of the ratio;
    without, it is one of the value.
    """

    benchmark: str
    what: str
    value: float
    unit: str
    over: str | None = None
    ratio: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    note: str | None = None

    @property
    def met(self) -> bool | None:
        """None where nothing was hoped for."""
        if self.at_least is None and self.at_most is None:
            return None
        measured = self.value if self.ratio is None else self.ratio
        enough = self.at_least is None or measured >= self.at_least
        return enough and (self.at_most is None or measured <= self.at_most)


def as_json(figure: Figure) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(figure)
    return fields | {"met": figure.met}


def median(values: Sequence[float]) -> float:
    """Of an even number, the mean of the two in the middle."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that so many per cent of them do not exceed."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank) - 1, 0)]


def spread(values: Sequence[float]) -> str:
    """The rounds behind a median, for a note."""
    return "median of " + ", ".join(_short(value) for value in values)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
