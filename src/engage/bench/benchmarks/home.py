"""`home`: home screens a second of one API process, compared with an empty handler: for tokens and members
that are in no cache, for known ones, and for screens that have not changed.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from msgspec import Struct, field

from engage.bench.clients import http_client
from engage.bench.clients.http_client import SendAll, SignTokens, TokensSigned
from engage.bench.clients.load import LoadResult, request_load
from engage.bench.figures import Figure, compare, median, spread
from engage.bench.setup import processes
from engage.bench.setup.child_program import ChildProgram, child_program
from engage.bench.setup.constants import HOME, HOST, PRESET, PROGRAM
from engage.bench.setup.cpu import cpu_of
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import (
    add_members,
    add_pending_credits,
    load_members,
    spans,
    vacuum,
)
from engage.bench.setup.points import add_active_credits, add_lots
from engage.domain.program.program import Program
from engage.embedded import ports
from engage.programs import preset
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services

MIN_KNOWN = 0.30
MIN_UNCHANGED = 0.45
MIN_FIRST = 0.15

# What a member of some weeks has: points that are active and end next year, and some that wait.
CREDITS, POINTS = 4, 10
ENDS_AFTER = timedelta(days=300)
DUE_AFTER = timedelta(days=1)

PREFIX, WARM = "home-", "warmhome-"


class Server(Struct, frozen=True):
    """A server that is compared."""

    port: int
    pid: int


class Servers(Struct, frozen=True):
    """The load client, and the servers that it compares."""

    client: ChildProgram
    api: Server
    empty: Server


class Results(Struct, frozen=True):
    """The requests of one kind: for each round their load, and the server's CPU time in seconds."""

    loads: list[LoadResult] = []
    cpu_s: list[float] = []

    @property
    def rates(self) -> list[float]:
        return [load.rate for load in self.loads]

    @property
    def cpu_us(self) -> float:
        """The CPU time of a request, in microseconds."""
        requests = median([sum(load.statuses.values()) for load in self.loads])
        return median(self.cpu_s) / requests * 1_000_000


class Screens(Struct, frozen=True):
    """Requests in each state of a token, a member and a screen, and those for nothing."""

    first: Results = field(default_factory=Results)
    known: Results = field(default_factory=Results)
    unchanged: Results = field(default_factory=Results)
    empty: Results = field(default_factory=Results)


async def run(env: Environment) -> list[Figure]:
    async with open_services(env.settings) as services:
        await _add_members(env, services)
        async with _servers(env) as servers:
            for prefix, count in _counts(env).items():
                await servers.client.call(
                    SignTokens(str(env.folder.sandbox), PROGRAM, prefix, count), TokensSigned
                )
            await _measure_round(env, servers, Screens(), WARM, 0)
            screens = Screens()
            for number in env.rounds("home"):
                await _measure_round(env, servers, screens, PREFIX, number * env.sizes.screens)
    return [*_rates(screens), *_cpu_times(screens)]


def _counts(env: Environment) -> dict[str, int]:
    return {PREFIX: env.sizes.screens * env.sizes.rounds, WARM: env.sizes.screens}


async def _add_members(env: Environment, services: Services) -> None:
    program, now = preset(PRESET), services.clock.now()
    env.report(f"home: adding {sum(_counts(env).values()):,} members")
    for prefix, count in _counts(env).items():
        await add_members(services.db, program, prefix, count, now=now)
        await load_members(services.gate, program, prefix, count, now=now)
        await add_active_credits(
            services.db, program, prefix, count, credits=CREDITS, points=POINTS, at=now - timedelta(days=9)
        )
        await _add_lots(services, program, prefix, count)
        await add_pending_credits(
            services.db, program, prefix, count, at=now - timedelta(days=2), due_at=now + DUE_AFTER
        )
    await vacuum(services.db)


async def _add_lots(services: Services, program: Program, prefix: str, count: int) -> None:
    ends = services.clock.now() + ENDS_AFTER
    for span in spans(count):
        async with transaction(services.db) as conn:
            await add_lots(conn, program, prefix, span, expires_at=ends)


@asynccontextmanager
async def _servers(env: Environment) -> AsyncIterator[Servers]:
    """Run all of engage, the baseline and the client. Those not in use are idle."""
    empty = ports.free_port(HOST)
    async with (
        processes.running(
            *(processes.api(env), processes.feed(env), processes.worker(env)),
            processes.baseline(env, "empty_home", empty),
        ) as supervisor,
        child_program(http_client, env.folder.logs) as client,
    ):
        yield Servers(
            client,
            Server(env.settings.api_port, supervisor.pid("api")),
            Server(empty, supervisor.pid("empty_home")),
        )


async def _measure_round(
    env: Environment, servers: Servers, screens: Screens, prefix: str, first: int
) -> None:
    """Measure members in the order in which an app meets each state. All four send as many requests."""
    count, connections = env.sizes.screens, env.sizes.connections

    async def send(
        results: Results, server: Server, status: int = 200, *, keep: bool = False, known: bool = False
    ) -> None:
        request = SendAll(
            server.port, "GET", HOME, prefix, first, count, connections, keep_tags=keep, known_tags=known
        )
        before = cpu_of(server.pid)
        results.loads.append(await request_load(servers.client, request, {status: count}))
        results.cpu_s.append(cpu_of(server.pid) - before)

    await send(screens.first, servers.api, keep=True)
    await send(screens.empty, servers.empty)
    await send(screens.known, servers.api)
    await send(screens.unchanged, servers.api, 304, known=True)


def _rates(screens: Screens) -> list[Figure]:
    return [
        compare(
            "home",
            what,
            "screens/s",
            results.rates,
            baseline="empty Litestar handler",
            baseline_rates=screens.empty.rates,
            at_least=at_least,
            note=f"{spread(results.rates)}; p99 at most "
            f"{max(load.p99_s for load in results.loads) * 1000:.0f} ms",
        )
        for what, results, at_least in (
            ("home screens, the token known", screens.known, MIN_KNOWN),
            ("the same, answered 304", screens.unchanged, MIN_UNCHANGED),
            ("first requests of tokens and members", screens.first, MIN_FIRST),
        )
    ]


def _cpu_times(screens: Screens) -> list[Figure]:
    """On a busy machine rates say little. The CPU time of the API process varies less."""
    empty_us = screens.empty.cpu_us
    return [
        Figure(
            benchmark="home",
            what=f"CPU time of the API process: {what}",
            value=results.cpu_us,
            unit="µs",
            over=f"empty Litestar handler: {empty_us:,.0f} µs",
            ratio=results.cpu_us / empty_us if empty_us else None,
        )
        for what, results in (
            ("the token known", screens.known),
            ("answered 304", screens.unchanged),
            ("first requests", screens.first),
        )
    ]
