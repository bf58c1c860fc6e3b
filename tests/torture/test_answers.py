"""Checks find answers without an action, and actions without an answer."""

from datetime import timedelta
from typing import Any

import pytest

from engage.torture.checks import answers, causes, due, statuses, streaks
from engage.torture.checks.books import Coupon
from engage.torture.checks.promises import judge
from tests.torture.evidence import BEGAN, MEMBER, PROBLEM, Written, credit_row, tap_credit, uuid


@pytest.fixture
def written() -> Written:
    return Written()


def coupon(number: int, **rest: Any) -> Coupon:
    fields: dict[str, Any] = {
        "member_id": MEMBER,
        "id": uuid(number),
        "redemption_id": uuid(number),
        "reward_id": "coupon",
        "state": "issued",
        "points": 15,
        "hold_id": None,
        "issued_at": BEGAN,
    }
    return Coupon(**fields | rest)


def redeem(written: Written, number: int, status: int | None = 201, key: str | None = None) -> int:
    answer = {"redemption_id": str(uuid(number)), "points": 15}
    return written.send("redeemReward", status=status, answer=answer, key=key)


def test_a_good_run_breaks_nothing(written: Written) -> None:
    written.tap(21)
    written.tap(22, streak=2)
    written.send("recordFuelTap", status=409, answer=PROBLEM)
    assert judge(written.evidence()) == []


def test_an_accepted_tap_without_its_credit_is_found(written: Written) -> None:
    written.tap(21)
    written.books.credits.clear()
    assert [broken.story_ids for broken in written.found(answers.credits_exist)] == [(2,)]


def test_a_credit_of_another_member_is_no_credit_of_this_one(written: Written) -> None:
    written.change(written.tap(21), member_id="m-2")
    assert written.found(lambda _: answers.credits_exist(written.evidence()))


def test_an_accepted_tap_that_earned_nothing_is_found(written: Written) -> None:
    written.send("recordFuelTap", status=202, answer={"credits": [], "streak": {"days": 1}})
    assert written.found(answers.credits_exist)


def test_two_answers_under_one_key_are_found(written: Written) -> None:
    redeem(written, 1, key="k")
    redeem(written, 1, key="k")
    assert written.found(answers.one_answer) == []
    redeem(written, 2, key="k")
    assert len(written.found(answers.one_answer)) == 1


def test_each_redemption_has_one_row(written: Written) -> None:
    redeem(written, 1, key="k")
    written.books.coupons.append(coupon(1))
    assert written.found(answers.one_action) == []
    written.books.coupons.append(coupon(2))
    assert "without an answer" in written.found(answers.one_action)[0].text


def test_an_answered_redemption_that_is_not_there_is_found(written: Written) -> None:
    redeem(written, 1)
    assert "not in the books" in written.found(answers.one_action)[0].text


def test_two_requests_are_not_answered_with_one_redemption(written: Written) -> None:
    redeem(written, 1)
    redeem(written, 1)
    written.books.coupons.append(coupon(1))
    assert "to 2 requests" in written.found(answers.one_action)[0].text


def test_a_lost_answer_may_have_happened_once_or_not_at_all(written: Written) -> None:
    redeem(written, 1, status=None, key="k")
    redeem(written, 1, status=None, key="k")
    assert written.found(answers.one_action) == []
    written.books.coupons.append(coupon(1))
    assert written.found(answers.one_action) == []
    written.books.coupons.append(coupon(2))
    assert len(written.found(answers.one_action)) == 1


def test_a_refused_redemption_has_done_nothing(written: Written) -> None:
    redeem(written, 1, status=409)
    written.books.coupons.append(coupon(1))
    assert len(written.found(answers.one_action)) == 1


def test_a_credit_needs_a_request_or_a_lost_one(written: Written) -> None:
    written.books.credits.append(tap_credit(21))
    assert len(written.found(causes.credits_have_causes)) == 1
    written.send("recordFuelTap", status=None)
    assert written.found(causes.credits_have_causes) == []
    written.books.credits.append(tap_credit(22))
    assert len(written.found(causes.credits_have_causes)) == 1


def test_an_order_needs_an_event_that_was_not_refused(written: Written) -> None:
    event = {"id": "e", "type": "order.paid", "member_id": MEMBER, "data": {"order_id": "o"}}
    activity = {"activity": "order", "order_id": "o"}
    written.books.credits.append(credit_row(1, "purchase", "order:o:purchase", BEGAN, activity))
    assert written.found(causes.credits_have_causes)
    written.send("sendEvents", body=[event], answer={"refused": [{"index": 0, "id": "e"}]})
    assert written.found(causes.credits_have_causes)
    written.send("sendEvents", body=[event], answer={"refused": []})
    assert written.found(causes.credits_have_causes) == []


def test_a_credit_of_a_rule_that_nobody_knows_is_found(written: Written) -> None:
    written.books.credits.append(credit_row(1, "gift", "gift", BEGAN, {"activity": "gift"}))
    assert written.found(causes.credits_have_causes)


