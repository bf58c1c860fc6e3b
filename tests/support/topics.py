"""Listen to the topics of members, as a feed does."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

from msgspec import Struct
from redis.asyncio import Redis

from engage.clock import MachineClock
from engage.connections.cluster import open_servers
from engage.domain.keys import MemberKey
from engage.signals.changes import Change
from engage.signals.topics import Topics
from tests.support.eventually import WITHIN_S


@asynccontextmanager
async def topics_of(client: Redis) -> AsyncIterator[Topics]:
    """Open the topics of the server of a client."""
    at = client.connection_pool.connection_kwargs
    url = f"redis://{at.get('host', '127.0.0.1')}:{at['port']}/{at.get('db', 0)}"
    topics = Topics(open_servers(url), MachineClock())
    try:
        yield topics
    finally:
        await topics.close()


class Activated(Struct, frozen=True):
    """The topic of this member is active from here on."""

    member: MemberKey


Received: TypeAlias = "asyncio.Queue[Change | Activated]"


@asynccontextmanager
async def listening(topics: Topics, members: Iterable[MemberKey]) -> AsyncIterator[Received]:
    """Subscribe to these members' topics; yield a queue of what is received from then on, one by one."""
    queue: Received = asyncio.Queue()

    def deliver(changes: Sequence[Change]) -> None:
        for change in changes:
            queue.put_nowait(change)

    def activated(active: list[MemberKey]) -> None:
        for member in active:
            queue.put_nowait(Activated(member))

    subscriptions = topics.subscriptions(deliver=deliver, activated=activated)
    wanted = set(members)
    for member in wanted:
        subscriptions.watch(member)
    running = asyncio.create_task(subscriptions.run(turned=lambda: None, failed=lambda _: None))
    try:
        async with asyncio.timeout(WITHIN_S):
            while wanted:
                received = await queue.get()
                assert isinstance(received, Activated)
                wanted.discard(received.member)
            yield queue
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
