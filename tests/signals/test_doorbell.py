"""The doorbell: one job a tick, never early, whatever happens to the queue."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from arq.jobs import Job
from hypothesis import given
from hypothesis import strategies as st

from engage.clock import MachineClock, machine_time
from engage.domain.refusals import Unavailable
from engage.embedded.ports import free_port
from engage.settings import Settings
from engage.signals import doorbell as signals
from engage.signals.doorbell import QUEUE, SETTLE_JOB, TICK, Doorbell, open_queue, tick_of, unpack
from tests.support.eventually import WITHIN_S
from tests.support.valkey import own_valkey

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def queue(settings: Settings) -> AsyncIterator[ArqRedis]:
    async with ArqRedis.from_url(settings.queue_url) as client:
        yield client


@pytest.fixture
async def bell(settings: Settings) -> AsyncIterator[Doorbell]:
    opened = Doorbell(open_queue(settings.queue_url), MachineClock())
    yield opened
    await opened.close()


async def jobs(queue: ArqRedis) -> dict[str, datetime]:
    """Return the times of the jobs, by id."""
    scores = await queue.zrange(QUEUE, 0, -1, withscores=True)
    return {job.decode(): datetime.fromtimestamp(score / 1000, UTC) for job, score in scores}


@given(st.timedeltas(timedelta(), timedelta(days=30_000)))
def test_a_tick_is_at_most_a_tick_late_and_never_early(since: timedelta) -> None:
    rings = tick_of(EPOCH + since) * TICK
    assert timedelta() <= rings - since < TICK


async def test_a_tick_is_rung_for_once_however_many_credits_are_due(bell: Doorbell, queue: ArqRedis) -> None:
    due = EPOCH + (tick_of(machine_time()) + 40) * TICK
    within = [due - n * TICK / 100 for n in range(100)]
    await bell.ring(within)
    await bell.ring(within[:1])
    assert await jobs(queue) == {f"settle:{tick_of(due)}": due}
    await bell.ring([due + SECOND, due + timedelta(microseconds=1)])
    assert list((await jobs(queue)).values()) == [due, due + TICK, due + SECOND]
    info = await Job(f"settle:{tick_of(due)}", queue, QUEUE, unpack).info()
    assert info is not None
    assert (info.function, list(info.args)) == (SETTLE_JOB, [tick_of(due)])


async def test_several_processes_ring_once(bell: Doorbell, queue: ArqRedis, settings: Settings) -> None:
    other = Doorbell(open_queue(settings.queue_url), MachineClock())
    due = machine_time() + 10 * SECOND
    await bell.ring([due])
    await other.ring([due])
    await other.close()
    assert len(await jobs(queue)) == 1


@pytest.mark.parametrize("ago", [timedelta(), SECOND, timedelta(days=1, seconds=1), timedelta(days=4000)])
async def test_a_past_due_time_rings_now(bell: Doorbell, queue: ArqRedis, ago: timedelta) -> None:
    now = machine_time()
    await bell.ring([now - ago, now - ago - timedelta(days=1)])
    (rings,) = (await jobs(queue)).values()
    assert now <= rings <= now + 5 * SECOND


async def test_an_advanced_clock_rings_by_wall_time(settings: Settings, queue: ArqRedis) -> None:
    clock = MachineClock(timedelta(days=300))
    bell = Doorbell(open_queue(settings.queue_url), clock)
    wall = clock.wall()
    await bell.ring([clock.now() + 60 * SECOND])
    await bell.close()
    (rings,) = (await jobs(queue)).values()
    assert timedelta() <= rings - wall - 60 * SECOND < 5 * SECOND


async def test_future_ticks_are_remembered_and_past_ones_are_dropped(
    bell: Doorbell, queue: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "RUNG_LIMIT", 10)
    bell._forget_at = 10
    later = [machine_time() + n * SECOND for n in range(60, 90)]
    await bell.ring([machine_time()])
    await bell.ring(later)
    assert len(await jobs(queue)) == 31
    await queue.flushdb()
    await bell.ring(later)
    assert await jobs(queue) == {}, "it has rung for these"


async def test_more_workers_can_be_requested(bell: Doorbell, queue: ArqRedis) -> None:
    await bell.request_workers(SETTLE_JOB, 7, 3)
    await bell.request_workers(SETTLE_JOB, 7, 3)
    assert set(await jobs(queue)) == {"settle:7:0", "settle:7:1", "settle:7:2"}


async def test_a_queue_that_is_away_is_unavailable_until_it_is_back(tmp_path: Path) -> None:
    bell = Doorbell(open_queue(f"redis://127.0.0.1:{free_port('127.0.0.1')}/1"), MachineClock())
    with pytest.raises(Unavailable) as away:
        await bell.ring([machine_time()])
    assert away.value.facts["part"] == "valkey"
    async with own_valkey(tmp_path) as valkey:
        bell = Doorbell(open_queue(f"redis://127.0.0.1:{valkey.port}/1"), MachineClock())
        due = machine_time() + 60 * SECOND
        await bell.ring([due - SECOND])
        await valkey.kill()
        with pytest.raises(Unavailable):
            await bell.ring([due])
        await valkey.start()
        await bell.ring([due])
        async with ArqRedis(host="127.0.0.1", port=valkey.port, db=1) as client:
            assert f"settle:{tick_of(due)}" in await jobs(client)
        await bell.close()


@pytest.mark.usefixtures("real_time_limits")
async def test_a_silent_queue_is_unavailable_within_the_time_limit(tmp_path: Path) -> None:
    async with own_valkey(tmp_path) as valkey:
        url = f"redis://127.0.0.1:{valkey.port}/1"
        connected, new = Doorbell(open_queue(url), MachineClock()), Doorbell(open_queue(url), MachineClock())
        await connected.check()
        due = machine_time() + 60 * SECOND
        with valkey.hung():
            async with asyncio.timeout(WITHIN_S):
                for bell in (connected, new):
                    with pytest.raises(Unavailable):
                        await bell.ring([due])
                with pytest.raises(Unavailable):
                    await connected.request_workers(SETTLE_JOB, 1, 1)
                with pytest.raises(Unavailable):
                    await connected.check()
        for bell in (connected, new):
            await bell.ring([due])
            await bell.close()
        async with ArqRedis(host="127.0.0.1", port=valkey.port, db=1) as client:
            assert f"settle:{tick_of(due)}" in await jobs(client)
