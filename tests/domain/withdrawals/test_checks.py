"""Checks of a new withdrawal against the terms and the day's limits."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from engage.domain.document.worth import Worth
from engage.domain.refusals import Code, Refusal
from engage.domain.withdrawals.checks import (
    DayTotals,
    check_daily_limits,
    check_offered,
    first_opening,
    worth_minor,
)
from engage.domain.withdrawals.definition import WithdrawalTerms

OPEN = WithdrawalTerms(open=True, methods=["cash"], max_points_a_day=100, max_count_a_day=3)
ANNOUNCED = replace(OPEN, open=False, opens_at=datetime(2026, 9, 1, tzinfo=UTC))
JUNE, JULY, AUGUST = (datetime(2026, month, 1, tzinfo=UTC) for month in (6, 7, 8))


def test_withdrawals_open_with_the_first_version_that_opens_them() -> None:
    versions = [(AUGUST, OPEN), (JUNE, ANNOUNCED), (JULY, OPEN), (JUNE, None)]
    assert first_opening(versions) == JULY
    assert first_opening(versions[1:2]) is None


def test_a_published_version_is_surer_than_an_announcement() -> None:
    with pytest.raises(Refusal) as planned:
        check_offered(ANNOUNCED, "cash", planned=JULY)
    with pytest.raises(Refusal) as announced:
        check_offered(ANNOUNCED, "cash")
    assert planned.value.facts["opens_at"] == JULY
    assert announced.value.facts["opens_at"] == ANNOUNCED.opens_at


@pytest.mark.parametrize(
    ("points", "today", "code", "remaining"),
    [
        (40, DayTotals(60, 1), None, None),
        (41, DayTotals(60, 1), Code.DAILY_POINTS_REACHED, 40),
        (1, DayTotals(120, 1), Code.DAILY_POINTS_REACHED, 0),
        (1, DayTotals(3, 3), Code.LIMIT_REACHED, None),
    ],
)
def test_a_day_has_a_limit_of_points_and_one_of_withdrawals(
    points: int, today: DayTotals, code: Code | None, remaining: int | None
) -> None:
    if code is None:
        check_daily_limits(OPEN, points, today, resets_at=JULY)
        return
    with pytest.raises(Refusal) as refused:
        check_daily_limits(OPEN, points, today, resets_at=JULY)
    assert (refused.value.code, refused.value.facts.get("remaining")) == (code, remaining)


def test_only_points_of_a_whole_amount_can_be_withdrawn() -> None:
    assert worth_minor(Worth(points=5, minor=1), 10) == 2
    with pytest.raises(Refusal) as refused:
        worth_minor(Worth(points=5, minor=1), 11)
    assert refused.value.facts == {"step": 5}
