"""The lot of a credit is in its row, and everybody who writes one waits for others in one order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from sqlalchemy import text

from engage.domain.refusals import Refusal
from engage.flows.activities.activity import RecordedActivity
from engage.flows.activities.record import record
from engage.flows.members.adjust import AdjustmentRequest, adjust
from engage.flows.members.merge import merge_members
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.take_events import take_events
from engage.runtime.services import Services
from tests.support.activities import PROGRAM, act, join, review, review_removed, tap
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, advance
from tests.support.database import rows

TURNS = 5

WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


async def test_spending_settling_correcting_and_merging_at_once(services: Services, other: Services) -> None:
    members = [f"m-{n}" for n in range(TURNS + 4)]
    for member in members:
        await join(services, member)

    async def earn(process: Services, turn: int) -> None:
        activities = (tap(), review(f"p-{turn}", f"r-{turn}"))
        answers = await record(process, [act(process, each, m) for m in members for each in activities])
        assert {type(answer) for answer in answers} == {RecordedActivity}, answers

    async def settle(process: Services) -> None:
        await settle_due(process, now=process.clock.now())

    async def take_back(process: Services, turn: int) -> None:
        await take_events(process, [review_removed(process, f"r-{turn}", m) for m in members])

    async def spend(process: Services, turn: int) -> None:
        for number, member in enumerate(reversed(members)):
            request = AdjustmentRequest(points=-1, reason="spent", reference=f"a-{turn}-{number}")
            with suppress(Refusal):  # Some have no points left.
                await adjust(process, PROGRAM, member, request, operator="key-1")

    async def merge(turn: int) -> None:
        await merge_members(services, PROGRAM, f"m-{turn}", into="m-8", reason="one", operator="key-1")

    await earn(services, 0)
    for turn in range(TURNS):
        advance(services, DAY + timedelta(hours=1))
        await settle(services)  # Some have points to spend; what is earned now is due at once below.
        await earn(services, turn + 1)
        advance(services, timedelta(hours=6))
        await asyncio.gather(
            *(settle(process) for process in (services, other) * 2),
            *(take_back(process, turn) for process in (services, other)),
            *(take_back(process, turn + 1) for process in (services, other)),
            *(spend(process, turn) for process in (services, other)),
            merge(turn),
        )
        members.remove(f"m-{turn}")
        await services.members.refresh(services.db)
        await other.members.refresh(other.db)
    assert await rows(services.db, "SELECT count(*) FROM balances WHERE closed") == [(TURNS,)]
    await assert_audit_is_clean(services)


@asynccontextmanager
async def a_worker_waiting_for_a_member(services: Services) -> AsyncIterator[asyncio.Task[int]]:
    """Settle while the balance of a member, whose points are due, is held until the block ends."""
    await join(services)
    advance(services, timedelta(hours=6))
    async with services.db.begin() as spending:
        await spending.execute(text("SELECT FROM balances WHERE member_id = 'm-1' FOR UPDATE"))
        settling = asyncio.create_task(settle_due(services, now=services.clock.now()))
        while await rows(services.db, WAITING) == [(0,)]:
            assert not settling.done()
        yield settling


async def test_points_of_a_member_who_is_busy_become_active(services: Services) -> None:
    async with a_worker_waiting_for_a_member(services) as settling:
        pass
    assert await settling == 1


async def test_one_worker_waits_for_a_member_who_is_busy_and_others_go_on(
    services: Services, other: Services
) -> None:
    async with a_worker_waiting_for_a_member(services) as settling:
        await join(services, "m-2")
        advance(services, timedelta(hours=6))
        assert await settle_due(other, now=other.clock.now()) == 1
        assert not settling.done()
    assert await settling == 1


async def test_a_worker_goes_on_without_a_credit_that_another_one_holds(services: Services) -> None:
    await join(services)
    await join(services, "m-2")
    advance(services, timedelta(hours=6))
    async with services.db.begin() as settling:
        held = "SELECT FROM credits JOIN stored_credits c USING (account, id) WHERE member_id = 'm-1'"
        await settling.execute(text(f"{held} FOR UPDATE OF c"))
        assert await settle_due(services, now=services.clock.now()) == 1
    assert await settle_due(services, now=services.clock.now()) == 1
