"""The process of `engage feed`."""

import asyncio
import gc
import signal
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from functools import partial
from typing import Final

import structlog
import uvloop
from msgspec.structs import replace

from engage import logs, tracing
from engage.connections.clients import allow_clients
from engage.domain.accounts.balance import Balance
from engage.domain.identity import Identity
from engage.domain.refusals import Unavailable
from engage.feed.server import Limits, open_feed
from engage.feed.session import Member
from engage.flows.reads.balances import read_balances
from engage.runtime.background import running
from engage.runtime.database import REQUEST_TIMEOUT_S
from engage.runtime.liveness import FEED, touch_liveness_file
from engage.runtime.operations import open_operations
from engage.runtime.rate_limits import REPORT_S
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from engage.tokens.verifier import TokenVerifier, open_verifier

log = structlog.get_logger()

# Descriptors that are not clients: servers, logs, libraries.
OTHER_DESCRIPTORS: Final = 200

# Thresholds of the garbage collector for its three generations.
COLLECT_AFTER: Final = (5_000, 10, 1_000)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError, and OSError for a port that is taken."""
    logs.configure(settings)
    tracing.start(settings, "feed")
    try:
        uvloop.run(_serve(settings))
    finally:
        tracing.close()


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_services(settings, command_timeout_s=REQUEST_TIMEOUT_S) as services:
        logs.follow(services.live)
        verifier = await open_verifier(services.live, services.clock)
        try:
            await _serve_until(stop, services, verifier)
        finally:
            await verifier.close()


async def _serve_until(stop: asyncio.Event, services: Services, verifier: TokenVerifier) -> None:
    async def read(members: list[Member]) -> Mapping[Member, Balance]:
        return await read_balances(services, members)

    with suppress(Unavailable):  # The cache refreshes itself later.
        await services.members.refresh(services.db)
    limits = Limits(connections=allow_clients(Limits().connections, other_descriptors=OTHER_DESCRIPTORS))
    async with open_feed(
        host=services.settings.feed_host,
        port=services.settings.feed_port,
        topics=services.topics,
        credentials=_Credentials(services, verifier),
        read_balances=read,
        clock=services.clock,
        limits=limits,
        loops=services.loops,
        admit=partial(_wait_of, services),
    ) as feed:
        services.primary.listen(feed.database_changed)
        _collect_less()
        log.info("feed is serving", port=feed.port, connections=limits.connections)
        services.metrics.on_read(partial(feed.count, services.metrics.feed))
        loops = (
            touch_liveness_file(services),
            services.loops.repeat("limits", services.limits.report, every_s=REPORT_S),
        )
        async with open_operations(services, FEED, feed.check), running(*loops):
            await stop.wait()


def _wait_of(services: Services, address: str, headers: Iterable[tuple[bytes, bytes]]) -> int:
    network = services.origins.public_network(address, headers)
    return services.limits.wait_of_network(services.limits.connections, network)


class _Credentials:
    """Tokens. A merged member gets the balance of the survivor."""

    def __init__(self, services: Services, verifier: TokenVerifier) -> None:
        self._services = services
        self._verifier = verifier

    async def identify(self, token: str) -> Identity:
        caller = await self._verifier.identify(token)
        member_id = self._services.members.current_id(caller.program_id, caller.member_id)
        return replace(caller, member_id=member_id)

    async def withdrawn(self, in_use: Set[str]) -> Set[str]:
        return await self._verifier.withdrawn(in_use)


def _collect_less() -> None:
    """Make full collections rare: each takes some 50 µs for every connection and stops all work.

    Ended connections are freed without one, and other cycles are short-lived.
    """
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
