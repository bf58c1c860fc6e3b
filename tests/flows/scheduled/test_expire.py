"""Points expire once, at their time, whatever happens at the same time and whatever fails."""

import asyncio
from datetime import timedelta

import pytest
from arq.jobs import Job
from sqlalchemy import text

from engage.domain.refusals import Unavailable
from engage.flows.reads.home import read_home
from engage.flows.scheduled import expire
from engage.flows.scheduled.due_work import DUE_WORK
from engage.flows.scheduled.expire import expire_due, expire_once, expire_together
from engage.flows.scheduled.settle import settle_due
from engage.ledger import expire as ledger
from engage.runtime.services import Services
from engage.settings import Settings
from engage.signals.changes import Change
from engage.signals.doorbell import EXPIRE_JOB, QUEUE, open_queue, tick_of, unpack
from tests.support.activities import PROGRAM, join, perform, tap
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, FIVE_MINUTES, NOON, advance
from tests.support.database import rows
from tests.support.holds import hold, spend
from tests.support.topics import listening
from workers.settings import make_worker

MOMENT = timedelta(microseconds=1)
ENDS = (NOON + FIVE_MINUTES).replace(year=2027)


async def join_members(services: Services, count: int) -> list[str]:
    """Register members with 50 points that end at ENDS, and 2 points that end two days later."""
    members = [f"m-{n}" for n in range(count)]
    for member in members:
        await join(services, member)
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    advance(services, 2 * DAY - FIVE_MINUTES)
    for member in members:
        await perform(services, tap(), member)
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    await services.post_commit.drain()
    return members


async def left(services: Services) -> int:
    ((found,),) = await rows(
        services.db,
        "SELECT count(*) FROM lots WHERE remaining > 0 AND expires_at <= :at",
        at=services.clock.now(),
    )
    assert isinstance(found, int)
    return found


