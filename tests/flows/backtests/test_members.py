"""Members who were merged or erased in a backtest: each activity counts once, where it was decided."""

from datetime import timedelta
from typing import Any

from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from tests.support.backtests import backtest
from tests.support.campaigns import approve, boost, document
from tests.support.clock import DAY, advance
from tests.support.tiers import PROGRAM, join, paid, returned, send, tap


def double(*rules: str, **fields: Any) -> dict[str, Any]:
    return document(boosts=[boost(*rules, multiply=2)], **fields)


async def merge(services: Services, member: str, into: str) -> None:
    await merge_members(services, PROGRAM, member, into=into, reason="one person", operator="test")


async def test_what_merged_members_did_counts_once(services: Services) -> None:
    await approve(services, double("fuel"))
    await tap(services)
    advance(services, DAY)
    await tap(services, "m-2")
    # One is active and one is pending when they are merged.
    await settle_due(services, now=services.clock.now() - timedelta(hours=1))
    before = await backtest(services, double("fuel"))
    await merge(services, "m-2", "m-1")
    after = await backtest(services, double("fuel"))
    assert (after.activities, after.granted_points, after.difference_points) == (2, 12, 0)
    assert after == before


async def test_a_gain_of_a_merged_member_is_less_what_was_taken_back_of_the_survivor(
    services: Services,
) -> None:
    await send(services, paid(services, "o-1", 10_00, 10_00))
    await merge(services, "m-1", "m-2")
    await send(services, returned(services, "o-1", "1", member_id="m-2"))
    found = await backtest(services, double("purchase"))
    assert (found.difference_points, found.grantable_points) == (20, 10)
    await send(services, returned(services, "o-1", "0", member_id="m-2"))
    found = await backtest(services, double("purchase"))
    assert (found.difference_points, found.grantable_points) == (20, 0)


async def test_erased_members_are_left_out(services: Services) -> None:
    await approve(services, double("fuel"))
    await join(services, "m-3")
    for number in (1, 2, 3):
        await tap(services, f"m-{number}")
    await merge(services, "m-3", "m-2")
    await erase_member(services, PROGRAM, "m-2", operator="test")
    found = await backtest(services, document(boosts=[boost("fuel", add=1)]))
    assert (found.activities, found.granted_points, found.would_points) == (1, 6, 4)
    assert [each.member_id for each in found.most_affected] == ["m-1"]
