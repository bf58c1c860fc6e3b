"""Steps are paid exactly once: by workers at once, with mergers in between, and in accounts that are full."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from engage.flows.members.merge import merge_members
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.challenges import (
    coupons,
    define,
    paid_steps,
    progress,
    react,
    tap,
    write_reviews,
)
from tests.support.clock import DAY, FIVE_MINUTES, advance
from tests.support.database import rows
from tests.support.orders import PROGRAM, balance, join, review_removed, send_events, spend
from tests.support.programs import services_with

# Members who all do the same at once.
MANY = [f"m-{n}" for n in range(1, 21)]


@pytest.fixture
async def other(settings: Settings, services: Services) -> AsyncIterator[Services]:
    """A second process with the same servers and clock, and separate caches."""
    async with services_with(settings, clock=services.clock) as opened:
        yield opened


async def merge(services: Services, member_id: str = "m-1", into: str = "m-2") -> None:
    await merge_members(services, PROGRAM, member_id, into=into, reason="one person", operator="key-1")


async def test_workers_at_once_pay_each_step_once(services: Services, other: Services) -> None:
    await define(services, steps=[{"at": 1, "points": 10, "reward": "five_off"}, {"at": 2, "points": 30}])
    await other.definitions.refresh(other.db)
    await other.programs.refresh(other.db)
    for member_id in MANY[1:]:
        await join(services, member_id)

    async def live(member_id: str, process: Services) -> None:
        for n in (1, 2):
            await write_reviews(process, f"{member_id}-{n}", member_id=member_id)
            await react(process)

    await asyncio.gather(*(live(name, (services, other)[n % 2]) for n, name in enumerate(MANY)))
    await asyncio.gather(*(react(process) for process in (services, other) * 5))
    for member_id in MANY:
        assert [key for key, _, _ in await paid_steps(services, member_id)] == [
            "challenge:critic:ever:1:1",
            "challenge:critic:ever:2:1",
        ]
    issued = await rows(services.db, "SELECT count(*) FROM coupons UNION ALL SELECT issued FROM reward_stock")
    assert issued == [(2,), (2,)]


async def test_causes_that_come_and_go_at_once_end_in_what_the_facts_say(
    services: Services, other: Services
) -> None:
    await define(services, steps=[{"at": 2, "points": 10}])
    await other.definitions.refresh(other.db)
    await write_reviews(services, "r-1")

    async def come_and_go(n: int) -> None:
        process = (services, other)[n % 2]
        await write_reviews(process, f"more-{n}")
        await react(process)
        assert await send_events(process, review_removed(process, f"more-{n}")) == []
        await react(process)

    await asyncio.gather(*(come_and_go(n) for n in range(10)))
    await react(services)
    paid = await paid_steps(services)
    assert all(state == "reversed" for _, state, _ in paid)
    numbers = sorted(int(key.rpartition(":")[2]) for key, _, _ in paid)
    assert numbers == list(range(1, len(paid) + 1))
    assert await balance(services) == {"pending": 20}


async def test_a_survivor_has_the_facts_of_both(services: Services) -> None:
    await join(services, "m-2")
    await define(services)
    await write_reviews(services, "r-1")
    await write_reviews(services, "r-2", member_id="m-2")
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    await write_reviews(services, "r-3")
    await react(services)
    assert await paid_steps(services, "m-1") == [("challenge:critic:ever:2:1", "pending", 10)]
    await merge(services)
    assert await progress(services, "m-2") == {"critic": 3}
    await react(services)
    assert await paid_steps(services, "m-2") == [
        ("challenge:critic:ever:2:1", "pending", 10),
        ("challenge:critic:ever:3:1", "pending", 30),
    ]
    assert await send_events(services, review_removed(services, "r-1")) == []
    await react(services)
    assert await progress(services, "m-2") == {"critic": 2}
    assert [state for _, state, _ in await paid_steps(services, "m-2")] == ["pending", "reversed"]


@pytest.mark.parametrize("active", [False, True])
async def test_what_both_were_paid_is_paid_once_unless_it_was_active(
    services: Services, active: bool
) -> None:
    await join(services, "m-2")
    await define(services, steps=[{"at": 1, "points": 10}])
    await write_reviews(services, "r-1")
    await write_reviews(services, "r-2", member_id="m-2")
    await react(services)
    if active:
        await settle_due(services, now=advance(services, FIVE_MINUTES))
    await merge(services)
    await react(services)
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    assert await balance(services, "m-2") == {"active": 60 if active else 50}
    for review_id in ("r-1", "r-2"):
        assert await send_events(services, review_removed(services, review_id)) == []
    await react(services)
    assert await balance(services, "m-2") == {}
    await write_reviews(services, "r-3", member_id="m-2")
    await react(services)
    assert ("challenge:critic:ever:1:2", "pending", 10) in await paid_steps(services, "m-2")


async def test_a_survivor_keeps_one_gift_of_a_step(services: Services) -> None:
    await join(services, "m-2")
    await define(services, steps=[{"at": 1, "reward": "five_off"}])
    await write_reviews(services, "r-1")
    await write_reviews(services, "r-2", member_id="m-2")
    await react(services)
    await merge(services)
    await react(services)
    assert await coupons(services, "m-2") == ["issued", "issued"], "both had them"
    assert await rows(services.db, "SELECT member_id FROM challenge_gifts") == [("m-2",)]


async def test_spent_points_of_a_merged_member_still_count(services: Services) -> None:
    """Points that were earned and are gone have no row in the survivor's account."""
    await join(services, "m-2")
    await define(services, goal={"kind": "count", "activity": "fuel_tap"}, steps=[{"at": 2, "points": 10}])
    await tap(services)
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    await spend(services, 2, "o-1")
    await merge(services)
    advance(services, DAY)
    await tap(services, member_id="m-2")
    await react(services)
    assert await progress(services, "m-2") == {"critic": 2}


async def test_a_process_that_does_not_know_the_challenge_yet_learns_it(
    services: Services, other: Services
) -> None:
    """The one that noted the change knew it: the note may not be lost on another one."""
    await define(services, steps=[{"at": 1, "points": 10}])
    await write_reviews(services, "r-1")
    assert other.definitions.reacting_programs() == frozenset()
    await react(other)
    assert [key for key, _, _ in await paid_steps(services)] == ["challenge:critic:ever:1:1"]
