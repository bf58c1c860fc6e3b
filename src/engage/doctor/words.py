"""Quantities in words."""

from datetime import timedelta
from typing import Final

_UNITS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_BYTES: Final = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def age_text(age: timedelta) -> str:
    """A duration in its largest whole unit, such as `3 hours`."""
    seconds = int(age.total_seconds())
    for name, size in _UNITS:
        if seconds >= size:
            count = seconds // size
            return f"{count} {name}" if count == 1 else f"{count} {name}s"
    return "less than a second"


def bytes_text(count: int) -> str:
    for name, size in _BYTES:
        if count >= size:
            return f"{count / size:.1f} {name}"
    return f"{count} bytes"
