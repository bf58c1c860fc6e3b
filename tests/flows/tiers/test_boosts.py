"""Levels multiply points: a credit of its own beside the base, at the level before the activity."""

import asyncio
from datetime import timedelta

from engage.domain.activity import FuelTap
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from tests.support.clock import DAY, FIVE_MINUTES, advance
from tests.support.database import rows
from tests.support.tiers import (
    PROGRAM,
    delivered,
    level,
    paid,
    returned,
    review,
    send,
    shown,
    stored_credits,
    tap,
)


async def balance(services: Services) -> tuple[int, int, int]:
    (found,) = await rows(services.db, "SELECT active, pending, debt FROM balances WHERE member_id = 'm-1'")
    return int(str(found[0])), int(str(found[1])), int(str(found[2]))


async def test_the_order_that_lifts_a_member_is_paid_at_the_level_before_it(services: Services) -> None:
    await send(services, paid(services, "o-1", 100_00), paid(services, "o-2", 99_99))
    found = await stored_credits(services)
    assert found["order:o-1:purchase"][:2] == ("pending", 100)
    assert "order:o-1:purchase+tier:spend" not in found
    # Half of 99, rounded down once.
    assert found["order:o-2:purchase+tier:spend"] == ("pending", 49, 0, "points", "tier:silver")
    assert await balance(services) == (0, 248, 0)


async def test_orders_of_one_request_are_taken_in_the_order_of_their_times(services: Services) -> None:
    earlier = services.clock.now() - timedelta(minutes=1)
    await send(services, paid(services, "o-2", 100_00), paid(services, "o-1", 300_00, at=earlier))
    found = await stored_credits(services)
    assert "order:o-1:purchase+tier:spend" not in found
    assert found["order:o-2:purchase+tier:spend"][1] == 100


async def test_a_late_order_is_paid_at_the_level_of_its_time(services: Services) -> None:
    before = services.clock.now() - timedelta(days=2)
    await send(services, paid(services, "o-1", 300_00, at=before - FIVE_MINUTES))
    await send(services, paid(services, "o-2", 300_00))
    # Older than any of them: nobody had bought anything then.
    await send(services, paid(services, "o-3", 100_00, at=before - DAY))
    found = await stored_credits(services)
    assert "order:o-3:purchase+tier:spend" not in found


async def test_every_credit_of_a_tap_in_points_is_boosted(services: Services) -> None:
    await send(services, paid(services, "o-1", 300_00))
    assert shown(await tap(services)) == [
        ("fuel", 3, "points", None),
        ("fuel", 3, "points", "tier:gold"),
    ]
    advance(services, DAY)
    assert shown(await tap(services)) == [
        ("fuel", 3, "points", None),
        ("fuel", 3, "points", "tier:gold"),
        ("fuel_bonus", 10, "points", None),
        ("fuel_bonus", 10, "points", "tier:gold"),
    ]
    advance(services, DAY)
    # The days go on: a boost is no day of the streak.
    assert [c.rule for c in await tap(services) if c.boost is None] == ["fuel"]
    await settle_due(services, now=services.clock.now() + FIVE_MINUTES)
    assert (await balance(services))[0] == 3 * 6 + 20


async def test_status_is_not_boosted_and_in_no_balance(services: Services) -> None:
    await send(services, paid(services, "o-1", 300_00))
    assert shown(await review(services, "r-1")) == [
        ("review", 20, "points", None),
        ("review", 20, "points", "tier:gold"),
        ("review_status", 5, "status", None),
    ]
    assert await balance(services) == (0, 340, 0)


async def test_a_boost_is_due_with_its_order_and_taken_back_in_proportion(services: Services) -> None:
    await send(services, paid(services, "o-1", 300_00))
    await send(services, paid(services, "o-2", 10_00, 20_00, 3_00))
    key = "order:o-2:purchase+tier:spend"
    assert (await stored_credits(services))[key][:2] == ("pending", 33)
    await send(services, returned(services, "o-2", "2"))
    assert (await stored_credits(services))[key][:2] == ("pending", 30)
    await send(services, delivered(services, "o-2"))
    await settle_due(services, now=services.clock.now())
    assert await balance(services) == (60, 300, 0)
    await send(services, returned(services, "o-2", "0"))
    assert await balance(services) == (40, 300, 0)
    await send(services, returned(services, "o-2", "1"))
    assert await balance(services) == (0, 300, 0)
    assert (await stored_credits(services))[key][0] == "reversed"


async def test_what_boosted_an_order_stays_although_the_level_is_lost(services: Services) -> None:
    await send(services, paid(services, "o-1", 300_00))
    await send(services, paid(services, "o-2", 10_00, 10_00))
    await send(services, returned(services, "o-1"))
    advance(services, timedelta(days=100))
    assert await level(services) == "blue"
    await send(services, returned(services, "o-2", "0"))
    await send(services, delivered(services, "o-2"))
    await settle_due(services, now=services.clock.now())
    assert (await balance(services))[0] == 20


async def test_a_repeat_adds_nothing(services: Services, other: Services) -> None:
    await send(services, paid(services, "o-1", 300_00))
    events = [paid(services, "o-2", 50_00) for _ in range(2)]
    await asyncio.gather(send(services, events[0]), send(other, events[1]))
    await send(other, events[0])
    found = await stored_credits(services)
    assert [key for key in found if key.startswith("order:o-2")] == [
        "order:o-2:purchase",
        "order:o-2:purchase+tier:spend",
    ]


async def test_twenty_taps_at_once_are_boosted_once(services: Services, other: Services) -> None:
    await send(services, paid(services, "o-1", 300_00))
    named = MemberActivity(PROGRAM, "m-1", FuelTap(), services.clock.now())
    await asyncio.gather(*(record(process, [named]) for _ in range(10) for process in (services, other)))
    found = await stored_credits(services)
    assert sorted(key for key in found if key.startswith("fuel")) == [
        "fuel:2026-11-21",
        "fuel:2026-11-21+tier:spend",
    ]
