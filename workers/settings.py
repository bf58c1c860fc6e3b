"""The worker's jobs, their times and their limits."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

from arq import cron, func
from arq.connections import ArqRedis
from arq.worker import Worker

from engage.flows.scheduled.due_work import DUE_WORK
from engage.runtime.services import Services
from engage.signals.doorbell import EXPIRE_JOB, QUEUE, REACT_JOB, SETTLE_JOB, pack, unpack
from workers import jobs

# Short: a killed worker's job runs again only ten seconds after this.
JOB_TIMEOUT_S = 30
POLL_S = 0.05
HEALTH_S = 2
LOOK_S = 5.0  # A look at the queue that has begun may take so long when the worker stops.
SWEEP_SECONDS = set(range(0, 60, 5))


class LoopingWorker(Worker):
    """A worker of arq that reports each look at its queue, and ends when it is cancelled. `on_task` gets the
    tasks that go on with the queue then.
    """

    def __init__(
        self, on_look: Callable[[], None], on_task: Callable[[asyncio.Task[Any]], None], **options: Any
    ) -> None:
        super().__init__(**options)
        self._on_look = on_look
        self._on_task = on_task

    async def _poll_iteration(self) -> None:
        # A client that is cancelled can go on as if nothing had happened, or leave other calls behind.
        looking = asyncio.create_task(super()._poll_iteration())
        self._on_task(looking)
        try:
            await asyncio.shield(looking)
        except asyncio.CancelledError:
            if not (await asyncio.wait([looking], timeout=LOOK_S))[0]:
                looking.cancel()
            raise

    async def heart_beat(self) -> None:
        await super().heart_beat()
        self._on_look()

    async def finish_job(self, *args: Any) -> None:
        self._goes_on()
        await super().finish_job(*args)

    async def finish_failed_job(self, *args: Any) -> None:
        self._goes_on()
        await super().finish_failed_job(*args)

    def _goes_on(self) -> None:
        """The task of this call goes on when that of its job is cancelled."""
        task = asyncio.current_task()
        assert task is not None
        self._on_task(task)

    def tasks_left(self) -> list[asyncio.Task[Any]]:
        """The jobs that are running."""
        return [task for task in self.tasks.values() if not task.done()]


def make_worker(
    services: Services,
    queue: ArqRedis,
    on_look: Callable[[], None],
    on_task: Callable[[asyncio.Task[Any]], None],
) -> LoopingWorker:
    """A worker with open services. Call it in the running event loop.

    arq counts the jobs that it has begun, and an error between two commands makes the count wrong: a worker
    whose run has failed is replaced by a new one.
    """
    context: dict[str, Any] = {"services": services}
    return LoopingWorker(
        on_look,
        on_task,
        functions=[
            func(jobs.settle, name=SETTLE_JOB),
            func(jobs.expire, name=EXPIRE_JOB),
            func(jobs.react, name=REACT_JOB),
        ],
        cron_jobs=[
            *(
                cron(jobs.sweep(work), name=f"sweep_{work.name}", second=SWEEP_SECONDS, run_at_startup=True)
                for work in DUE_WORK
            ),
            cron(jobs.publish_outbox, second=SWEEP_SECONDS, run_at_startup=True),
            cron(jobs.delete_old_responses, minute={17}, second=0),
            # Several times: each run continues where the last one ended.
            cron(jobs.reconcile_payouts, hour={3}, minute={7, 17, 27, 37, 47, 57}, second=0),
        ],
        redis_pool=queue,
        queue_name=QUEUE,
        ctx=context,
        job_timeout=JOB_TIMEOUT_S,
        keep_result=0,
        poll_delay=POLL_S,
        max_tries=3,
        health_check_interval=HEALTH_S,
        health_check_key=f"engage:arq:{socket.gethostname()}:{os.getpid()}",
        job_serializer=pack,
        job_deserializer=unpack,
        handle_signals=False,
        log_results=False,
    )
