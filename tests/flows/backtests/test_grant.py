"""A grant gives members what a past window would have paid: once, after an approval, within the budget."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from engage.domain.campaigns.audience import share_of
from engage.domain.identity import Operator
from engage.domain.refusals import Code, Refusal
from engage.flows.backtests import give
from engage.flows.backtests.clean import KEPT, clean_backtests
from engage.flows.backtests.give import give_some
from engage.flows.backtests.grant import grant_backtest
from engage.flows.backtests.start import BacktestView, show_backtest
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.runtime.database import transaction
from engage.runtime.services import Services
from tests.support.backtests import done, start, work
from tests.support.campaigns import approve, boost, document, operator
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.eventually import WITHIN_S
from tests.support.tiers import PROGRAM, join, paid, returned, send, tap

WAITING = """
SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


def double(**fields: Any) -> dict[str, Any]:
    return document(boosts=[boost("fuel", "purchase", multiply=2)], **fields)


async def tried(services: Services, draft: dict[str, Any], **window: Any) -> UUID:
    """A backtest that is done."""
    id_ = await start(services, draft, **window)
    await done(services, id_)
    return id_


async def granted(services: Services, id_: UUID) -> BacktestView:
    await grant_backtest(services, id_, operator=operator("finance"))
    await work(services)
    return await show_backtest(services, id_)


async def adjusted(services: Services) -> list[tuple[object, ...]]:
    """(member, points, campaign, state) of what grants gave."""
    return await rows(
        services.db,
        "SELECT member_id, points, campaign, state FROM credits WHERE rule_id = 'adjustment' ORDER BY 1, 2",
    )


async def test_members_get_what_they_would_have_gained_once(services: Services) -> None:
    await tap(services)
    await send(services, paid(services, "o-1", 7_00, member_id="m-2"))
    advance(services, DAY)
    id_ = await tried(services, double())
    await approve(services, double())
    shown = await granted(services, id_)
    assert shown.grant is not None
    assert (shown.grant.done, shown.grant.members, shown.grant.points) == (True, 2, 10)
    expected = [("m-1", 3, "double", "active"), ("m-2", 7, "double", "active")]
    assert await adjusted(services) == expected
    assert await rows(services.db, "SELECT active FROM balances ORDER BY member_id") == [(3,), (7,)]
    assert await granted(services, id_) == shown
    assert await adjusted(services) == expected


async def test_what_was_taken_back_before_is_not_granted(services: Services) -> None:
    await send(services, paid(services, "o-1", 7_00, 5_00), paid(services, "o-2", 9_00))
    await send(services, returned(services, "o-1", "1"), returned(services, "o-2"))
    id_ = await tried(services, double())
    await approve(services, double())
    await granted(services, id_)
    assert await adjusted(services) == [("m-1", 7, "double", "active")]


async def test_a_grant_needs_an_approval_of_the_very_document(services: Services) -> None:
    await tap(services)
    id_ = await tried(services, double())
    for approved in ({}, {"boosts": [boost("fuel", multiply=3)]}):
        if approved:
            await approve(services, double() | approved)
        with pytest.raises(Refusal) as refused:
            await grant_backtest(services, id_, operator=operator("finance"))
        assert refused.value.code == Code.NOT_APPROVED
    await approve(services, double(), version=2)
    assert (await granted(services, id_)).grant is not None


async def test_only_a_backtest_that_is_done_is_granted(services: Services) -> None:
    await approve(services, double())
    id_ = await start(services, double())
    with pytest.raises(Refusal) as refused:
        await grant_backtest(services, id_, operator=operator("finance"))
    assert (refused.value.code, refused.value.facts) == (Code.WRONG_STATE, {"state": "running"})
    await work(services)


async def test_a_time_is_granted_once_for_a_campaign(services: Services, other: Services) -> None:
    await tap(services)
    first, second = await tried(services, double()), await tried(services, double())
    await approve(services, double())
    answers = await asyncio.gather(
        grant_backtest(services, first, operator=operator("finance")),
        grant_backtest(other, second, operator=operator("finance")),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, Refusal)]
    assert [each.code for each in refused] == [Code.GRANTED_ALREADY]
    await work(services)
    assert await adjusted(services) == [("m-1", 3, "double", "active")]
    later = advance(services, DAY)
    await tap(services, "m-2")
    assert (await granted(services, await tried(services, double(), begin=later))).grant is not None


async def test_a_grant_stays_within_the_budget_of_the_campaign(services: Services) -> None:
    for number in range(3, 8):
        await join(services, f"m-{number}")
        await tap(services, f"m-{number}")
    limited = double(budget={"points": 8})
    id_ = await tried(services, limited)
    await approve(services, limited)
    # Meanwhile the campaign has paid three of its eight points.
    await tap(services, "m-1")
    shown = await granted(services, id_)
    assert shown.grant is not None
    assert (shown.grant.done, shown.grant.points) == (True, 5)


