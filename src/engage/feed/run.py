"""`engage feed`: the feed as a program of its own."""

import asyncio
import gc
import resource
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import structlog
import uvloop

from engage import logs
from engage.domain.accounts.balance import Balance
from engage.domain.refusals import Unavailable
from engage.feed.server import Feed, Limits, open_feed
from engage.feed.session import Member
from engage.flows.reads.balances import read_balances
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from engage.tokens.verifier import Identity, TokenVerifier, open_verifier

log = structlog.get_logger()

# Descriptors for all that is not a client: servers, logs, libraries.
OTHER_DESCRIPTORS: Final = 200

# Objects more until the youngest are looked at; how often that, until the next are; and so on.
COLLECT_AFTER: Final = (5_000, 10, 1_000)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; clients are then told to come back.

    Raises SettingsError, and OSError for a port that is not to be had.
    """
    logs.configure(settings)
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_services(settings) as services:
        verifier = await open_verifier(settings, services.clock)
        try:
            await _serve_until(stop, services, verifier)
        finally:
            await verifier.close()


async def _serve_until(stop: asyncio.Event, services: Services, verifier: TokenVerifier) -> None:
    async def read(members: list[Member]) -> Mapping[Member, Balance]:
        return await read_balances(services, members)

    def verify(token: str) -> Identity:
        """Who was merged hears of the member they were merged into."""
        who = verifier.verify(token)
        return Identity(who.program_id, services.members.current_id(who.program_id, who.member_id))

    with suppress(Unavailable):  # It is looked for again, all the time.
        await services.members.refresh(services.db)
    limits = _limits()
    async with open_feed(
        host=services.settings.feed_host,
        port=services.settings.feed_port,
        topics=services.topics,
        verify=verify,
        read_balances=read,
        limits=limits,
    ) as feed:
        _collect_less()
        log.info("feed is serving", port=feed.port, connections=limits.connections)
        await _first(stop, feed)


async def _first(stop: asyncio.Event, feed: Feed) -> None:
    """Until we are told to stop, or the feed has broken."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([stopping, feed.running], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()


def _collect_less() -> None:
    """A full collection looks at all of every connection, some 50 µs each, while nobody is served.

    Connections that end are freed without one. What else comes in cycles dies young.
    """
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _limits() -> Limits:
    """As many connections as the system lets a program have descriptors for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = Limits().connections + OTHER_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return Limits()
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return Limits(connections=max(wanted - OTHER_DESCRIPTORS, 1))
