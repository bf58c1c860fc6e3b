"""`scale`: what members wait for where there are very many of them, compared with few.

Two installations run side by side, and rounds alternate between them, so both meet the same machine.
"""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Final

from msgspec import Struct, field
from redis.asyncio import Redis
from sqlalchemy import text

from engage.bench.clients import checkout_client, http_client
from engage.bench.clients.checkout_client import PayOrders
from engage.bench.clients.http_client import SendAll, SignTokens, TokensSigned
from engage.bench.clients.load import request_load
from engage.bench.figures import Figure, median, spread
from engage.bench.setup import processes
from engage.bench.setup.books import Members, add_books
from engage.bench.setup.child_program import ChildProgram, child_program
from engage.bench.setup.commands import run_command
from engage.bench.setup.constants import COUNTRY, HOME, TAPS, TASKS
from engage.bench.setup.environment import Environment, open_environment
from engage.bench.setup.members import add_pending_credits, vacuum
from engage.bench.setup.queries import fetch_row
from engage.bench.setup.scale_program import SCALE, publish_scale
from engage.domain.program.program import Program
from engage.flows.operations.keys import create_key
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services, open_services

MOST_RATIO: Final = 1.2
FEW: Final = 10_000
# As long as an id of the shop is: 36 characters with the number.
PREFIX: Final = "scale-01234567-0123-0123-0123-"
POINTS: Final = 1  # Of an order.
HOLDS: Final = "/v1/shop/checkout/holds"
# Few, so that a request waits for its own work and not for that of others.
CONNECTIONS: Final = 4
# Credits to settle are of days before all that is booked.
DAYS_AGO: Final = 100

HOMES_FIRST, HOMES, TAP, TASK_LIST, CHECKOUT, SETTLE = (
    "a member's first home screen",
    "a member's next home screen",
    "a tap",
    "the list of tasks",
    "a hold or capture at checkout",
    "settlement of a credit",
)
REQUESTS: Final = {HOMES_FIRST: ("GET", HOME, 200), HOMES: ("GET", HOME, 200), TAP: ("POST", TAPS, 202)} | {
    TASK_LIST: ("GET", TASKS, 200)
}

_SIZES: Final = text("""
SELECT pg_total_relation_size('stored_credits'), pg_total_relation_size('stored_entries'),
       pg_total_relation_size('members') + pg_total_relation_size('balances')
""")
_OTHERS: Final = text("SELECT EXISTS (SELECT FROM members)")


class Site(Struct, frozen=True):
    """An installation, the program in it, and its members: those added last end at `members.end`."""

    env: Environment
    services: Services
    program: Program
    key: str
    http: ChildProgram
    checkout: ChildProgram
    days: Iterator[int] = field(default_factory=lambda: count(DAYS_AGO))


class Medians(Struct, frozen=True):
    """The median of each round in seconds, by kind of request."""

    of: dict[str, list[float]]


async def run(env: Environment) -> list[Figure]:
    many = env.sizes.population
    few = min(FEW, many // 10)
    async with (
        open_environment(env.folder.path.parent, env.sizes, report=env.report) as other,
        _open(other) as small,
        _open(env) as large,
    ):
        (others,) = await fetch_row(large.services.db, _OTHERS)
        await _fill(small, few)
        return [
            *await _fill(large, many),
            *await _compare(small, few, large, many),
            await _timed(large, "audit", may_find=others),
            await _timed(large, "report", "liability", "--json", may_find=others),
        ]


@asynccontextmanager
async def _open(env: Environment) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(env.settings, command_timeout_s=None))
        program = await publish_scale(services)
        key = await create_key(services.db, name="scale benchmark", scopes=["shop"], programs=None)
        yield Site(
            env,
            services,
            program,
            key,
            await stack.enter_async_context(child_program(http_client, env.folder.logs)),
            await stack.enter_async_context(child_program(checkout_client, env.folder.logs)),
        )


