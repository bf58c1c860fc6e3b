"""The sandbox's clock: forward only, with all the work on the way done when it answers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from engage.clock import Clock
from engage.domain.refusal import Refusal
from engage.flows.audit import audit
from engage.flows.parts import Parts, follow_sandbox_clock
from engage.flows.settle import settle_due
from engage.flows.time_travel import move_clock
from engage.settings import Settings
from tests.playing import DAY, FIVE_MINUTES, do, join, link, playing, review, rows, social, tap


@pytest.fixture
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    """With a clock that runs, as the sandbox's does."""
    async with playing(settings, Clock()) as opened:
        yield opened


async def activated(parts: Parts) -> list[tuple[datetime, datetime]]:
    """(due, active) of all credits that are active, in the order of the statement."""
    found = await rows(
        parts.db,
        "SELECT c.due_at, c.active_at FROM credits c JOIN entries e ON e.credit_id = c.id ORDER BY e.seq",
    )
    return [
        (due, active) for due, active in found if isinstance(due, datetime) and isinstance(active, datetime)
    ]


async def test_work_is_done_in_order_and_at_the_very_instant_it_is_due(
    parts: Parts, settings: Settings
) -> None:
    await join(parts)
    for activity in (tap(), link(), social(), review("a", "r-1"), review("b", "r-2")):
        await do(parts, activity)
    began = parts.clock.now()
    now = await move_clock(parts, by=timedelta(days=2))
    assert now >= began + timedelta(days=2)
    found = await activated(parts)
    assert len(found) == 10
    assert [due for due, _ in found] == sorted(due for due, _ in found)
    assert all(active == due for due, active in found)
    assert await rows(parts.db, "SELECT count(*) FROM outbox") == [(0,)], "and told"
    assert (await audit(settings)).broken == []


async def test_the_clock_goes_to_where_it_is_told(parts: Parts) -> None:
    target = parts.clock.now() + 400 * DAY
    assert timedelta() <= await move_clock(parts, to=target) - target < timedelta(seconds=10)
    assert timedelta() <= parts.clock.now() - target < timedelta(seconds=10)


async def test_the_clock_does_not_go_back(parts: Parts) -> None:
    await move_clock(parts, by=DAY)
    before = parts.clock.now()
    for wrong in ({"to": before - timedelta(minutes=1)}, {"by": -timedelta(seconds=5)}):
        with pytest.raises(Refusal) as refused:
            await move_clock(parts, **wrong)
        assert (refused.value.code, refused.value.status) == ("clock_backwards", 409)
    assert parts.clock.now() >= before


async def test_other_parts_follow(parts: Parts, settings: Settings) -> None:
    await move_clock(parts, by=10 * DAY)
    assert settings.sandbox is not None
    async with playing(settings, Clock()) as other:
        await follow_sandbox_clock(other)
        assert abs(other.clock.now() - parts.clock.now()) < timedelta(seconds=1)


async def test_travellers_at_once_do_all_the_work_once(parts: Parts, settings: Settings) -> None:
    for n in range(10):
        await join(parts, f"m-{n}")
        await do(parts, link(), f"m-{n}")
    began = parts.clock.now()
    await asyncio.gather(*(move_clock(parts, by=timedelta(minutes=4)) for _ in range(3)))
    assert parts.clock.now() >= began + timedelta(minutes=12)
    found = await activated(parts)
    assert len(found) == 40
    assert all(active == due for due, active in found)
    assert (await audit(settings)).broken == []


async def test_what_a_worker_has_in_hand_is_waited_for(parts: Parts) -> None:
    await join(parts)
    async with parts.db.connect() as worker:
        await worker.execute(text("SELECT 1 FROM credits WHERE state = 'pending' FOR UPDATE"))
        moving = asyncio.create_task(move_clock(parts, by=FIVE_MINUTES))
        while (await rows(parts.db, "SELECT count(*) FROM sandbox_clock"))[0] == (0,):
            await asyncio.sleep(0.01)
        done, _ = await asyncio.wait([moving], timeout=0.2)
        assert not done
        await worker.rollback()
    await moving
    assert await rows(parts.db, "SELECT active, pending FROM balances") == [(50, 0)]


async def test_a_worker_settles_by_the_same_clock(parts: Parts, settings: Settings) -> None:
    await join(parts)
    async with playing(settings, Clock()) as worker:
        assert await settle_due(worker, now=worker.clock.now()) == 0
        await move_clock(parts, by=FIVE_MINUTES - timedelta(seconds=30))
        await follow_sandbox_clock(worker)
        assert await settle_due(worker, now=worker.clock.now()) == 0
        await move_clock(parts, by=timedelta(seconds=30))
        assert await rows(parts.db, "SELECT active FROM balances") == [(50,)]


async def test_what_fell_due_long_ago_is_told_at_once(parts: Parts) -> None:
    await join(parts)
    await do(parts, tap())
    await move_clock(parts, by=100 * DAY)
    assert await rows(parts.db, "SELECT count(*) FROM outbox") == [(0,)]
