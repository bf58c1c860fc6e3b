"""Campaigns grant what their budgets have, and get back what members give back."""

import asyncio
from typing import Any

from engage.domain.activity import FuelTap
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.campaigns.budgets import fold_returns
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.campaigns.budgets import read_left
from tests.support.campaigns import approve, boost, document
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.tiers import PROGRAM, delivered, join, paid, returned, send, tap

MEMBERS = 12


def budgeted(rule: str = "fuel", **budget: Any) -> dict[str, Any]:
    return document(boosts=[boost(rule, multiply=2)], budget=budget)


async def left_of(services: Services) -> tuple[int | None, int | None]:
    async with transaction(services.db) as conn:
        left = (await read_left(conn, [(PROGRAM, "double")]))[PROGRAM, "double"]
    return left.points, left.count


async def granted(services: Services) -> list[int]:
    found = await rows(
        services.db,
        "SELECT points - taken_back FROM credits WHERE campaign = 'double' AND state <> 'reversed'"
        " ORDER BY id",
    )
    return [int(str(points)) for (points,) in found]


async def tap_all(services: Services, other: Services) -> None:
    """Let all members tap at once, half of them in another process."""
    names = [f"n-{n}" for n in range(MEMBERS)]

    async def tap_each(opened: Services, members: list[str]) -> list[Any]:
        taps = [MemberActivity(PROGRAM, member, FuelTap(), services.clock.now()) for member in members]
        return await record(opened, taps)

    answers = await asyncio.gather(
        *(tap_each(services if n % 2 else other, names[n : n + 3]) for n in range(0, MEMBERS, 3))
    )
    assert all(isinstance(answer, RecordedActivity) for batch in answers for answer in batch)


async def test_taps_in_two_processes_grant_the_budget_and_no_more(
    services: Services, other: Services
) -> None:
    for n in range(MEMBERS):
        await join(services, f"n-{n}")
    await approve(services, budgeted(points=20))
    await other.campaigns.refresh(other.db)
    await tap_all(services, other)
    assert sum(await granted(services)) == 20
    assert sorted(await granted(services)) == [2, 3, 3, 3, 3, 3, 3]
    assert await left_of(services) == (0, None)


async def test_as_many_credits_as_the_budget_has(services: Services, other: Services) -> None:
    for n in range(MEMBERS):
        await join(services, f"n-{n}")
    await approve(services, budgeted(count=5))
    await other.campaigns.refresh(other.db)
    await tap_all(services, other)
    assert await granted(services) == [3] * 5
    assert await left_of(services) == (None, 0)


async def test_a_tap_that_is_told_again_takes_nothing_more(services: Services) -> None:
    await approve(services, budgeted(points=20))
    activity = MemberActivity(PROGRAM, "m-1", FuelTap(), services.clock.now())
    await asyncio.gather(*(record(services, [activity]) for _ in range(8)))
    await fold_returns(services, now=services.clock.now(), on_time=False)
    assert await granted(services) == [3]
    assert await left_of(services) == (17, None)


async def test_a_member_gets_no_more_than_the_limit_of_members(services: Services) -> None:
    await approve(services, budgeted(points_per_member=7))
    for _ in range(4):
        await tap(services)
        advance(services, DAY)
    assert await granted(services) == [3, 3, 1]


async def test_what_is_returned_can_be_granted_to_others(services: Services) -> None:
    await approve(services, budgeted("purchase", points=150))
    await send(services, paid(services, "o-1", 60_00, 40_00))
    assert await left_of(services) == (50, None)
    await send(services, paid(services, "o-2", 80_00, member_id="m-2"))
    assert await granted(services) == [100, 50]
    await send(services, delivered(services, "o-1"))
    await send(services, returned(services, "o-1", "0"))
    await fold_returns(services, now=services.clock.now(), on_time=False)
    assert await granted(services) == [40, 50]
    assert await left_of(services) == (60, None)
    await send(services, paid(services, "o-3", 90_00, member_id="m-2"))
    assert await granted(services) == [40, 50, 60]
    assert await left_of(services) == (0, None)


async def test_what_comes_back_makes_up_for_a_limit_that_was_lowered_first(services: Services) -> None:
    await approve(services, budgeted("purchase", points=150, count=3))
    await send(services, paid(services, "o-1", 60_00, 20_00, 20_00))
    lower = budgeted("purchase", points=70, count=1)
    await approve(services, lower, version=2, at=advance(services, DAY))
    advance(services, DAY)
    assert await left_of(services) == (0, 0)
    await send(services, returned(services, "o-1", "1"))
    await fold_returns(services, now=services.clock.now(), on_time=False)
    assert await left_of(services) == (0, 0)
    await send(services, returned(services, "o-1", "2"))
    await fold_returns(services, now=services.clock.now(), on_time=False)
    assert await left_of(services) == (10, 0)
    await send(services, returned(services, "o-1", "0"))
    await fold_returns(services, now=services.clock.now(), on_time=False)
    assert await left_of(services) == (70, 1)
    await send(services, paid(services, "o-2", 80_00, member_id="m-2"))
    assert await granted(services) == [70]
    assert await left_of(services) == (0, 0)
