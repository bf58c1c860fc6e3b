"""`feed`: pushes a second compared with a plain broadcast, and the memory of an idle connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil

from engage.bench.baselines import broadcast_server
from engage.bench.clients import feed_client, feed_publisher
from engage.bench.clients.feed_client import (
    CloseSockets,
    CountMessages,
    MessageCount,
    OpenSockets,
    SocketCount,
)
from engage.bench.clients.pacing import OpenPacer, PortOpen
from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import Figure, compare, spread
from engage.bench.setup import processes
from engage.bench.setup.child_program import ChildProgram, child_program
from engage.bench.setup.constants import PRESET, PROGRAM, raise_file_limit
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members
from engage.clock import machine_time
from engage.feed import messages
from engage.programs import preset
from engage.runtime.database import open_database

MIN_RATIO = 0.7
MAX_KIB = 20.0
KIB = 1024
WARM_UP = 100
CLOSE_S = 0.5  # Time for the server to close connections.
SPARE_FILES = 500
PREFIX = "fed-"


async def run(env: Environment) -> list[Figure]:
    sizes = env.sizes
    files = max(sizes.sockets, sizes.idle) + SPARE_FILES
    if raise_file_limit() < files:
        raise BenchmarkFailed(f"{files:,} open files are needed; the system allows a process fewer")
    db = open_database(env.settings.database_url, pool_size=1)
    try:
        members = max(sizes.sockets, sizes.idle, WARM_UP)
        await add_members(db, preset(PRESET), PREFIX, members, now=machine_time())
    finally:
        await db.dispose()
    spec = processes.feed(env)
    async with (
        processes.running(spec) as supervisor,
        child_program(feed_client, env.folder.logs) as client,
    ):
        # Memory first, before the process has allocated anything for pushes.
        memory = await _memory(env, client, psutil.Process(supervisor.pid(spec.name)))
        return [await _pushes(env, client), memory]


async def _pushes(env: Environment, client: ChildProgram) -> Figure:
    feed_rates, broadcast_rates = [], []
    busy = 0.0
    env.report(f"feed: opening {env.sizes.sockets:,} sockets")
    await client.call(_open_sockets(env, env.sizes.sockets), SocketCount)
    async with (
        child_program(feed_publisher, env.folder.logs) as publisher,
        _broadcast_server(env) as (broadcast_client, server),
    ):
        for _ in env.rounds("feed"):
            broadcast_rates.append((await _broadcast(env, broadcast_client, server)).rate)
            count = await _publish(env, client, publisher)
            feed_rates.append(count.rate)
            busy = max(busy, count.busy_s / count.seconds)
    return compare(
        "feed",
        f"pushes a second to {env.sizes.sockets:,} sockets",
        "pushes/s",
        feed_rates,
        baseline="broadcast of the websockets library",
        baseline_rates=broadcast_rates,
        at_least=MIN_RATIO,
        note=f"{spread(feed_rates)}; clients at most {busy:.0%} busy",
    )


@asynccontextmanager
async def _broadcast_server(env: Environment) -> AsyncIterator[tuple[ChildProgram, ChildProgram]]:
    """Run the baseline with a client that is connected to it. Yields (client, server)."""
    logs = env.folder.logs
    async with (
        child_program(broadcast_server, logs) as server,
        child_program(feed_client, logs, name="broadcast_client") as client,
    ):
        port = (await server.call(broadcast_server.StartServer(), PortOpen)).port
        await client.call(OpenSockets(port, PREFIX, env.sizes.sockets), SocketCount)
        yield client, server


async def _publish(env: Environment, client: ChildProgram, publisher: ChildProgram) -> MessageCount:
    members, rounds = env.sizes.sockets, _pushes_per_socket(env)
    port = (await publisher.call(OpenPacer(), PortOpen)).port
    await client.send(CountMessages(members * rounds, port))
    request = feed_publisher.Publish(env.settings.topics_url, PROGRAM, PREFIX, members, rounds)
    await publisher.call(request, feed_publisher.Published)
    return await client.receive(MessageCount)


async def _broadcast(env: Environment, client: ChildProgram, server: ChildProgram) -> MessageCount:
    members, rounds = env.sizes.sockets, _pushes_per_socket(env)
    port = (await server.call(OpenPacer(), PortOpen)).port
    await client.send(CountMessages(members * rounds, port))
    # The same message that the feed sends.
    balance = feed_publisher.change(PROGRAM, PREFIX, 1).balance
    message = messages.balance_changed(balance, "active").decode()
    await server.call(broadcast_server.Broadcast(message, rounds, members), broadcast_server.MessagesSent)
    return await client.receive(MessageCount)


def _pushes_per_socket(env: Environment) -> int:
    return max(env.sizes.pushes // env.sizes.sockets, 1)


def _open_sockets(env: Environment, count: int) -> OpenSockets:
    return OpenSockets(env.settings.feed_port, PREFIX, count, PROGRAM, str(env.folder.sandbox))


async def _memory(env: Environment, client: ChildProgram, feed: psutil.Process) -> Figure:
    """Measure how much the unique set size (USS) of the feed's process grows with connections."""
    count, idle_s = env.sizes.idle, env.sizes.idle_s
    env.report(f"feed: {count:,} idle connections, for {idle_s:.0f} s")
    await client.call(_open_sockets(env, WARM_UP), SocketCount)
    await _close_sockets(client)
    before = feed.memory_full_info()
    await client.call(_open_sockets(env, count), SocketCount)
    opened = feed.memory_full_info()
    await asyncio.sleep(idle_s)
    after = feed.memory_full_info()
    await _close_sockets(client)
    most = max(opened.uss, after.uss) - before.uss
    resident = (after.rss - before.rss) / count / KIB
    return Figure(
        benchmark="feed",
        what="memory for an idle authenticated connection",
        value=most / count / KIB,
        unit="KiB",
        at_most=MAX_KIB,
        note=f"growth of the feed's USS at {count:,}, after {idle_s:.0f} s; of its RSS {resident:.1f}",
    )


async def _close_sockets(client: ChildProgram) -> None:
    await client.call(CloseSockets(), SocketCount)
    await asyncio.sleep(CLOSE_S)
