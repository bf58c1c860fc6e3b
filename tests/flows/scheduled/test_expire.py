"""Points end once, at their time, whoever is at work meanwhile and whatever breaks."""

import asyncio
from contextlib import aclosing
from datetime import timedelta

import pytest
from arq.connections import create_pool
from arq.jobs import Job
from sqlalchemy import text

from engage.domain.refusals import Unavailable
from engage.flows.reads.home import read_home
from engage.flows.scheduled import expire
from engage.flows.scheduled.due_work import DUE_WORK
from engage.flows.scheduled.expire import expire_due, expire_once, expire_together
from engage.flows.scheduled.settle import settle_due
from engage.ledger import expire as ledger
from engage.runtime.services import Parts
from engage.settings import Settings
from engage.signals.doorbell import EXPIRE_JOB, QUEUE, pack, queue_settings, tick_of, unpack
from engage.signals.topics import Change, Reconnected
from tests.support.audit import broken
from tests.support.holds import hold, spend
from tests.support.playing import DAY, FIVE_MINUTES, NOON, PROGRAM, advance, do, join, rows, tap
from workers.settings import make_worker

MOMENT = timedelta(microseconds=1)
ENDS = (NOON + FIVE_MINUTES).replace(year=2027)


async def crowd(parts: Parts, count: int) -> list[str]:
    """Members whose 50 points, in one lot of each, end at ENDS, and 2 points two days later."""
    members = [f"m-{n}" for n in range(count)]
    for member in members:
        await join(parts, member)
    await settle_due(parts, now=advance(parts, FIVE_MINUTES))
    advance(parts, 2 * DAY - FIVE_MINUTES)
    for member in members:
        await do(parts, tap(), member)
    await settle_due(parts, now=advance(parts, FIVE_MINUTES))
    await parts.after.drain()
    return members


async def left(parts: Parts) -> int:
    ((found,),) = await rows(
        parts.db, "SELECT count(*) FROM lots WHERE remaining > 0 AND expires_at <= :at", at=parts.clock.now()
    )
    assert isinstance(found, int)
    return found