def in_batches_of(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(expire, "LOTS_PER_BATCH", batch)
    monkeypatch.setattr(ledger.lock_expiring, "__kwdefaults__", {"batch": batch})


@pytest.mark.parametrize("batch", [1, 7, 1000])
async def test_many_workers_expire_each_lot_once(
    services: Services, other: Services, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    in_batches_of(monkeypatch, batch)
    await join_members(services, 25)
    assert await expire_due(services, now=ENDS - MOMENT) == 0
    advance(services, ENDS - services.clock.now())
    ended = await asyncio.gather(*(expire_due(process, now=ENDS) for process in (services, other) * 4))
    # A batch may be short while another worker has locked some of the members.
    ended.append(await expire_due(services, now=ENDS))
    assert sum(ended) == 25
    found = await rows(services.db, "SELECT active, count(*) FROM balances GROUP BY 1")
    assert found == [(2, 25)]
    assert await left(services) == 0
    await assert_audit_is_clean(services)


async def test_points_are_not_spent_after_their_end_however_late_the_sweep_is(services: Services) -> None:
    await join_members(services, 2)
    advance(services, ENDS - MOMENT - services.clock.now())
    assert await spend(services, 30, "m-0", now=ENDS - MOMENT) == 30
    advance(services, MOMENT)
    assert await spend(services, 30, "m-0", now=ENDS) == 2
    assert await spend(services, 50, "m-1", now=ENDS) == 2
    assert await expire_due(services, now=ENDS) == 0, "who spends has ended them before"
    found = await rows(
        services.db,
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
    await assert_audit_is_clean(services)


async def test_points_are_spent_or_expired_when_both_happen_at_once(
    services: Services, other: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_batches_of(monkeypatch, 5)
    members = await join_members(services, 12)
    advance(services, ENDS - services.clock.now())
    spending = [
        spend(process, 10, member, now=ENDS - MOMENT) for member in members for process in (services, other)
    ]
    ending = [expire_due(process, now=ENDS) for process in (services, other) * 3]
    work = [task for pair in zip(spending, [*ending, *[None] * len(spending)], strict=False) for task in pair]
    done = await asyncio.gather(*(task for task in work if task is not None))
    await expire_due(services, now=ENDS)
    assert sum(done) > 0
    totals = await rows(
        services.db,
        "SELECT -sum(active_delta) FROM entries WHERE kind IN ('redemption', 'expiration')",
    )
    left_over = await rows(services.db, "SELECT sum(active) FROM balances")
    assert totals[0][0] + left_over[0][0] == 12 * 52  # type: ignore[operator]
    assert await left(services) == 0
    await assert_audit_is_clean(services)


async def test_a_worker_that_dies_while_it_expires_lots_loses_nothing(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await join_members(services, 10)
    advance(services, ENDS - services.clock.now())

    async def expire_and_die(conn, *args, **kwargs):  # type: ignore[no-untyped-def]
        await ledger.expire_lots(conn, *args, **kwargs)
        await conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    before = await rows(services.db, "SELECT * FROM balances ORDER BY member_id")
    with monkeypatch.context() as patch:
        patch.setattr(expire, "expire_lots", expire_and_die)
        with pytest.raises(Unavailable):
            await expire_once(services, now=ENDS)
    assert await rows(services.db, "SELECT * FROM balances ORDER BY member_id") == before
    assert await rows(services.db, "SELECT count(*) FROM entries WHERE kind = 'expiration'") == [(0,)]
    assert await left(services) == 10
    assert await expire_due(services, now=ENDS) == 10
    await assert_audit_is_clean(services)


async def test_an_expiration_is_published_to_open_screens(services: Services) -> None:
    await join_members(services, 1)
    async with listening(services.topics, [(PROGRAM, "m-0")]) as feed:
        await expire_due(services, now=ENDS)
        await services.post_commit.drain()
        assert await feed.get() == Change(PROGRAM, "m-0", 2, 0, 0, 0, 5, "expired")
    assert await rows(services.db, "SELECT count(*) FROM outbox") == [(0,)]


async def test_a_large_backlog_of_lots_is_shared_by_workers(
    services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_batches_of(monkeypatch, 4)
    monkeypatch.setattr(expire, "TURN_S", 0.0)
    await join_members(services, 10)
    advance(services, ENDS - services.clock.now())
    pool = open_queue(settings.queue_url)
    try:
        before = tick_of(services.clock.wall())
        assert await expire_together(services) == 4, "a turn has no time for more, but for one batch"
        ticks = range(before, tick_of(services.clock.wall()) + 1)
        jobs = [
            await Job(f"{EXPIRE_JOB}:{tick}:0", pool, QUEUE, _deserializer=unpack).info() for tick in ticks
        ]
        assert len([info for info in jobs if info is not None and info.function == EXPIRE_JOB]) == 1
        queued = await pool.zcard(QUEUE)
        assert await expire_together(services, others=0) == 4
        assert await expire_together(services) == 2, "it was less than a batch, and nobody else is needed"
        assert await pool.zcard(QUEUE) == queued
    finally:
        await pool.aclose()
    assert await left(services) == 0
    await assert_audit_is_clean(services)


async def test_a_worker_does_each_kind_of_due_work(services: Services, settings: Settings) -> None:
    worker = make_worker(services, open_queue(settings.queue_url), lambda: None, lambda _: None)
    jobs = {job.name for job in worker.cron_jobs or []}
    assert jobs >= {f"sweep_{work.name}" for work in DUE_WORK}
    assert len({work.name for work in DUE_WORK}) == len(DUE_WORK)


async def test_home_shows_the_next_expiration_and_no_past_one(services: Services) -> None:
    await join_members(services, 1)
    home = await read_home(services, PROGRAM, "m-0")
    assert home.balance.active == 52
    assert [(end.points, end.expires_at) for end in home.expiring] == [(50, ENDS), (2, ENDS + 2 * DAY)]
    # Held points do not expire.
    await hold(services, 20, "m-0", now=services.clock.now())
    home = await read_home(services, PROGRAM, "m-0")
    assert (home.balance.active, home.balance.held) == (32, 20)
    assert [end.points for end in home.expiring] == [30, 2]
    advance(services, ENDS - MOMENT - services.clock.now())
    assert (await read_home(services, PROGRAM, "m-0")).balance.active == 32
    advance(services, MOMENT)
    unswept = await read_home(services, PROGRAM, "m-0")
    assert (unswept.balance.active, [end.points for end in unswept.expiring]) == (2, [2])
    await expire_due(services, now=ENDS)
    swept = await read_home(services, PROGRAM, "m-0")
    assert (swept.balance.active, swept.balance.held, swept.expiring) == (2, 20, unswept.expiring)
