"""A worker whose machine has a wrong clock leaves the jobs to others, and works again when it is right."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest

import workers.settings
from engage.clock import Clock
from engage.runtime.background import running
from engage.settings import Settings
from engage.signals.doorbell import QUEUE, open_queue
from tests.support.activities import join, services_with_activities
from tests.support.clock import wrong_clock
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S
from workers import run
from workers.run import Jobs


async def test_a_worker_with_a_wrong_clock_takes_no_job(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "IDLE_S", 0.01)
    real = msgspec.structs.replace(settings, sandbox=None)
    async with (
        services_with_activities(real, wrong_clock(timedelta(hours=25))) as services,
        open_queue(settings.queue_url) as queue,
    ):
        await join(services)
        await services.post_commit.drain()
        await queue.flushdb()
        await services.doorbell.ring([services.clock.now() - timedelta(days=1)])
        jobs = Jobs(services, queue)
        async with running(services.loops.keep("jobs", jobs.run)):
            await asyncio.wait_for(jobs._looked.wait(), WITHIN_S)
            [job] = [name.decode() for name in await queue.zrange(QUEUE, 0, -1)]
            assert services.loops.problems() == [], "it is not stuck: it idles"
            services.clock._machine = Clock()._machine
            await services.follow_clock()

            async with asyncio.timeout(WITHIN_S):
                while await queue.exists(f"arq:job:{job}") or await services.topics.not_done(["settle"]):
                    await asyncio.sleep(LOOK_AGAIN_S)
        await jobs.stop()


async def test_a_worker_ends_though_a_client_swallows_its_cancellation(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = asyncio.Event()

    async def swallow(*_: Any, **__: Any) -> list[bytes]:
        waiting.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        return []

    async with services_with_activities(settings) as services, open_queue(settings.queue_url) as queue:
        monkeypatch.setattr(queue, "zrangebyscore", swallow)
        monkeypatch.setattr(workers.settings, "LOOK_S", 0.01)
        jobs = Jobs(services, queue)
        asking = asyncio.create_task(services.loops.keep("jobs", jobs.run))
        await asyncio.wait_for(waiting.wait(), WITHIN_S)
        asking.cancel()
        _, running_on = await asyncio.wait({asking}, timeout=WITHIN_S)
        assert not running_on
        await jobs.stop()
