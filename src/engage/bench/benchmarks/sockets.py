"""`sockets`: very many apps on one feed process: what each takes, and what comes after a kill.

All apps connect again at once while their balances change. In the end each must show what the ledger says.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psutil

from engage.bench.clients import app_client
from engage.bench.clients.app_client import (
    AppCount,
    AwaitServed,
    ExpectStorm,
    OpenApps,
    Served,
)
from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import Figure, percentile
from engage.bench.setup import processes
from engage.bench.setup.agreement import Agreed, apps_agree
from engage.bench.setup.child_program import ChildProgram, child_program
from engage.bench.setup.constants import PRESET, PROGRAM, member_id, raise_file_limit
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members
from engage.domain.activity import FuelTap
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.programs import preset
from engage.runtime.services import Services, open_services

MAX_KIB: Final = 12.0
MAX_STORM_S: Final = 30.0
KIB: Final = 1024
PREFIX: Final = "app-01234567-0123-0123-0123-"
SPARE_FILES: Final = 500
WARM_UP: Final = 100
TAPS_AT_ONCE: Final = 50
TAP_EVERY_S: Final = 0.1
SERVED_S: Final = 240.0
LOOK_S: Final = 0.5


async def run(env: Environment) -> list[Figure]:
    files = env.sizes.apps + SPARE_FILES
    if raise_file_limit() < files:
        raise BenchmarkFailed(f"{files:,} open files are needed; the system allows a process fewer")
    async with open_services(env.settings) as services:
        await services.programs.refresh(services.db)
        await add_members(services.db, preset(PRESET), PREFIX, env.sizes.apps, now=services.clock.now())
        spec = processes.feed(env)
        async with (
            processes.running(spec, may_end=[spec.name]) as supervisor,
            child_program(app_client, env.folder.logs) as client,
        ):
            memory = await _memory(env, client, supervisor.pid(spec.name))
            env.report(f"sockets: the feed is killed, {env.sizes.apps:,} apps connect again")
            async with _tapping(env, services):
                await client.call(ExpectStorm(), AppCount)
                killed_at = time.monotonic()
                os.kill(supervisor.pid(spec.name), signal.SIGKILL)
                served = await client.call(AwaitServed(SERVED_S), Served, within_s=SERVED_S + LOOK_S)
            env.report("sockets: comparing with the ledger")
            agreed = await apps_agree(services, client, PROGRAM, PREFIX)
    return [memory, _storm(served, killed_at), _agreed(env, agreed)]


async def _memory(env: Environment, client: ChildProgram, pid: int) -> Figure:
    """Measure how much the feed's memory grows with apps that are only connected."""
    feed, count = psutil.Process(pid), env.sizes.apps
    warm_up = min(WARM_UP, count // 2)
    await client.call(_apps(env, 0, warm_up), AppCount)
    before = feed.memory_full_info()
    env.report(f"sockets: {count:,} apps connect, then {env.sizes.idle_s:.0f} s of nothing")
    await client.call(_apps(env, warm_up, count), AppCount)
    await asyncio.sleep(env.sizes.idle_s)
    after = feed.memory_full_info()
    opened = count - warm_up
    own, resident = (after.uss - before.uss) / opened / KIB, (after.rss - before.rss) / opened / KIB
    return Figure(
        benchmark="sockets",
        what=f"memory of the feed for each of {count:,} apps",
        value=max((after.pss - before.pss) / opened / KIB, 0.01),
        unit="KiB",
        at_most=MAX_KIB,
        note=f"growth of its PSS, {env.sizes.idle_s:.0f} s later; of USS {own:.1f}, of RSS {resident:.1f}",
    )


def _apps(env: Environment, first: int, end: int) -> OpenApps:
    return OpenApps(
        env.settings.feed_port, PREFIX, end - first, PROGRAM, str(env.folder.sandbox), first=first
    )


@asynccontextmanager
async def _tapping(env: Environment, services: Services) -> AsyncIterator[None]:
    """Let all members tap, from before the block until after it. What is left at its end is done at once."""
    started, ending = asyncio.Event(), asyncio.Event()
    tapping = asyncio.create_task(_tap(env, services, started, ending))
    try:
        await asyncio.wait(
            [tapping, asyncio.create_task(started.wait())], return_when=asyncio.FIRST_COMPLETED
        )
        yield
        ending.set()
        await tapping
    finally:
        tapping.cancel()


async def _tap(env: Environment, services: Services, started: asyncio.Event, ending: asyncio.Event) -> None:
    for first in range(0, env.sizes.apps, TAPS_AT_ONCE):
        now = services.clock.now()
        numbers = range(first, min(first + TAPS_AT_ONCE, env.sizes.apps))
        taps = [MemberActivity(PROGRAM, member_id(PREFIX, n), FuelTap(), now) for n in numbers]
        for answer in await record(services, taps):
            if isinstance(answer, Exception):
                raise BenchmarkFailed(f"a tap was not recorded: {answer}")
        started.set()
        if not ending.is_set():
            await asyncio.sleep(TAP_EVERY_S)
    await services.post_commit.drain()


def _storm(served: Served, killed_at: float) -> Figure:
    after = [at - killed_at for at in served.at]
    return Figure(
        benchmark="sockets",
        what=f"from the kill of the feed until all {len(after):,} apps are served again",
        value=max(after),
        unit="s",
        at_most=MAX_STORM_S,
        note=f"half after {percentile(after, 50):.1f} s, 99 % after {percentile(after, 99):.1f} s; "
        f"{served.attempts:,} attempts to connect",
    )


def _agreed(env: Environment, agreed: Agreed) -> Figure:
    return Figure(
        benchmark="sockets",
        what="apps that show the balance and seq of the ledger in the end",
        value=agreed.apps,
        unit="apps",
        at_least=env.sizes.apps,
        note=f"each member has tapped meanwhile; {agreed.lost:,} connections were lost",
    )
