"""What a running engage is made of: connections and what is kept in memory, opened in one place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.clock import Clock
from engage.gate.client import Gate, open_gate
from engage.payouts.port import PayoutProvider
from engage.runtime.database import COMMAND_TIMEOUT_S, open_database, transaction
from engage.runtime.member_cache import MemberCache, keep_members_fresh
from engage.runtime.payout_provider import open_provider
from engage.runtime.post_commit import PostCommit
from engage.runtime.program_cache import ProgramCache, keep_programs_fresh
from engage.settings import Settings
from engage.signals.doorbell import Doorbell, queue_settings
from engage.signals.topics import Topics
from engage.store import sandbox_clock


class Services(msgspec.Struct, frozen=True):
    settings: Settings
    clock: Clock
    db: AsyncEngine
    gate: Gate
    topics: Topics
    doorbell: Doorbell
    programs: ProgramCache
    members: MemberCache
    post_commit: PostCommit
    payouts: PayoutProvider | None  # Who pays withdrawals out.


@asynccontextmanager
async def open_services(
    settings: Settings, clock: Clock | None = None, *, command_timeout_s: float | None = COMMAND_TIMEOUT_S
) -> AsyncIterator[Services]:
    """Everything a flow needs. Servers that are away are found when they are back.

    `command_timeout_s` is that of `open_database`. Raises SettingsError.

    Whoever decides reads the programs once before (`programs.refresh`); from then on they are kept fresh.
    """
    clock = clock or Clock()
    payouts = open_provider(settings)
    db = open_database(settings.database_url, command_timeout_s=command_timeout_s)
    gate = open_gate(settings.state_url)
    topics_client = Redis.from_url(settings.topics_url, socket_connect_timeout=2.0)
    topics = Topics(topics_client, clock)
    doorbell = Doorbell(queue_settings(settings.queue_url), clock)
    post_commit = PostCommit(db, gate, topics, doorbell)
    services = Services(
        settings, clock, db, gate, topics, doorbell, ProgramCache(), MemberCache(), post_commit, payouts
    )
    refreshing = [
        asyncio.create_task(keep_programs_fresh(services.programs, db)),
        asyncio.create_task(keep_members_fresh(services.members, db)),
    ]
    try:
        yield services
    finally:
        for task in refreshing:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await post_commit.drain()
        if payouts is not None:
            await payouts.close()
        await doorbell.close()
        await topics_client.aclose()
        await gate.close()
        await db.dispose()


async def read_clock(settings: Settings, conn: AsyncConnection) -> Clock:
    """The installation's clock as it is now, for whoever reads one snapshot of it."""
    return Clock() if settings.sandbox is None else Clock(await sandbox_clock.read(conn))


async def follow_sandbox_clock(services: Services) -> None:
    """Sets this part's clock by the sandbox's. Outside the sandbox there is none to follow."""
    if services.settings.sandbox is None:
        return
    async with transaction(services.db) as conn:
        services.clock.offset = await sandbox_clock.read(conn)
