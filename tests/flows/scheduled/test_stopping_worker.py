"""A worker that stops leaves nothing behind that still uses its connections."""

import asyncio
from typing import Any

import pytest
from arq.worker import Worker

from engage.runtime.background import running
from engage.settings import Settings
from engage.signals.doorbell import SETTLE_JOB, open_queue
from tests.support.activities import services_with_activities
from tests.support.eventually import WITHIN_S
from workers.run import Jobs

JOB = "settle:0"


async def test_a_job_that_is_being_taken_out_of_the_queue_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """arq goes on with it though the task of the job is cancelled."""
    finish_job, begun, may_finish = Worker.finish_job, asyncio.Event(), asyncio.Event()

    async def finish_slowly(worker: Worker, job_id: str, *args: Any) -> None:
        if job_id == JOB:
            begun.set()
            await may_finish.wait()
        await finish_job(worker, job_id, *args)

    monkeypatch.setattr(Worker, "finish_job", finish_slowly)
    async with services_with_activities(settings) as services, open_queue(settings.queue_url) as queue:
        assert await queue.enqueue_job(SETTLE_JOB, 0, _job_id=JOB) is not None
        jobs = Jobs(services, queue)
        async with running(services.loops.keep("jobs", jobs.run)):
            await asyncio.wait_for(begun.wait(), WITHIN_S)
        stopping = asyncio.create_task(jobs.stop())
        await asyncio.wait([stopping], timeout=0)
        await asyncio.wait(jobs._left)
        await asyncio.wait([stopping], timeout=0)
        assert not stopping.done()
        may_finish.set()
        await stopping
        assert not await queue.exists(f"arq:job:{JOB}")


async def test_a_look_at_the_queue_that_has_begun_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is many calls at once, and a cancelled one may connect again after the queue was closed."""
    begun, may_answer, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer_slowly(*_: Any, **__: Any) -> list[bytes]:
        begun.set()
        await may_answer.wait()
        answered.set()
        return []

    async with services_with_activities(settings) as services, open_queue(settings.queue_url) as queue:
        monkeypatch.setattr(queue, "zrangebyscore", answer_slowly)
        jobs = Jobs(services, queue)
        working = asyncio.create_task(services.loops.keep("jobs", jobs.run))
        await asyncio.wait_for(begun.wait(), WITHIN_S)
        working.cancel()
        await asyncio.wait([working], timeout=0)
        may_answer.set()
        await asyncio.wait([working])
        assert answered.is_set()
        await jobs.stop()
