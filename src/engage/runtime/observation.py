"""Metrics of a process that are known elsewhere in it: set when somebody reads them, without a query."""

import asyncio
from collections import deque
from functools import partial
from importlib.metadata import version
from typing import Final, cast

from sqlalchemy.pool import QueuePool

from engage.connections.schema_version import newest_version
from engage.runtime.services import Services
from engage.settings import variable_of

LAG_EVERY_S: Final = 0.5
LAGS_KEPT: Final = 30

_STATE = {None: 0, False: 1, True: 2}


def observe(services: Services, part: str) -> None:
    """Let the metrics of a process show its services."""
    services.metrics.process.process_info.set(1, part, version("engage"), newest_version())
    services.metrics.on_read(partial(_read_loops, services))
    services.metrics.on_read(partial(_read_connections, services))
    services.metrics.on_read(partial(_read_adapters, services))


async def measure_event_loop(services: Services) -> None:
    """Measure how late timers are, as a loop of the process. Only what is in its turn is late."""
    lags: deque[float] = deque(maxlen=LAGS_KEPT)
    now = asyncio.get_running_loop().time

    async def turn() -> None:
        began = now()
        await asyncio.sleep(0.01)
        lags.append(max(now() - began - 0.01, 0.0))
        services.metrics.process.event_loop_lag.set(max(lags))

    await services.loops.repeat("operations", turn, every_s=LAG_EVERY_S)


def _read_loops(services: Services) -> None:
    process, loops = services.metrics.process, services.loops
    states = loops.states()
    process.loop_state.replace(
        [((s.loop,), _STATE[None if s.problem is None else s.problem.stuck]) for s in states]
    )
    process.loop_age.replace([((s.loop,), s.age_s) for s in states])
    for state in states:
        process.loop_failures.reached(state.failures, state.loop)
    process.clock_skew.set(services.clock.skew.total_seconds())
    for name, count in services.live.reads.items():
        process.secret_reads.reached(count, variable_of(name))


def _read_connections(services: Services) -> None:
    pool = cast(QueuePool, services.db.pool)
    gauge = services.metrics.process.connections
    gauge.set(pool.checkedout(), "in_use")
    gauge.set(pool.checkedin(), "idle")
    gauge.set(pool.size(), "limit")


def _read_adapters(services: Services) -> None:
    ledger = services.metrics.ledger
    ledger.doorbell_rings.reached(services.doorbell.rings)
    ledger.after_commit_waiting.set(services.post_commit.waiting)
    for step, count in services.post_commit.failures.items():
        ledger.after_commit_failures.reached(count, step)
    for call, count in services.gate.calls.items():
        ledger.gate_calls.reached(count, call)
    ledger.gate_loads.reached(services.gate.loaded)
    ledger.gate_installs.reached(services.gate.installs)
