"""The pace of the machine: the CPU time of a fixed loop, which other tenants of a shared machine change."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

STEPS: Final = 100_000
EVERY_S: Final = 1.0


@asynccontextmanager
async def pace_sampled() -> AsyncIterator[list[float]]:
    """Give a list that gets the CPU seconds of the loop, every second while the context is open."""
    samples = [_loop_s()]
    sampling = asyncio.create_task(_sample(samples))
    try:
        yield samples
    finally:
        sampling.cancel()
        with suppress(asyncio.CancelledError):
            await sampling


async def _sample(samples: list[float]) -> None:
    while True:
        await asyncio.sleep(EVERY_S)
        samples.append(_loop_s())


def _loop_s() -> float:
    started = time.thread_time()
    total = 0
    for number in range(STEPS):
        total += number
    return time.thread_time() - started
