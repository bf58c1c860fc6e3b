"""Chances: so many a window, and one more some time after the last play."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from engage.domain.games.chances import ChancesLeft, chances_left, most_plays
from engage.domain.games.definition import Chances, GameWindow
from engage.domain.games.windows import ends_at, first_day

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)  # A Saturday.
MADRID = "Europe/Madrid"
MIDNIGHT = datetime(2026, 11, 21, 23, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


def left(played: int, ago: timedelta | None = None, *, at: datetime = NOON, **chances: object) -> ChancesLeft:
    terms = msgspec.convert({"count": 2, "window": "day"} | chances, Chances)
    return chances_left(terms, played=played, last_play=None if ago is None else at - ago, at=at, zone=MADRID)


def test_chances_count_down_until_the_window_ends() -> None:
    assert [left(n, QUARTER).left for n in range(4)] == [2, 1, 0, 0]
    assert left(2, QUARTER).resets_at == MIDNIGHT


def test_one_more_chance_comes_some_time_after_the_last_play() -> None:
    extra: Any = {"extra_after": "PT15M"}
    assert left(1, QUARTER, **extra) == ChancesLeft(1, MIDNIGHT), "not while there are others"
    soon = left(2, timedelta(minutes=14), **extra)
    assert soon == ChancesLeft(0, NOON + timedelta(minutes=1))
    assert left(2, QUARTER, **extra) == ChancesLeft(1, MIDNIGHT)
    assert left(3, QUARTER, **extra) == ChancesLeft(0, MIDNIGHT), "one in a window"
    late = MIDNIGHT - timedelta(minutes=10)
    assert left(2, timedelta(), at=late, **extra) == ChancesLeft(0, MIDNIGHT), "the next window is sooner"
    assert most_plays(Chances(count=2, window="day", extra_after=QUARTER)) == 3


def test_chances_for_ever_never_come_again() -> None:
    assert left(2, QUARTER, window="ever") == ChancesLeft(0, None)
    assert left(2, timedelta(), window="ever", extra_after="PT15M") == ChancesLeft(0, NOON + QUARTER)


def test_plays_of_merged_accounts_may_be_more_than_chances() -> None:
    assert left(5, QUARTER, extra_after="PT15M") == ChancesLeft(0, MIDNIGHT)


@pytest.mark.parametrize(
    ("window", "first", "end"),
    [
        ("day", "2026-11-21", "2026-11-21T23:00:00+00:00"),
        ("week", "2026-11-16", "2026-11-22T23:00:00+00:00"),
        ("month", "2026-11-01", "2026-11-30T23:00:00+00:00"),
    ],
)
def test_windows_are_calendar_days_weeks_from_monday_and_months(
    window: GameWindow, first: str, end: str
) -> None:
    assert first_day(window, NOON.date()).isoformat() == first
    found = ends_at(window, NOON.date(), MADRID)
    assert found is not None
    assert found.isoformat() == end
