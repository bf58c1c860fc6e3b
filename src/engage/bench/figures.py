"""Figures that a benchmark measures, with what they are compared to and their target."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct


class Figure(Struct, frozen=True, kw_only=True):
    """A `value` in `unit`. `over` names a baseline and `ratio` is the value divided by the baseline's.

    The target, `at_least` or `at_most`, applies to the ratio, or without one to the value.
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
        """None without a target."""
        if self.at_least is None and self.at_most is None:
            return None
        measured = self.value if self.ratio is None else self.ratio
        enough = self.at_least is None or measured >= self.at_least
        return enough and (self.at_most is None or measured <= self.at_most)


def compare(
    benchmark: str,
    what: str,
    unit: str,
    rates: Sequence[float],
    *,
    baseline: str,
    baseline_rates: Sequence[float],
    at_least: float | None = None,
    note: str | None = None,
) -> Figure:
    """Compare the medians of two lists of rates a second. The note defaults to all of ours."""
    rate, reference = median(rates), median(baseline_rates)
    return Figure(
        benchmark=benchmark,
        what=what,
        value=rate,
        unit=unit,
        over=f"{baseline}: {reference:,.0f}/s",
        ratio=rate / reference,
        at_least=at_least,
        note=note or spread(rates),
    )


def as_json(figure: Figure) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(figure)
    return fields | {"met": figure.met}


def median(values: Sequence[float]) -> float:
    """Return the value in the middle, or the mean of the two in the middle."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that is at least as large as `percent` per cent of the values."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank) - 1, 0)]


def spread(values: Sequence[float]) -> str:
    """List the values behind a median, for a note."""
    return "median of " + ", ".join(_short(value) for value in values)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
