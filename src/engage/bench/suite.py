"""The table of benchmarks. They run one after the other, each in a new environment."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from msgspec import Struct

from engage.bench.benchmarks import (
    backtest,
    books,
    campaigns,
    checkout,
    console,
    expire,
    feed,
    gate,
    home,
    lateness,
    leaderboard,
    orders,
    quiz,
    scale,
    segment,
    settle,
    size,
    soak,
    sockets,
    tap,
)
from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import Figure
from engage.bench.setup.environment import Environment, open_environment
from engage.bench.sizes import Sizes

# On a quiet machine each benchmark takes less than a quarter of this with the default sizes.
LIMIT_S = 900.0

# Of those whose time follows from their sizes.
LIMITS: dict[str, Callable[[Sizes], float]] = {"scale": scale.limit_s, "soak": soak.limit_s}

BENCHMARKS: dict[str, Callable[[Environment], Awaitable[list[Figure]]]] = {
    "tap": tap.run,
    "home": home.run,
    "settle": settle.run,
    "size": size.run,
    "feed": feed.run,
    "lateness": lateness.run,
    "gate": gate.run,
    "checkout": checkout.run,
    "orders": orders.run,
    "expire": expire.run,
    "quiz": quiz.run,
    "leaderboard": leaderboard.run,
    "segment": segment.run,
    "backtest": backtest.run,
    "books": books.run,
    "campaigns": campaigns.run,
    "console": console.run,
    "scale": scale.run,
    "sockets": sockets.run,
    "soak": soak.run,
}


class Outcome(Struct, frozen=True, kw_only=True):
    """The figures of a benchmark, or why it failed. `load_average` is of the minute before it started."""

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
    report: Callable[[str], None],
    durable: bool = True,
) -> list[Outcome]:
    """Run benchmarks and report progress. Raises InstallationError if the servers cannot be started."""
    return [await _measure(name, sizes, parent, report, durable=durable) for name in names]


async def _measure(
    name: str, sizes: Sizes, parent: Path | None, report: Callable[[str], None], *, durable: bool
) -> Outcome:
    load_average = os.getloadavg()[0]
    started = time.monotonic()
    figures: list[Figure] = []
    failure = None
    try:
        async with (
            asyncio.timeout(LIMITS[name](sizes) if name in LIMITS else LIMIT_S),
            open_environment(parent, sizes, report=report, durable=durable) as env,
        ):
            figures = await BENCHMARKS[name](env)
    except (BenchmarkFailed, TimeoutError) as error:
        failure = str(error) or "it took too long"
    return Outcome(
        name=name,
        seconds=round(time.monotonic() - started, 1),
        load_average=round(load_average, 2),
        figures=figures,
        failure=failure,
    )
