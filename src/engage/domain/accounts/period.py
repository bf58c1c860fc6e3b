"""The instant and the period of a report.

A report stands at `at`, and its period begins with `since`: both belong to it. A bare date means its whole
day in UTC: a period ends with the last microsecond of one and begins with the first of another. So the end of
one report and the beginning of the next leave no gap and no overlap.
"""

from datetime import UTC, date, datetime, time
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

EARLIEST_YEAR: Final = 2000


class InvalidPeriod(ValueError):
    """A text that is no instant, or an instant that is not in the past. `field` is the name of its input."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Period(Struct, frozen=True):
    """[since, at], both included; `since` None is the beginning of the ledger."""

    since: datetime | None
    at: datetime


def parse_period(at: str | None, since: str | None, *, now: datetime) -> Period:
    """Read instants in RFC 3339, or dates. Without `at` the period ends now.

    Raises InvalidPeriod, with field `at` or `from`.
    """
    until = now if at is None else parse_instant(at, "at", end=True)
    if until > now:
        message = f"{until:%Y-%m-%dT%H:%M:%SZ} is in the future: it is {now:%Y-%m-%dT%H:%M:%SZ}"
        raise InvalidPeriod("at", message)
    begin = None if since is None else parse_instant(since, "from", end=False)
    if begin is not None and begin > until:
        raise InvalidPeriod("from", "later than the report's instant")
    return Period(begin, until)


def parse_moment(text: str, field: str, *, end: bool) -> datetime:
    """A local time where it has no offset; otherwise as `parse_instant`. Raises InvalidPeriod."""
    try:
        local: datetime = msgspec.convert(text, Annotated[datetime, Meta(tz=False)])
    except msgspec.ValidationError:
        return parse_instant(text, field, end=end)
    return local


def parse_instant(text: str, field: str, *, end: bool) -> datetime:
    """An instant in UTC. A date is the last microsecond of its day in UTC, or the first.

    Raises InvalidPeriod.
    """
    try:
        if len(text) == len("2026-12-31"):
            day = msgspec.convert(text, date)
            at = datetime.combine(day, time.max if end else time.min, UTC)
        else:
            at = msgspec.convert(text, Annotated[datetime, Meta(tz=True)]).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        message = "neither a date nor a time, as 2026-12-31 or 2026-12-31T18:00:00Z"
        raise InvalidPeriod(field, message) from None
    if at.year < EARLIEST_YEAR:
        raise InvalidPeriod(field, f"before {EARLIEST_YEAR}")
    return at