async def test_an_account_without_room_gets_nothing_and_costs_no_budget(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tap(services)
    limited = double(budget={"points": 8})
    id_ = await tried(services, limited)
    await approve(services, limited)
    monkeypatch.setattr(give, "MOST_BALANCE", 5)
    shown = await granted(services, id_)
    assert shown.grant is not None
    assert (shown.grant.done, shown.grant.members, shown.grant.points) == (True, 0, 0)
    left = "SELECT sum(points_left) FROM campaign_budget_slices"
    returned = "SELECT sum(points) FROM campaign_budget_returns"
    assert (await rows(services.db, left), await rows(services.db, returned)) == ([(5,)], [(3,)])


async def test_the_holdout_gains_nothing(services: Services) -> None:
    some = double(holdout_percent=30)
    for number in range(3, 9):
        await join(services, f"m-{number}")
    for number in range(1, 9):
        await tap(services, f"m-{number}")
    id_ = await tried(services, some)
    await approve(services, some)
    await granted(services, id_)
    gaining = [n for n in range(1, 9) if share_of(f"m-{n}", PROGRAM, "double", "holdout") >= 30]
    assert 0 < len(gaining) < 8
    assert await adjusted(services) == [(f"m-{n}", 3, "double", "active") for n in gaining]


async def test_nobody_grants_alone(services: Services) -> None:
    await tap(services)
    id_ = await tried(services, double())
    await approve(services, double())
    # This operator has started the backtest, and approved the document.
    with pytest.raises(Refusal) as refused:
        await grant_backtest(services, id_, operator=Operator("another key", "marketing"))
    assert refused.value.code == Code.FOUR_EYES
    await grant_backtest(services, id_, operator=operator("finance"))
    await work(services)


async def test_what_was_granted_is_never_granted_again_however_old(services: Services) -> None:
    await tap(services)
    first, second = await tried(services, double()), await tried(services, double())
    await approve(services, double())
    await granted(services, first)
    advance(services, KEPT + DAY)
    with pytest.raises(Refusal) as refused:
        await grant_backtest(services, second, operator=operator("finance"))
    assert refused.value.code == Code.NOT_FOUND
    await clean_backtests(services, now=services.clock.now())
    kept = await show_backtest(services, first)
    assert kept.grant is not None
    assert (kept.grant.members, kept.grant.points) == (1, 3)
    third = await start(services, double(), begin=kept.from_, until=kept.until)
    await done(services, third)
    with pytest.raises(Refusal) as refused:
        await grant_backtest(services, third, operator=operator("finance"))
    assert refused.value.code == Code.GRANTED_ALREADY


async def test_gains_of_merged_members_go_to_the_survivor_and_those_of_erased_ones_to_nobody(
    services: Services, other: Services
) -> None:
    await join(services, "m-3")
    for number in (1, 2, 3):
        advance(services, timedelta(minutes=1))
        await tap(services, f"m-{number}")
    id_ = await tried(services, double())
    await approve(services, double())
    # The process that gives does not know of it yet.
    await merge_members(other, PROGRAM, "m-2", into="m-1", reason="one person", operator="test")
    await erase_member(other, PROGRAM, "m-3", operator="test")
    await granted(services, id_)
    assert await adjusted(services) == 2 * [("m-1", 3, "double", "active")]


async def test_two_workers_and_one_that_dies_give_each_gain_once(
    services: Services, other: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(give, "MEMBERS_PER_BATCH", 2)
    for number in range(3, 11):
        await join(services, f"m-{number}")
    for number in range(1, 11):
        await tap(services, f"m-{number}")
    id_ = await tried(services, double())
    await approve(services, double())
    await grant_backtest(services, id_, operator=operator("finance"))
    async with transaction(other.db) as conn:
        # The worker waits with a batch, and dies.
        await conn.execute(text("LOCK TABLE stored_entries IN EXCLUSIVE MODE"))
        dying = asyncio.create_task(give_some(services))
        async with asyncio.timeout(WITHIN_S):
            while not await rows(other.db, WAITING):
                await asyncio.sleep(0.01)
        dying.cancel()
        await asyncio.wait([dying])
    assert await adjusted(services) == []
    await asyncio.gather(work(services), work(other))
    await work(services)
    assert [(points, campaign) for _, points, campaign, _ in await adjusted(services)] == 10 * [(3, "double")]
    shown = await show_backtest(services, id_)
    assert shown.grant is not None
    assert (shown.grant.done, shown.grant.members) == (True, 10)


async def test_a_grant_is_in_the_audit_log(services: Services) -> None:
    await tap(services)
    id_ = await tried(services, double())
    await approve(services, double())
    await granted(services, id_)
    entries = await rows(
        services.db,
        "SELECT operator, subject, action, after ->> 'backtest', after ->> 'points' FROM audit_log"
        " WHERE action = 'granted'",
    )
    assert entries == [("finance", "campaign:double", "granted", str(id_), "3")]
