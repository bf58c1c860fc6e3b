"""A merge does not pay above a limit: what is pending in several accounts of one person is paid once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from engage.domain.activity import AnyActivity
from engage.domain.refusals import Refusal
from engage.flows.activities.record import record
from engage.flows.members.merge import merge_members
from engage.flows.reads.home import read_home
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from tests.support.activities import (
    PROGRAM,
    act,
    join,
    link,
    perform,
    review,
    services_with_activities,
    social,
    tap,
)
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, advance
from tests.support.database import rows


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Services of rules with further limits, whose audit must be clean after each test."""
    async with services_with_activities(settings, capped=True) as opened:
        yield opened
        await assert_audit_is_clean(opened)


async def merge(services: Services, member_id: str, into: str = "m-0") -> None:
    await merge_members(services, PROGRAM, member_id, into=into, reason="one person", operator="key-1")


async def accounts(services: Services, count: int) -> list[str]:
    """Register members whose points for registering are active."""
    for n in range(count):
        await join(services, f"m-{n}")
    await settle_due(services, now=advance(services, DAY))
    return [f"m-{n}" for n in range(count)]


async def earned(services: Services, member_id: str = "m-0") -> int:
    """Settle what is due, and return all points, with those that wait for the shop's word."""
    await settle_due(services, now=advance(services, 2 * DAY))
    ((points,),) = await rows(
        services.db, "SELECT active + pending FROM balances WHERE member_id = :m", m=member_id
    )
    assert isinstance(points, int)
    return points


async def paid(services: Services, rule: str, member_id: str = "m-0") -> int:
    """Count the credits of a rule that were paid, in this account or brought to it."""
    ((count,),) = await rows(
        services.db,
        "SELECT count(*)::int FROM credits WHERE member_id = :m AND state = 'active' AND (rule_id = :rule OR "
        "id IN (SELECT id FROM credits WHERE rule_id = :rule))",
        m=member_id,
        rule=rule,
    )
    assert isinstance(count, int)
    return count


async def test_ten_accounts_are_paid_for_registering_once(services: Services) -> None:
    for n in range(10):
        await join(services, f"m-{n}")
    for n in range(1, 10):
        await merge(services, f"m-{n}")
    assert await earned(services) == 50


async def test_points_that_are_active_stay_the_members(services: Services) -> None:
    for member_id in await accounts(services, 3):
        await perform(services, tap(), member_id)
    await settle_due(services, now=advance(services, DAY / 4))
    for n in (1, 2):
        await merge(services, f"m-{n}")
    assert await earned(services) == 3 * (50 + 2)


async def test_taps_of_one_day_are_paid_once(services: Services) -> None:
    members = await accounts(services, 6)
    for member_id in members[1:]:
        await perform(services, tap(), member_id)
    for member_id in members[1:]:
        await merge(services, member_id)
    # None of them was the survivor's own, and the day is used.
    with pytest.raises(Refusal, match="already_tapped"):
        await perform(services, tap(), "m-0")
    assert await earned(services) == 6 * 50 + 2


@pytest.mark.parametrize("tapping", [("m-2",), ("m-0", "m-2"), ("m-1", "m-2"), ("m-0", "m-1", "m-2")])
async def test_taps_of_one_day_are_paid_once_through_a_chain_of_mergers(
    services: Services, tapping: tuple[str, ...]
) -> None:
    await accounts(services, 4)
    for member_id in (*tapping, "m-3"):
        await perform(services, tap(), member_id)
    for n in (3, 2, 1):
        await merge(services, f"m-{n}", into=f"m-{n - 1}")
    assert await earned(services) == 4 * 50 + 2


async def test_the_survivors_streak_goes_on_with_the_day_of_the_other_account(services: Services) -> None:
    await accounts(services, 2)
    await perform(services, tap(), "m-0")
    advance(services, DAY)
    await perform(services, tap(), "m-1")
    await merge(services, "m-1")
    advance(services, DAY)
    recorded = await perform(services, tap(), "m-0")
    assert recorded.streak is not None
    assert recorded.streak.days == 3


@pytest.mark.parametrize(("capped", "most"), [(False, 3), (True, 2)])
async def test_the_slots_of_a_window_are_filled_and_no_more(
    settings: Settings, capped: bool, most: int
) -> None:
    """Of three shares a month, or two a day, two accounts have recorded two each."""
    async with services_with_activities(settings, capped=capped) as services:
        await accounts(services, 2)
        for member_id in ("m-0", "m-1"):
            for n in range(2):
                await perform(services, social(f"{member_id}-{n}"), member_id)
        await merge(services, "m-1")
        home = await read_home(services, PROGRAM, "m-0")
        assert {limit.rule: limit.remaining for limit in home.limits}["share_social"] == 0
        await record(services, [act(services, social("more"), "m-0")])
        await earned(services)
        assert await paid(services, "share_social") == most
        await assert_audit_is_clean(services)


async def test_ten_accounts_are_paid_for_the_slots_of_one(services: Services) -> None:
    members = await accounts(services, 10)
    activities: list[AnyActivity] = [
        link(),
        link(),
        social(),
        social(),
        review("p-1", "r-1"),
        review("p-2", "r-2"),
    ]
    for member_id in members:
        await record(services, [act(services, activity, member_id) for activity in activities])
    one = await one_account(services, activities)
    for member_id in members[1:]:
        await merge(services, member_id)
    assert await earned(services) - 10 * 50 <= one


async def one_account(services: Services, activities: list[AnyActivity]) -> int:
    """Return the most that one account can have pending in the same windows."""
    await join(services, "alone")
    more = [*activities, link(), social(), social(), link(), review("p-3", "r-3"), review("p-4", "r-4")]
    await record(services, [act(services, activity, "alone") for activity in more])
    ((pending,),) = await rows(services.db, "SELECT pending - 50 FROM balances WHERE member_id = 'alone'")
    assert isinstance(pending, int)
    return pending


async def test_reviews_of_different_products_fill_the_days_limit(services: Services) -> None:
    await accounts(services, 3)
    for n in range(3):
        await perform(services, review(f"p-{n}", f"r-{n}"), f"m-{n}")
    for n in (1, 2):
        await merge(services, f"m-{n}")
    # Two a day.
    assert await earned(services) == 3 * 50 + 2 * 20


async def test_an_activity_told_of_both_accounts_is_one(services: Services) -> None:
    await accounts(services, 2)
    for member_id in ("m-0", "m-1"):
        await perform(services, social("s-1"), member_id)
    await merge(services, "m-1")
    assert await earned(services) == 2 * 50 + 5 + 1


async def test_activities_during_mergers_are_not_paid_above_the_limits(
    settings: Settings, services: Services
) -> None:
    members = await accounts(services, 4)
    async with open_services(settings, services.clock) as other:
        await other.programs.refresh(other.db)

        async def share(member_id: str) -> None:
            for _ in range(6):
                await record(other, [act(other, social(), member_id), act(other, tap(), member_id)])

        await asyncio.gather(*(share(member_id) for member_id in members), merge_all(services, members))
    await earned(services)
    assert await paid(services, "share_social") <= 3
    assert await paid(services, "fuel") == 1


async def merge_all(services: Services, members: list[str]) -> None:
    for member_id in members[1:]:
        await merge(services, member_id)