def in_batches_of(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(expire, "LOTS_PER_BATCH", batch)
    monkeypatch.setattr(ledger.lock_ending, "__kwdefaults__", {"batch": batch})


@pytest.mark.parametrize("batch", [1, 7, 1000])
async def test_many_workers_end_each_lot_once(
    parts: Parts, other: Parts, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    in_batches_of(monkeypatch, batch)
    await crowd(parts, 25)
    assert await expire_due(parts, now=ENDS - MOMENT) == 0
    advance(parts, ENDS - parts.clock.now())
    ended = await asyncio.gather(*(expire_due(each, now=ENDS) for each in (parts, other) * 4))
    # A batch may come back short when another worker holds some of the members; nothing is forgotten.
    ended.append(await expire_due(parts, now=ENDS))
    assert sum(ended) == 25
    found = await rows(parts.db, "SELECT active, count(*) FROM balances GROUP BY 1")
    assert found == [(2, 25)]
    assert await left(parts) == 0
    assert await broken(parts) == []


async def test_nothing_is_spent_after_its_end_however_late_the_sweep_is(parts: Parts) -> None:
    await crowd(parts, 2)
    advance(parts, ENDS - MOMENT - parts.clock.now())
    assert await spend(parts, 30, "m-0", now=ENDS - MOMENT) == 30
    advance(parts, MOMENT)
    assert await spend(parts, 30, "m-0", now=ENDS) == 2
    assert await spend(parts, 50, "m-1", now=ENDS) == 2
    assert await expire_due(parts, now=ENDS) == 0, "who spends has ended them before"
    found = await rows(
        parts.db,
        "SELECT member_id, kind, active_delta FROM entries WHERE at >= :from ORDER BY 1, seq",
        **{"from": ENDS - MOMENT},
    )
    assert found == [
        ("m-0", "redemption", -30),
        ("m-0", "expiration", -20),
        ("m-0", "redemption", -2),
        ("m-1", "expiration", -50),
        ("m-1", "redemption", -2),
    ]
    assert await broken(parts) == []


async def test_points_are_either_spent_or_ended_when_both_happen_at_once(
    parts: Parts, other: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_batches_of(monkeypatch, 5)
    members = await crowd(parts, 12)
    advance(parts, ENDS - parts.clock.now())
    spending = [spend(each, 10, member, now=ENDS - MOMENT) for member in members for each in (parts, other)]
    ending = [expire_due(each, now=ENDS) for each in (parts, other) * 3]
    work = [task for pair in zip(spending, [*ending, *[None] * len(spending)], strict=False) for task in pair]
    done = await asyncio.gather(*(task for task in work if task is not None))
    await expire_due(parts, now=ENDS)
    assert sum(done) > 0
    totals = await rows(
        parts.db,
        "SELECT -sum(active_delta) FROM entries WHERE kind IN ('redemption', 'expiration')",
    )
    left_over = await rows(parts.db, "SELECT sum(active) FROM balances")
    assert totals[0][0] + left_over[0][0] == 12 * 52  # type: ignore[operator]
    assert await left(parts) == 0
    assert await broken(parts) == []


async def test_a_worker_that_dies_in_the_middle_loses_nothing(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await crowd(parts, 10)
    advance(parts, ENDS - parts.clock.now())

    async def and_dies(conn, *args, **kwargs):  # type: ignore[no-untyped-def]
        await ledger.expire_lots(conn, *args, **kwargs)
        await conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    before = await rows(parts.db, "SELECT * FROM balances ORDER BY member_id")
    with monkeypatch.context() as patch:
        patch.setattr(expire, "expire_lots", and_dies)
        with pytest.raises(Unavailable):
            await expire_once(parts, now=ENDS)
    assert await rows(parts.db, "SELECT * FROM balances ORDER BY member_id") == before
    assert await rows(parts.db, "SELECT count(*) FROM entries WHERE kind = 'expiration'") == [(0,)]
    assert await left(parts) == 10
    assert await expire_due(parts, now=ENDS) == 10
    assert await broken(parts) == []


async def test_open_screens_are_told_that_points_have_ended(parts: Parts) -> None:
    await crowd(parts, 1)
    async with aclosing(parts.topics.subscribe()) as heard:
        assert isinstance(await anext(heard), Reconnected)
        await expire_due(parts, now=ENDS)
        await parts.after.drain()
        changes = await asyncio.wait_for(anext(heard), 5)
    assert changes == [Change(PROGRAM, "m-0", 2, 0, 0, 0, 5, "expired")]
    assert await rows(parts.db, "SELECT count(*) FROM outbox") == [(0,)]


async def test_a_great_many_lots_are_ended_in_turns_with_help(
    parts: Parts, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_batches_of(monkeypatch, 4)
    monkeypatch.setattr(expire, "TURN_S", 0.0)
    await crowd(parts, 10)
    advance(parts, ENDS - parts.clock.now())
    pool = await create_pool(
        queue_settings(settings.queue_url),
        job_serializer=pack,
        job_deserializer=unpack,
        default_queue_name=QUEUE,
    )
    try:
        before = tick_of(parts.clock.wall())
        assert await expire_together(parts) == 4, "a turn has no time for more, but for one batch"
        ticks = range(before, tick_of(parts.clock.wall()) + 1)
        asked = [
            await Job(f"{EXPIRE_JOB}:{tick}:0", pool, QUEUE, _deserializer=unpack).info() for tick in ticks
        ]
        assert len([info for info in asked if info is not None and info.function == EXPIRE_JOB]) == 1
        queued = await pool.zcard(QUEUE)
        assert await expire_together(parts, others=0) == 4
        assert await expire_together(parts) == 2, "it was less than a batch, and nobody else is needed"
        assert await pool.zcard(QUEUE) == queued
    finally:
        await pool.aclose()
    assert await left(parts) == 0
    assert await broken(parts) == []


async def test_a_worker_does_each_kind_of_work_by_itself(parts: Parts, settings: Settings) -> None:
    worker = make_worker(settings, parts)
    jobs = {job.name for job in worker.cron_jobs or []}
    assert jobs >= {f"sweep_{work.name}" for work in DUE_WORK}
    assert len({work.name for work in DUE_WORK}) == len(DUE_WORK)


async def test_home_shows_what_ends_next_and_nothing_that_has_ended(parts: Parts) -> None:
    await crowd(parts, 1)
    home = await read_home(parts, PROGRAM, "m-0")
    assert home.balance.active == 52
    assert [(each.points, each.expires_at) for each in home.expiring] == [(50, ENDS), (2, ENDS + 2 * DAY)]
    # Held points are not among those that end.
    await hold(parts, 20, "m-0", now=parts.clock.now())
    home = await read_home(parts, PROGRAM, "m-0")
    assert (home.balance.active, home.balance.held) == (32, 20)
    assert [each.points for each in home.expiring] == [30, 2]
    advance(parts, ENDS - MOMENT - parts.clock.now())
    assert (await read_home(parts, PROGRAM, "m-0")).balance.active == 32
    advance(parts, MOMENT)
    unswept = await read_home(parts, PROGRAM, "m-0")
    assert (unswept.balance.active, [each.points for each in unswept.expiring]) == (2, [2])
    await expire_due(parts, now=ENDS)
    swept = await read_home(parts, PROGRAM, "m-0")
    assert (swept.balance.active, swept.balance.held, swept.expiring) == (2, 20, unswept.expiring)
