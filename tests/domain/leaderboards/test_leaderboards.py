"""Periods in zones, soundness of boards, and names that can be shown."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from engage.domain.feature.section import Context
from engage.domain.leaderboards.definition import Leaderboard
from engage.domain.leaderboards.display_names import read_name
from engage.domain.leaderboards.periods import Period, period_at, periods_until, read_label
from engage.domain.leaderboards.validation import problems

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)  # A Saturday.
KOLKATA, MADRID = "Asia/Kolkata", "Europe/Madrid"


def board(**changes: Any) -> Leaderboard:
    return msgspec.convert({"id": "b", "title": {"en": "B"}, "score": "points_earned"} | changes, Leaderboard)


@pytest.mark.parametrize(
    ("resets", "label"), [(None, "all"), ("weekly", "2026-11-16"), ("monthly", "2026-11")]
)
def test_a_period_is_named_by_its_first_day(resets: str | None, label: str) -> None:
    of = board(resets=resets)
    period = period_at(of, NOON, MADRID)
    assert period is not None
    assert period.label == label
    assert read_label(of, label) == period
    assert [read_label(of, other) for other in ("2026-11-17", "x", "", "2026-13")] == [None] * 4


def test_a_week_is_local_and_closes_with_the_last_zone() -> None:
    of = board(resets="weekly")
    sunday = datetime(2026, 11, 22, 20, tzinfo=UTC)  # Monday in Kolkata.
    assert period_at(of, sunday, KOLKATA) != period_at(of, sunday, MADRID)
    period = period_at(of, sunday, MADRID)
    assert period is not None
    assert period.bounds(of, MADRID) == (
        datetime(2026, 11, 15, 23, tzinfo=UTC),
        datetime(2026, 11, 22, 23, tzinfo=UTC),
    )
    assert period.closes_at(of, [KOLKATA, MADRID]) == datetime(2026, 11, 22, 23, tzinfo=UTC)
    assert [p.label for p in periods_until(of, sunday, MADRID)] == ["2026-11-16", "2026-11-09"]


def test_a_board_begins_and_ends_within_its_periods() -> None:
    of = board(resets="weekly", **{"from": "2026-11-18T00:00:00", "until": "2026-11-25T00:00:00"})
    first = Period("2026-11-16", datetime(2026, 11, 16).date())  # noqa: DTZ001  # A day.
    assert first.bounds(of, "UTC")[0] == datetime(2026, 11, 18, tzinfo=UTC)
    assert period_at(of, datetime(2026, 11, 17, 23, tzinfo=UTC), "UTC") is None
    assert list(periods_until(of, datetime(2026, 11, 17, 23, tzinfo=UTC), "UTC")) == []
    later = list(periods_until(of, datetime(2026, 12, 20, tzinfo=UTC), "UTC"))
    assert [p.label for p in later] == ["2026-11-23", "2026-11-16"], "the last ones stay"
    assert later[0].closes_at(of, ["UTC"]) == datetime(2026, 11, 25, tzinfo=UTC)
    assert Period("all").closes_at(board(), ["UTC"]) is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"prizes": [{"to_rank": 1, "points": 5}]}, "expected until or resets"),
        (
            {"resets": "weekly", "prizes": [{"to_rank": 3, "points": 5}, {"to_rank": 3, "points": 1}]},
            "prizes[1].to_rank: expected a rank after 3, got 3",
        ),
        ({"score": "quiz:sprin"}, "(did you mean spring?)"),
        ({"due": {"type": "after", "delay": "P400D"}}, "due.delay"),
    ],
)
def test_an_unsound_board_names_its_problem(changes: dict[str, Any], problem: str) -> None:
    context = Context(None, {"quizzes": ["spring"], "challenges": []})
    assert problem in " ".join(map(str, problems(board(**changes), "leaderboards[0]", context)))


@pytest.mark.parametrize(
    "changes",
    [{"score": "spend"}, {"score": "quiz:"}, {"resets": "daily"}, {"prizes": [{"to_rank": 0, "points": 1}]}],
)
def test_a_value_of_the_wrong_shape_is_no_board(changes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        board(**changes)


def test_each_rank_has_the_first_prize_that_reaches_it() -> None:
    of = board(resets="weekly", prizes=[{"to_rank": 1, "points": 9}, {"to_rank": 3, "points": 4}])
    assert [of.points_for(rank) for rank in range(1, 5)] == [9, 4, 4, None]
    assert of.last_rank == 3


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("  Ana  ", "Ana"),
        ("Zoe\u0308", "Zoë"),
        ("श्री", "श्री"),
        ("Ana 😀", "Ana 😀"),
        ("x" * 30, "x" * 30),
        ("x" * 31, None),
        ("", None),
        ("   ", None),
        ("—", None),
        ("!!!", None),
        ("Ana\nB", None),
        ("Ana\u202e", None),
        ("Ana\u200b", None),
        ("a" + "\u0301" * 9, None),
    ],
)
def test_a_name_is_a_line_that_others_can_see(text: str, name: str | None) -> None:
    assert read_name(text) == name


def test_an_hour_before_the_end_a_board_is_open() -> None:
    of = board(until="2026-11-25T00:00:00Z")
    end = datetime(2026, 11, 25, tzinfo=UTC)
    assert period_at(of, end - timedelta(hours=1), KOLKATA) == Period("all")
    assert period_at(of, end, KOLKATA) is None
