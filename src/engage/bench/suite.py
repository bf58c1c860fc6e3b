"""The table of benchmarks. They run one after the other, each in a new environment."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
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
from engage.domain.refusals import Unavailable

# On a quiet machine each benchmark takes less than a quarter of this with the default sizes.
LIMIT_S = 900.0

# Of those whose time follows from their sizes.
LIMITS: dict[str, Callable[[Sizes], float]] = {"scale": scale.limit_s, "soak": soak.limit_s}

# Figures at the end, or each as soon as it is measured: a step that fails later loses none of these.
Measuring = Awaitable[list[Figure]] | AsyncIterator[Figure]

BENCHMARKS: dict[str, Callable[[Environment], Measuring]] = {
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


# A wrong result ends a benchmark as well as a command that fails: what was measured before stands.
FAILURES = (BenchmarkFailed, TimeoutError, Unavailable, AssertionError)


class Outcome(Struct, frozen=True, kw_only=True):
    """The figures of a benchmark. If it failed, they are those of before, and `failure` says in which step
    and why. `load_average` is of the minute before it started.
    """

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
    step = "starting"

    def note(progress: str) -> None:
        nonlocal step
        step = progress
        report(progress)

    try:
        async with (
            asyncio.timeout(LIMITS[name](sizes) if name in LIMITS else LIMIT_S),
            open_environment(parent, sizes, report=note, durable=durable) as env,
        ):
            await collect(BENCHMARKS[name](env), figures)
    except FAILURES as error:
        failure = f"{step}: {_reason(error)}"
    return Outcome(
        name=name,
        seconds=round(time.monotonic() - started, 1),
        load_average=round(load_average, 2),
        figures=figures,
        failure=failure,
    )


async def collect(measuring: Measuring, figures: list[Figure]) -> None:
    """Add the figures of a benchmark to those that there are, and keep them whatever happens next."""
    if isinstance(measuring, AsyncIterator):
        async for figure in measuring:
            figures.append(figure)  # noqa: PERF401  # A comprehension would lose all at an error.
    else:
        figures += await measuring


def _reason(error: Exception) -> str:
    match error:
        case TimeoutError():
            return str(error) or "it took too long"
        case Unavailable():
            return f"{error.facts['part']} does not answer"
        case _:
            return str(error)
