"""Periods of a leaderboard: half-open in each zone of members, closed when the last zone is at its end."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Final

from msgspec import Struct

from engage.domain.calendar import add_months, local_date, start_of_day
from engage.domain.definitions.definition import BEGINNING, END
from engage.domain.leaderboards.definition import Leaderboard

WHOLE: Final = "all"  # The label of the one period of a board that does not reset.


class Period(Struct, frozen=True):
    """A period by its label: the first day of a week or a month, or `all`."""

    label: str
    first_day: date | None = None

    def bounds(self, board: Leaderboard, zone: str) -> tuple[datetime, datetime]:
        """Return the instants in a zone between which a score counts: [begin, end)."""
        begin, end = board.begins_at(zone), board.ends_at(zone) or END
        if self.first_day is None:
            return begin, end
        following = _following(board, self.first_day)
        return max(begin, start_of_day(self.first_day, zone)), min(end, start_of_day(following, zone))

    def closes_at(self, board: Leaderboard, zones: Iterable[str]) -> datetime | None:
        """Return when the period has ended for every member; None for a board without an end."""
        end = max(self.bounds(board, zone)[1] for zone in zones)
        return None if end == END else end


def period_at(board: Leaderboard, at: datetime, zone: str) -> Period | None:
    """Return the period in a zone at an instant; None while the board is not open there."""
    if not board.is_open(at, zone):
        return None
    return _period(board, local_date(at, zone))


def periods_until(board: Leaderboard, at: datetime, zone: str) -> Iterator[Period]:
    """Return the last two periods that have begun in a zone, the newest first."""
    end = board.ends_at(zone) or END
    last = min(at, end - timedelta(microseconds=1))
    if last < board.begins_at(zone) or last == BEGINNING:
        return
    newest = _period(board, local_date(last, zone))
    yield newest
    if newest.first_day is not None:
        before = _period(board, newest.first_day - timedelta(days=1))
        begin, end = before.bounds(board, zone)
        if begin < end:
            yield before


def read_label(board: Leaderboard, label: str) -> Period | None:
    """Return the period of a label, or None for a label that the board cannot have."""
    if board.resets is None:
        return Period(WHOLE) if label == WHOLE else None
    try:
        first = date.fromisoformat(label if board.resets == "weekly" else f"{label}-01")
    except ValueError:
        return None
    period = _period(board, first)
    return period if period.label == label else None


def _period(board: Leaderboard, day: date) -> Period:
    if board.resets is None:
        return Period(WHOLE)
    if board.resets == "weekly":
        first = day - timedelta(days=day.weekday())
        return Period(first.isoformat(), first)
    first = day.replace(day=1)
    return Period(f"{first:%Y-%m}", first)


def _following(board: Leaderboard, first: date) -> date:
    return first + timedelta(days=7) if board.resets == "weekly" else add_months(first, 1)