async def _fill(site: Site, size: int) -> list[Figure]:
    """Add members with their past, and load all into the gate. Return what they take, and the times."""
    each = site.env.sizes.credits_each
    site.env.report(f"scale: adding {size:,} members with {each} credits each")
    started = time.perf_counter()
    members = Members(site.program, PREFIX, 0, size, each)
    await add_books(site.env.settings.database_url, members, now=site.services.clock.now())
    await vacuum(site.services.db)
    added_s = time.perf_counter() - started
    rebuild = await _timed(site, "rebuild")
    stored, entries, people = await fetch_row(site.services.db, _SIZES)
    async with Redis.from_url(site.env.settings.state_url) as valkey:
        memory = int((await valkey.info("memory"))["used_memory"])
    what = f"{size:,} members with {each} settled credits each"
    return [
        _figure(f"bytes of a credit in PostgreSQL: {what}", (stored + entries) / (size * each), "bytes"),
        _figure("bytes of a member in PostgreSQL without credits", people / size, "bytes"),
        _figure("bytes of a member in Valkey", memory / size, "bytes"),
        _figure("adding them", added_s, "s"),
        rebuild,
    ]


async def _compare(small: Site, few: int, large: Site, many: int) -> list[Figure]:
    before, after = Medians({}), Medians({})
    async with (
        processes.running(processes.api(small.env)),
        processes.running(processes.api(large.env)),
    ):
        for number in large.env.rounds(f"scale, {many:,} members"):
            first = number * small.env.sizes.visits
            for site, size, medians in ((small, few, before), (large, many, after)):
                await _visit(site, size, medians, first)
                await _settle(site, size, medians)
    return [
        Figure(
            benchmark="scale",
            what=f"{kind} with {many:,} members",
            value=median(after.of[kind]) * 1e6,
            unit="µs",
            over=f"with {few:,}: {median(before.of[kind]) * 1e6:,.0f} µs",
            ratio=median(after.of[kind]) / median(before.of[kind]),
            at_most=MOST_RATIO,
            note=spread([seconds * 1e6 for seconds in after.of[kind]]),
        )
        for kind in after.of
    ]


async def _visit(site: Site, size: int, medians: Medians, first: int) -> None:
    """Let as many members as a round has open the app, tap, and pay an order. None has been here before."""
    env, visits = site.env, site.env.sizes.visits
    port, sandbox = env.settings.api_port, str(env.folder.sandbox)
    signed = SignTokens(sandbox, SCALE, PREFIX, first + visits, population=size)
    await site.http.call(signed, TokensSigned)
    for kind, (method, path, status) in REQUESTS.items():
        request = SendAll(port, method, path, PREFIX, first, visits, CONNECTIONS)
        load = await request_load(site.http, request, {status: visits})
        medians.of.setdefault(kind, []).append(load.p50_s)
    orders = PayOrders(
        port=port,
        base=HOLDS,
        key=site.key,
        program_id=SCALE,
        currency=site.program.countries[COUNTRY].currency,
        prefix=PREFIX,
        first=first,
        count=visits,
        points=POINTS,
        connections=CONNECTIONS,
        population=size,
    )
    load = await request_load(site.checkout, orders, {201: visits, 200: visits})
    medians.of.setdefault(CHECKOUT, []).append(load.p50_s)


async def _settle(site: Site, size: int, medians: Medians) -> None:
    """Settle a credit of members all over the accounts, on a day of its own."""
    days = next(site.days)
    credits = min(site.env.sizes.visits, size)
    due_at: datetime = site.services.clock.now() - timedelta(days=days)
    every = size // credits
    await add_pending_credits(
        *(site.services.db, site.program, PREFIX, credits),
        at=due_at - timedelta(minutes=5),
        due_at=due_at,
        every=every,
        first=days % every,
    )
    started = time.perf_counter()
    settled = await settle_due(site.services, now=due_at)
    await site.services.post_commit.drain()
    elapsed = time.perf_counter() - started
    assert settled == credits, f"{settled} of {credits} became active"
    medians.of.setdefault(SETTLE, []).append(elapsed / credits)


async def _timed(site: Site, *arguments: str, may_find: bool = False) -> Figure:
    command = f"`engage {' '.join(arguments)}`"
    site.env.report(f"scale: {command}")
    done = await run_command(site.env, *arguments, may_find=may_find)
    return _figure(command, done.seconds, "s", note=done.memory)


def _figure(what: str, value: float, unit: str, *, note: str | None = None) -> Figure:
    return Figure(benchmark="scale", what=what, value=value, unit=unit, note=note)
