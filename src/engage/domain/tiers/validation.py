"""Validation of groups of levels."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Final

import msgspec

from engage.domain.document.durations import duration_problems
from engage.domain.document.errors import Problem, duplicate_names, join, shown
from engage.domain.feature.section import Context
from engage.domain.tiers.definition import (
    EARLY_ACCESS,
    EXPRESS_DELIVERY,
    MULTIPLY,
    Benefit,
    Level,
    TierGroup,
)

HIGHEST_MULTIPLY: Final = 10
LONGEST_GRACE: Final = timedelta(days=366)
LONGEST_ACCESS: Final = timedelta(days=366)


def tier_problems(groups: Sequence[TierGroup], context: Context) -> Iterator[Problem]:
    yield from duplicate_names([group.id for group in groups], "tier_groups", "id")
    for n, group in enumerate(groups):
        path = f"tier_groups[{n}]"
        yield from duration_problems(f"{path}.grace", group.grace, timedelta(), LONGEST_GRACE)
        yield from duplicate_names([level.id for level in group.levels], f"{path}.levels", "id")
        for k, (lower, higher) in enumerate(pairwise(group.levels), start=1):
            if higher.from_ <= lower.from_:
                expected = f"more than the {lower.from_} of the level before it"
                yield Problem(f"{path}.levels[{k}].from", expected, str(higher.from_))
        for k, level in enumerate(group.levels):
            yield from _benefits(level, f"{path}.levels[{k}].benefits")


def _benefits(level: Level, path: str) -> Iterator[Problem]:
    for name, value in level.benefits.items():
        expected = _expected(name, value)
        if expected is not None:
            yield Problem(join(path, name), expected, shown(value))


def _expected(name: str, value: Benefit) -> str | None:
    """The value that a benefit should have which engage knows; None where it has, and for all others."""
    if name == MULTIPLY:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = is_number and 1 <= float(value) <= HIGHEST_MULTIPLY
        return None if fits else f"a number from 1 to {HIGHEST_MULTIPLY}"
    if name == EXPRESS_DELIVERY:
        return None if isinstance(value, bool) else "true or false"
    if name == EARLY_ACCESS:
        wait = _duration(value)
        fits = wait is not None and timedelta() < wait <= LONGEST_ACCESS
        return None if fits else "a duration (ISO 8601), such as PT24H, of at most 366 days"
    return None


def _duration(value: Benefit) -> timedelta | None:
    try:
        return msgspec.convert(value, timedelta)
    except msgspec.ValidationError:
        return None
