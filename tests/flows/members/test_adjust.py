"""Operators' adjustments: once per reference, with a reason, and balanced."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from engage.domain.refusals import Refusal
from engage.flows.members.adjust import AdjustmentRequest, AdjustmentResult, adjust
from engage.flows.members.merge import merge_members
from engage.flows.reads.statement import read_credits
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import NOON, advance
from tests.support.database import rows
from tests.support.orders import (
    PROGRAM,
    balance,
    buy,
    join,
    line,
    returned,
    send_events,
    services_with_orders,
    spend,
)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Services whose audit must be clean after each test."""
    async with services_with_orders(settings) as opened:
        await join(opened)
        yield opened
        await assert_audit_is_clean(opened)


async def post_adjustment(
    services: Services,
    points: int,
    reference: str = "T-1",
    reason: str = "a wrong order",
    member_id: str = "m-1",
) -> AdjustmentResult:
    request = AdjustmentRequest(points=points, reason=reason, reference=reference)
    return await adjust(services, PROGRAM, member_id, request, operator="key-1")


async def test_given_points_are_active_at_once_and_expire_like_others(services: Services) -> None:
    given = await post_adjustment(services, 40)
    assert (given.entry.kind, given.entry.points, given.entry.balance_after) == ("adjustment", 40, 40)
    assert (given.balance.active, given.balance.pending) == (40, 0)
    (credit,) = await read_credits(services, PROGRAM, "m-1", state="active", before=None, limit=5)
    assert (credit.rule, credit.source_key) == ("adjustment", "adjustment:T-1")
    assert credit.expires_at == NOON.replace(year=NOON.year + 1)
    assert credit.why["trace"] == [["adjusted", {"reason": "a wrong order"}]]
    await spend(services, 30)
    assert await balance(services) == {"active": 10}
    who = await rows(services.db, "SELECT points, reason, operator FROM adjustments")
    assert who == [(40, "a wrong order", "key-1")]


async def test_the_oldest_points_are_taken(services: Services) -> None:
    await buy(services, line(paid=5000))
    advance(services, NOON.replace(month=12) - NOON)
    await buy(services, line(paid=3000), order_id="o-2")
    taken = await post_adjustment(services, -60)
    assert (taken.entry.points, taken.balance.active) == (-60, 20)
    left = await rows(services.db, "SELECT points, remaining FROM lots ORDER BY active_at")
    assert left == [(50, 0), (30, 20)]


async def test_an_adjustment_cannot_take_more_than_the_balance(services: Services) -> None:
    await post_adjustment(services, 10)
    with pytest.raises(Refusal) as refused:
        await post_adjustment(services, -11, "T-2")
    assert (refused.value.code, refused.value.facts) == ("insufficient_points", {"active": 10, "points": 11})
    assert await balance(services) == {"active": 10}
    assert len(await rows(services.db, "SELECT 1 FROM adjustments")) == 1


async def test_given_points_pay_a_debt_first(services: Services) -> None:
    await buy(services, line(paid=5000))
    await spend(services, 50)
    assert await send_events(services, returned(services)) == []
    assert await balance(services) == {"debt": 50}
    given = await post_adjustment(services, 60)
    assert (given.entry.points, given.balance.active, given.balance.debt) == (60, 10, 0)


@pytest.mark.parametrize("points", [5, -5])
async def test_a_reference_is_used_once(services: Services, points: int) -> None:
    await post_adjustment(services, 100, "T-0")
    first = await post_adjustment(services, points)
    assert await post_adjustment(services, points) == first
    for changed in [{"points": 6}, {"points": points, "reason": "another"}]:
        with pytest.raises(Refusal, match="reference_used"):
            await post_adjustment(services, **changed)  # type: ignore[arg-type]
    assert await balance(services) == {"active": 100 + points}
    await post_adjustment(services, points, "T-2")
    assert await balance(services) == {"active": 100 + 2 * points}


async def test_concurrent_requests_adjust_once(services: Services) -> None:
    await post_adjustment(services, 100, "T-0")
    given = await asyncio.gather(*(post_adjustment(services, 7) for _ in range(8)))
    taken = await asyncio.gather(*(post_adjustment(services, -3, "T-2") for _ in range(8)))
    assert len({result.entry.seq for result in given}) == len({result.entry.seq for result in taken}) == 1
    assert await balance(services) == {"active": 104}


async def test_a_reference_stays_used_after_a_merge(services: Services) -> None:
    await post_adjustment(services, 100)
    await join(services, "m-2")
    await merge_members(services, PROGRAM, "m-1", into="m-2", reason="one", operator="key-1")
    again = await post_adjustment(services, 100)
    assert (again.entry.points, again.balance.active) == (100, 100)
    assert await balance(services, "m-2") == {"active": 100}


async def test_an_unknown_member_is_not_adjusted(services: Services) -> None:
    with pytest.raises(Refusal, match="unknown_member"):
        await post_adjustment(services, 5, member_id="nobody")