def test_a_refused_share_that_earned_is_found(written: Written) -> None:
    body = {"share_id": "s", "kind": "link"}
    written.send("recordShare", body=body, status=409, answer=PROBLEM)
    assert written.found(causes.refusals_earn_nothing) == []
    activity = {"activity": "share", "share_id": "s"}
    written.books.credits.append(credit_row(1, "share_link", "share_link:2026-11:1", BEGAN, activity))
    assert written.found(causes.refusals_earn_nothing)


def test_points_that_were_active_early_are_found(written: Written) -> None:
    credit = written.tap(21)
    assert written.found(due.never_early) == []
    written.change(credit, active_at=credit.accepted_at)
    assert len(written.found(due.never_early)) == 1


def test_points_that_are_seen_active_early_are_found(written: Written) -> None:
    item = {"rule": "fuel", "state": "active", "due_at": "2026-11-21T09:04:00Z"}
    written.send("listCredits", answer={"items": [item]})
    assert len(written.found(due.never_early)) == 1
    item["due_at"] = "2026-11-21T09:00:00Z"
    assert written.found(due.never_early) == []


def test_points_that_stay_pending_are_found(written: Written) -> None:
    credit = written.tap(21)
    assert written.found(due.never_late) == []
    written.change(credit, state="pending", active_at=None)
    assert len(written.found(due.never_late)) == 1


def test_points_that_waited_for_a_sleeping_worker_are_found(written: Written) -> None:
    credit = written.tap(21)
    assert credit.due_at is not None
    written.change(credit, active_at=credit.due_at + timedelta(minutes=6))
    assert len(written.found(due.never_late)) == 1


def test_points_that_were_accepted_while_the_clock_was_advanced_come_with_its_end(written: Written) -> None:
    credit = written.tap(21)
    written.advance(BEGAN + timedelta(hours=5))
    written.change(credit, accepted_at=BEGAN + timedelta(seconds=3), active_at=BEGAN + timedelta(hours=5))
    assert written.found(due.never_late) == []


@pytest.mark.parametrize(("late", "is_found"), [(timedelta(minutes=4), False), (timedelta(minutes=6), True)])
def test_points_that_were_due_on_the_way_of_the_clock_come_with_its_end_at_the_latest(
    written: Written, late: timedelta, is_found: bool
) -> None:
    credit = written.tap(21)
    end = BEGAN + timedelta(hours=5)
    written.advance(end)
    written.change(credit, accepted_at=BEGAN - timedelta(minutes=1), active_at=end + late)
    assert bool(written.found(due.never_late)) is is_found


def test_the_length_of_a_streak_follows_from_the_days(written: Written) -> None:
    for day, streak in ((21, 1), (22, 2), (24, 1)):
        written.tap(day, streak=streak)
    assert written.found(streaks.streaks_are_folds) == []
    written.tap(25, streak=4)
    assert "4 days were answered" in written.found(streaks.streaks_are_folds)[0].text


def test_the_bonus_is_paid_on_each_third_day_and_no_other(written: Written) -> None:
    for day in (21, 22, 23):
        written.tap(day, streak=day - 20)
    assert "the bonus is due" in written.found(streaks.streaks_are_folds)[0].text
    written.books.credits.append(tap_credit(23, "fuel_streak", 99))
    assert written.found(streaks.streaks_are_folds) == []
    written.books.credits.append(tap_credit(22, "fuel_streak", 98))
    assert written.found(streaks.streaks_are_folds)


def test_a_home_screen_shows_the_run_until_a_day_is_missed(written: Written) -> None:
    written.tap(21)
    home = {"streak": {"days": 1}}
    written.send("getHome", "GET", "/v1/me", answer=home)
    assert written.found(streaks.streaks_are_folds) == []
    written.advance(BEGAN.replace(day=23))
    written.send("getHome", "GET", "/v1/me", answer=home)
    assert len(written.found(streaks.streaks_are_folds)) == 1


@pytest.mark.parametrize(
    ("status", "headers", "is_broken"),
    [(503, {"retry-after": "1"}, False), (503, {}, True), (500, {"retry-after": "1"}, True), (502, {}, True)],
)
def test_a_server_error_is_a_503_with_its_time(
    written: Written, status: int, headers: dict[str, str], is_broken: bool
) -> None:
    written.send("recordFuelTap", status=status, answer=PROBLEM, headers=headers)
    assert bool(list(statuses.no_server_errors(written.evidence().exchanges))) is is_broken


@pytest.mark.parametrize(
    ("status", "answer", "text"),
    [
        (404, PROBLEM | {"status": 404}, "404 is not documented"),
        (409, PROBLEM | {"code": "limit_reached"}, "limit_reached is not documented"),
        (409, {"code": "already_tapped"}, "without its fields"),
        (409, PROBLEM | {"status": 400}, "without its fields"),
    ],
)
def test_an_answer_that_the_contract_lacks_is_found(
    written: Written, status: int, answer: Any, text: str
) -> None:
    written.send("recordFuelTap", status=status, answer=answer)
    (broken,) = written.found(statuses.answers_are_documented)
    assert text in broken.text


def test_a_refusal_is_a_problem_document(written: Written) -> None:
    written.send("recordFuelTap", status=409, answer=PROBLEM, headers={"content-type": "application/json"})
    assert "no problem document" in written.found(statuses.answers_are_documented)[0].text
