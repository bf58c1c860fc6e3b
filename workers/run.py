"""`engage worker`: run one worker until a signal stops it."""

import asyncio
import signal
from contextlib import suppress

import uvloop

from engage import logs
from engage.runtime.services import open_services
from engage.settings import Settings
from workers.settings import make_worker


def run(settings: Settings) -> None:
    """Blocks until SIGINT or SIGTERM. The sweep of another worker finishes the work of a stopped job."""
    logs.configure(settings)
    uvloop.run(_work(settings))


async def _work(settings: Settings) -> None:
    async with open_services(settings) as services:
        worker = make_worker(settings, services)
        working = asyncio.create_task(worker.async_run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, working.cancel)
        try:
            with suppress(asyncio.CancelledError):
                await working
        finally:
            await worker.close()
