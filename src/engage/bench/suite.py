"""All benchmarks, by name, and the running of some of them one after the other, each on ground of its own."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from msgspec import Struct

from engage.bench.benchmarks import checkout, expire, feed, gate, lateness, orders, settle, tap
from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import Figure
from engage.bench.setup.environment import Ground, open_ground
from engage.bench.sizes import Sizes

# No benchmark of the default sizes takes a quarter of this on a quiet machine.
LIMIT_S = 900.0

BENCHMARKS: dict[str, Callable[[Ground], Awaitable[list[Figure]]]] = {
    "tap": tap.run,
    "settle": settle.run,
    "feed": feed.run,
    "lateness": lateness.run,
    "gate": gate.run,
    "checkout": checkout.run,
    "orders": orders.run,
    "expire": expire.run,
}


class Outcome(Struct, frozen=True, kw_only=True):
    """What a benchmark found, or why it found nothing. `load_average` is that of the minute before it."""

    name: str
    seconds: float
    load_average: float
    figures: list[Figure]
    failure: str | None = None


async def measure(
    names: Sequence[str],
    sizes: Sizes,
    parent: Path | None,
    *,
    say: Callable[[str], None],
    durable: bool = True,
) -> list[Outcome]:
    """One after the other. Raises InstallationError where the servers cannot be started."""
    return [await _measure(name, sizes, parent, say, durable=durable) for name in names]


async def _measure(
    name: str, sizes: Sizes, parent: Path | None, say: Callable[[str], None], *, durable: bool
) -> Outcome:
    load_average = os.getloadavg()[0]
    began = time.monotonic()
    figures: list[Figure] = []
    failure = None
    try:
        async with asyncio.timeout(LIMIT_S), open_ground(parent, sizes, say=say, durable=durable) as ground:
            figures = await BENCHMARKS[name](ground)
    except (BenchmarkFailed, TimeoutError) as error:
        failure = str(error) or "it took too long"
    return Outcome(
        name=name,
        seconds=round(time.monotonic() - began, 1),
        load_average=round(load_average, 2),
        figures=figures,
        failure=failure,
    )
