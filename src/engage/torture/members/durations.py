"""ISO 8601 durations of hours and minutes."""

import re
from datetime import timedelta

_PARTS = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?")


def duration(text: str) -> timedelta:
    """Raises ValueError if it is anything but hours and minutes."""
    match = _PARTS.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return timedelta(hours=int(match[1] or 0), minutes=int(match[2] or 0))
