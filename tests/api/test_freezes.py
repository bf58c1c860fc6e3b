"""Streaks that forgive, over HTTP: the home screen's streak, buying freezes, and every refusal of it."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from engage.flows.programs.publish import publish
from engage.flows.scheduled.settle import settle_due
from engage.settings import Settings
from tests.api.calling import Caller, Calling, calling, problem
from tests.support.clock import DAY, NOON, StoppedClock
from tests.support.streaks import FORGIVING, PROGRAM

FREEZES = "/v1/streak/freezes"


@pytest.fixture
async def running(installed: Settings) -> AsyncIterator[Calling]:
    async with calling(installed, StoppedClock(NOON)) as opened:
        await publish(
            opened.services.db, FORGIVING, source="runs", operator="test", clock=opened.services.clock
        )
        await opened.services.programs.refresh(opened.services.db)
        yield opened


async def joined(running: Calling, *, points: bool = True) -> Caller:
    member = running.member_of(PROGRAM, (await running.joined(program=PROGRAM)).member_id)
    if points:
        await settle_due(running.services, now=running.services.clock.now())
    return member


def wait(running: Calling, by: timedelta) -> None:
    assert isinstance(running.services.clock, StoppedClock)
    running.services.clock.advance(by)


async def test_a_new_member_has_the_first_freezes_and_an_offer(running: Calling) -> None:
    streak = (await (await joined(running)).get("/v1/me")).json()["streak"]
    assert streak == {
        "days": 0,
        "next_tap_at": "2026-11-20T23:00:00Z",
        "next_bonus_in": 3,
        "freezes": 1,
        "best": 0,
        "frozen_days": [],
        "lost": None,
        "offer": {"points": 5, "max": 2, "is_full": False},
    }


async def test_a_missed_day_is_frozen_and_a_second_one_ends_the_run(running: Calling) -> None:
    member = await joined(running)
    tapped = (await member.post("/v1/fuel/taps")).json()["streak"]
    assert (tapped["days"], tapped["freezes"], tapped["best"]) == (1, 1, 1)
    wait(running, 2 * DAY)
    streak = (await member.get("/v1/me")).json()["streak"]
    assert (streak["days"], streak["freezes"], streak["frozen_days"]) == (1, 0, ["2026-11-22"])
    wait(running, DAY)
    streak = (await member.get("/v1/me")).json()["streak"]
    assert (streak["days"], streak["frozen_days"]) == (0, [])
    assert streak["lost"] == {"days": 1, "on": "2026-11-23"}
    assert (await member.post("/v1/fuel/taps")).json()["streak"]["days"] == 1
    assert (await member.get("/v1/me")).json()["streak"]["lost"] is None


async def test_a_freeze_is_bought_once_under_a_key(running: Calling) -> None:
    member = await joined(running)
    first = await member.post(FREEZES, idempotency_key="k-1")
    assert (first.status_code, first.json()) == (201, {"freezes": 2, "points": 5})
    again = await member.post(FREEZES, idempotency_key="k-1")
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    me = (await member.get("/v1/me")).json()
    assert (me["balance"]["active"], me["streak"]["freezes"]) == (95, 2)
    assert me["streak"]["offer"]["is_full"] is True
    (entry,) = (await member.get("/v1/me/entries?limit=1")).json()["items"]
    assert (entry["kind"], entry["points"]) == ("redemption", -5)


async def test_a_full_stock_an_empty_account_and_a_program_without_freezes_are_refused(
    running: Calling,
) -> None:
    member = await joined(running)
    await member.post(FREEZES)
    assert problem(await member.post(FREEZES), 409, "freezes_full")["limit"] == 2
    poor = problem(await (await joined(running, points=False)).post(FREEZES), 409, "insufficient_points")
    assert (poor["active"], poor["points"]) == (0, 5)
    plain = await running.joined()  # Of a program whose streak does not forgive.
    problem(await plain.post(FREEZES), 404, "not_offered")


async def test_a_purchase_has_no_body_and_needs_a_member(running: Calling) -> None:
    problem(await (await joined(running)).post(FREEZES, {"count": 2}), 400, "invalid_request")
    problem(await running.nobody.post(FREEZES), 401, "unauthorized")
    problem(await running.shop.post(FREEZES), 401, "unauthorized")


async def test_a_night_tap_counts_for_yesterday_and_leaves_today_open(running: Calling) -> None:
    member = await joined(running)
    await member.post("/v1/fuel/taps")
    wait(running, timedelta(days=1, hours=13))  # 02:00 of the 23rd in Madrid.
    first = (await member.post("/v1/fuel/taps")).json()["streak"]
    assert (first["days"], first["next_tap_at"]) == (2, "2026-11-22T23:00:00Z")
    wait(running, timedelta(seconds=1))
    assert (await member.post("/v1/fuel/taps")).json()["streak"]["days"] == 3
    refused = problem(await member.post("/v1/fuel/taps"), 409, "already_tapped")
    assert refused["next_tap_at"] == "2026-11-23T23:00:00Z"
