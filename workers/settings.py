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
SWEEP_SECONDS = set(range(0, 60, 5))


class LoopingWorker(Worker):
    """A worker of arq that reports each look at its queue, and ends when it is cancelled."""

    def __init__(self, on_look: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self._on_look = on_look

    async def heart_beat(self) -> None:
        await super().heart_beat()
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # A client that was cancelled between two commands can go on as if nothing had happened.
            raise asyncio.CancelledError
        self._on_look()

    def tasks_left(self) -> list[asyncio.Task[Any]]:
        """The jobs that are running."""
        return [task for task in self.tasks.values() if not task.done()]


def make_worker(services: Services, queue: ArqRedis, on_look: Callable[[], None]) -> LoopingWorker:
    """A worker with open services. Call it in the running event loop.

    arq counts the jobs that it has begun, and an error between two commands makes the count wrong: a worker
    whose run has failed is replaced by a new one.
    """
    context: dict[str, Any] = {"services": services}
    return LoopingWorker(
        on_look,
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
