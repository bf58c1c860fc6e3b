"""Durations of a document: how they are written, and which are sane."""

from collections.abc import Iterator
from datetime import timedelta

import msgspec

from engage.domain.document.errors import Problem, shown

_UNITS = (("P{}D", 86_400), ("PT{}H", 3_600), ("PT{}M", 60), ("PT{}S", 1))


def iso(length: timedelta) -> str:
    """A whole number of seconds from 0 on, as ISO 8601 writes it in its largest unit: PT5M, P1D."""
    seconds = int(length.total_seconds())
    form, size = next((form, size) for form, size in _UNITS if seconds % size == 0 and (seconds or size == 1))
    return form.format(seconds // size)


def outside(path: str, length: timedelta | None, least: timedelta, most: timedelta) -> Iterator[Problem]:
    """The problem of a duration that is shorter or longer than makes sense, if it is."""
    if length is not None and not least <= length <= most:
        found = shown(iso(length) if length >= timedelta() else msgspec.to_builtins(length))
        yield Problem(path, f"a duration from {iso(least)} to {iso(most)}", found)
