"""`feed`: pushes a second against a bare broadcast, and what an idle connection costs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil

from engage.bench.baselines import broadcast_server as bare_feed
from engage.bench.clients import feed_client as sockets
from engage.bench.clients import feed_publisher as publisher
from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import Figure, median, spread
from engage.bench.setup import members as crowd
from engage.bench.setup.child_program import Hand, hand
from engage.bench.setup.constants import PROGRAM, many_files
from engage.bench.setup.environment import Ground, running
from engage.clock import Clock
from engage.embedded import processes
from engage.feed import messages
from engage.programs import preset
from engage.runtime.database import open_database

AT_LEAST = 0.7
MOST_KIB = 20.0
KIB = 1024
WARM_UP = 100
SETTLE_S = 0.5  # What was begun by closing connections has ended by then.
PREFIX = "fed-"


async def run(ground: Ground) -> list[Figure]:
    sizes = ground.sizes
    wanted = max(sizes.sockets, sizes.idle) + 500
    if many_files() < wanted:
        raise BenchmarkFailed(f"the system allows a process fewer than the {wanted:,} files that this takes")
    db = open_database(ground.settings.database_url, pool_size=1)
    try:
        members = max(sizes.sockets, sizes.idle, WARM_UP)
        await crowd.add_members(db, preset(PROGRAM), PREFIX, members, now=Clock().now())
    finally:
        await db.dispose()
    part = processes.feed(ground.folder, ground.settings)
    logs = ground.folder.logs
    async with running(part) as supervisor, hand("engage.bench.clients.feed_client", logs) as clients:
        # Memory first, while the process is as it began.
        memory = await _memory(ground, clients, psutil.Process(supervisor.pid(part.name)))
        return [await _pushes(ground, clients), memory]


async def _pushes(ground: Ground, clients: Hand) -> Figure:
    ours, bare = [], []
    busy = 0.0
    ground.say(f"feed: opening {ground.sizes.sockets:,} sockets")
    await clients.ask(_members(ground, ground.sizes.sockets), sockets.Opened)
    async with (
        hand("engage.bench.clients.feed_publisher", ground.folder.logs) as publishing,
        _bare_and_clients(ground) as (others, plain),
    ):
        for turn in range(ground.sizes.rounds):
            ground.say(f"feed: pushes, round {turn + 1} of {ground.sizes.rounds}")
            counted = await _broadcast(ground, others, plain)
            bare.append(counted.rate)
            counted = await _publish(ground, clients, publishing)
            ours.append(counted.rate)
            busy = max(busy, counted.busy_s / counted.seconds)
    rate = median(ours)
    return Figure(
        benchmark="feed",
        what=f"pushes a second to {ground.sizes.sockets:,} sockets",
        value=rate,
        unit="pushes/s",
        over=f"bare websockets broadcast: {median(bare):,.0f}/s",
        ratio=rate / median(bare),
        at_least=AT_LEAST,
        note=f"{spread(ours)}; clients at most {busy:.0%} busy",
    )


@asynccontextmanager
async def _bare_and_clients(ground: Ground) -> AsyncIterator[tuple[Hand, Hand]]:
    """(clients, server)."""
    logs = ground.folder.logs
    async with (
        hand("engage.bench.baselines.broadcast_server", logs) as plain,
        hand("engage.bench.clients.feed_client", logs, name="sockets_of_bare_feed") as clients,
    ):
        port = (await plain.ask(bare_feed.Begin(), bare_feed.Begun)).port
        await clients.ask(sockets.Open(port, PREFIX, ground.sizes.sockets), sockets.Opened)
        yield clients, plain


async def _publish(ground: Ground, clients: Hand, publishing: Hand) -> sockets.Counted:
    members, rounds = ground.sizes.sockets, _rounds(ground)
    port = (await publishing.ask(publisher.Prepare(), publisher.Prepared)).pace_port
    await clients.tell(sockets.Count(members * rounds, port))
    order = publisher.Publish(ground.settings.topics_url, PROGRAM, PREFIX, members, rounds)
    await publishing.ask(order, publisher.Published)
    return await clients.hear(sockets.Counted)


async def _broadcast(ground: Ground, clients: Hand, plain: Hand) -> sockets.Counted:
    members, rounds = ground.sizes.sockets, _rounds(ground)
    port = (await plain.ask(bare_feed.Prepare(), bare_feed.Begun)).port
    await clients.tell(sockets.Count(members * rounds, port))
    same = messages.balance_changed(publisher.change(PROGRAM, PREFIX, 1).balance, "active").decode()
    await plain.ask(bare_feed.Broadcast(same, rounds, members), bare_feed.Sent)
    return await clients.hear(sockets.Counted)


def _rounds(ground: Ground) -> int:
    return max(ground.sizes.pushes // ground.sizes.sockets, 1)


def _members(ground: Ground, count: int) -> sockets.Open:
    return sockets.Open(ground.settings.feed_port, PREFIX, count, PROGRAM, str(ground.folder.sandbox))


async def _memory(ground: Ground, clients: Hand, feed: psutil.Process) -> Figure:
    """By what the feed's process has for itself alone (USS), from just before the connections."""
    count, idle_s = ground.sizes.idle, ground.sizes.idle_s
    ground.say(f"feed: {count:,} idle connections, for {idle_s:.0f} s")
    await clients.ask(_members(ground, WARM_UP), sockets.Opened)
    await _leave(clients)
    before = feed.memory_full_info()
    await clients.ask(_members(ground, count), sockets.Opened)
    opened = feed.memory_full_info()
    await asyncio.sleep(idle_s)
    after = feed.memory_full_info()
    await _leave(clients)
    most = max(opened.uss, after.uss) - before.uss
    resident = (after.rss - before.rss) / count / KIB
    return Figure(
        benchmark="feed",
        what="memory for an idle authenticated connection",
        value=most / count / KIB,
        unit="KiB",
        at_most=MOST_KIB,
        note=f"growth of the feed's USS at {count:,}, after {idle_s:.0f} s; of its RSS {resident:.1f}",
    )


async def _leave(clients: Hand) -> None:
    await clients.ask(sockets.Leave(), sockets.Opened)
    await asyncio.sleep(SETTLE_S)
