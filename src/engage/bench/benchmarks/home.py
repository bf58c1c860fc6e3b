"""`home`: home screens a second of one API process, compared with an empty handler: for tokens and members
that are in no cache, for known ones, and for screens that have not changed.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from msgspec import Struct

from engage.bench.clients import http_client
from engage.bench.clients.http_client import SendAll, SignTokens, TokensSigned
from engage.bench.clients.load import LoadResult, request_load
from engage.bench.figures import Figure, compare, spread
from engage.bench.setup import processes
from engage.bench.setup.child_program import ChildProgram, child_program
from engage.bench.setup.constants import HOME, HOST, PRESET, PROGRAM
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


class Servers(Struct, frozen=True):
    """The load client, and the ports of the servers that it compares."""

    client: ChildProgram
    api: int
    empty: int


class Results(Struct, frozen=True):
    """One result for each round."""

    first: list[LoadResult] = []
    known: list[LoadResult] = []
    unchanged: list[LoadResult] = []
    empty: list[LoadResult] = []


async def run(env: Environment) -> list[Figure]:
    async with open_services(env.settings) as services:
        await _add_members(env, services)
        async with _servers(env) as servers:
            for prefix, count in _counts(env).items():
                await servers.client.call(
                    SignTokens(str(env.folder.sandbox), PROGRAM, prefix, count), TokensSigned
                )
            warm = Results()
            await _measure_round(env, servers, warm, WARM, 0)
            results = Results()
            for number in env.rounds("home"):
                await _measure_round(env, servers, results, PREFIX, number * env.sizes.screens)
    return _figures(results)


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
        ),
        child_program(http_client, env.folder.logs) as client,
    ):
        yield Servers(client, env.settings.api_port, empty)


async def _measure_round(
    env: Environment, servers: Servers, results: Results, prefix: str, first: int
) -> None:
    """Measure members in the order in which an app meets each state. All four send as many requests."""
    count, connections = env.sizes.screens, env.sizes.connections

    async def send(port: int, status: int = 200, *, keep: bool = False, known: bool = False) -> LoadResult:
        request = SendAll(
            port, "GET", HOME, prefix, first, count, connections, keep_tags=keep, known_tags=known
        )
        return await request_load(servers.client, request, {status: count})

    results.first.append(await send(servers.api, keep=True))
    results.empty.append(await send(servers.empty))
    results.known.append(await send(servers.api))
    results.unchanged.append(await send(servers.api, 304, known=True))


def _figures(results: Results) -> list[Figure]:
    empty = [result.rate for result in results.empty]
    return [
        compare(
            "home",
            what,
            "screens/s",
            [result.rate for result in loads],
            baseline="empty Litestar handler",
            baseline_rates=empty,
            at_least=at_least,
            note=f"{spread([result.rate for result in loads])}; p99 at most "
            f"{max(result.p99_s for result in loads) * 1000:.0f} ms",
        )
        for what, loads, at_least in (
            ("home screens, the token known", results.known, MIN_KNOWN),
            ("the same, answered 304", results.unchanged, MIN_UNCHANGED),
            ("first requests of tokens and members", results.first, MIN_FIRST),
        )
    ]
