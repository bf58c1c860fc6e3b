"""Durations in documents: their ISO 8601 text, and their bounds."""

from collections.abc import Iterator
from datetime import timedelta

import msgspec

from engage.domain.document.errors import Problem, shown

_UNITS = (("P{}D", 86_400), ("PT{}H", 3_600), ("PT{}M", 60), ("PT{}S", 1))


def iso_duration(duration: timedelta) -> str:
    """Write whole seconds, 0 or more, in their largest ISO 8601 unit: PT5M, P1D."""
    seconds = int(duration.total_seconds())
    form, size = next((form, size) for form, size in _UNITS if seconds % size == 0 and (seconds or size == 1))
    return form.format(seconds // size)


def duration_problems(
    path: str, duration: timedelta | None, least: timedelta, most: timedelta
) -> Iterator[Problem]:
    """The problem of a duration outside [least, most]."""
    if duration is not None and not least <= duration <= most:
        found = iso_duration(duration) if duration >= timedelta() else msgspec.to_builtins(duration)
        expected = f"a duration from {iso_duration(least)} to {iso_duration(most)}"
        yield Problem(path, expected, shown(found))
