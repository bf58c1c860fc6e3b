"""`engage worker`: run one worker until a signal stops it."""

import asyncio
import signal
from contextlib import suppress
from typing import Any, Never

import structlog
import uvloop
from arq.connections import ArqRedis

from engage import logs, tracing
from engage.connections.valkey import away_is_unavailable
from engage.domain.refusals import Unavailable
from engage.flows.backtests.work import work_always
from engage.flows.operations.gauges import read_gauges_always
from engage.runtime.background import Loop, running
from engage.runtime.garbage import collect_rarely
from engage.runtime.liveness import WORKER, problems_of, send_heartbeats, touch_liveness_file, works
from engage.runtime.operations import Ready, open_operations
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from engage.signals.doorbell import open_queue
from workers.settings import make_worker

log = structlog.get_logger()

# The jobs that a stopping worker waits for. They roll back, and the sweep of another worker does their work.
STOP_S = 5.0

# A step of a backtest takes seconds. The last one, which reads what all parts have come to, may take longer.
BACKTEST_STEP_S = 60.0

# How often a worker that may not work looks whether it may again.
IDLE_S = 1.0


def run(settings: Settings) -> None:
    """Blocks until SIGINT or SIGTERM. The sweep of another worker finishes the work of a stopped job."""
    logs.configure(settings)
    tracing.start(settings, "worker")
    try:
        uvloop.run(_work(settings))
    finally:
        tracing.close()


async def _work(settings: Settings) -> None:
    collect_rarely()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_services(settings) as services, open_queue(services.live.reader("queue_url")) as queue:
        logs.follow(services.live)
        log.info("the worker starts")
        jobs = Jobs(services, queue)
        async with (
            open_operations(services, WORKER, jobs.check),
            running(
                services.loops.keep("jobs", jobs.run),
                services.loops.keep(
                    "backtests", lambda loop: work_always(services, loop.turned), turn_s=BACKTEST_STEP_S
                ),
                jobs.announce(),
                *([read_gauges_always(services)] if settings.operations_port else []),
            ),
        ):
            await stop.wait()
        await jobs.stop()
        with suppress(Unavailable):
            await services.topics.end_heartbeat(WORKER)


class Jobs:
    """Takes jobs from arq's queue. A queue that was away is looked at again: the process does not end."""

    def __init__(self, services: Services, queue: ArqRedis) -> None:
        self._services = services
        self._queue = queue
        self._looked = asyncio.Event()
        self._left: set[asyncio.Task[Any]] = set()
        self._going_on: set[asyncio.Task[Any]] = set()

    async def run(self, loop: Loop) -> None:
        """Take jobs until the queue fails, or the machine's clock is too far off: then other workers have to
        take them. Raises Unavailable. Jobs that have begun go on.
        """

        def on_look() -> None:
            loop.turned()
            self._looked.set()
            self._services.clock.check()

        while self._services.clock.is_too_far_off:
            loop.turned()
            self._looked.set()
            await asyncio.sleep(IDLE_S)
        # Changes of facts are noted for programs in which something follows, as far as this process knows.
        await self._services.programs.refresh(self._services.db)
        await self._services.definitions.refresh(self._services.db)
        worker = make_worker(self._services, self._queue, on_look, self._note)
        try:
            with away_is_unavailable():
                await worker.main()
        finally:
            for task in worker.tasks_left():
                self._left.add(task)
                task.add_done_callback(self._ended)

    async def check(self) -> Ready:
        """Return `up` when jobs are taken from the queue and all loops do their work."""
        problems = problems_of(self._services.loops, self._services.clock)
        up = self._looked.is_set() and works(problems)
        return Ready("up" if up else "down", problems=problems)

    async def announce(self) -> Never:
        """Show signs of life, from the first look at the queue on."""
        await self._looked.wait()
        async with running(touch_liveness_file(self._services)):
            await send_heartbeats(self._services, WORKER)

    async def stop(self) -> None:
        """Cancel the jobs that are running, and wait until nothing uses the queue any more."""
        for task in self._left:
            task.cancel()
        for tasks in (self._left, self._going_on):
            if tasks:
                await asyncio.wait(tasks, timeout=STOP_S)

    def _note(self, task: asyncio.Task[Any]) -> None:
        self._going_on.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        self._going_on.discard(task)
        if not task.cancelled():
            task.exception()  # It is logged by arq, or is that of the queue.
