"""`scale`: what members wait for where there are very many of them, compared with few.

Installations of all sizes run side by side, and rounds alternate between them, so all meet the same machine.
"""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Final

from engage.bench.clients.checkout_client import PayOrders
from engage.bench.clients.http_client import SendAll, SignTokens, TokensSigned
from engage.bench.clients.load import request_load
from engage.bench.clients.quiz_client import TakeQuizzes
from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import Figure, median, spread
from engage.bench.setup import processes
from engage.bench.setup.constants import COUNTRY, HOME, TAPS, TASKS
from engage.bench.setup.disk_space import check_space
from engage.bench.setup.environment import Environment, open_environment
from engage.bench.setup.members import add_pending_credits
from engage.bench.setup.scale_program import QUIZ, RIGHT, SCALE
from engage.bench.setup.scale_site import PREFIX, Site, fill, open_site, record_read_s, timed
from engage.bench.sizes import Sizes
from engage.flows.scheduled.settle import settle_due

MOST_RATIO: Final = 1.2
POINTS: Final = 1  # Of an order.
HOLDS: Final = "/v1/shop/checkout/holds"
ATTEMPTS: Final = f"/v1/quizzes/{QUIZ}/attempts"
# Few, so that a request waits for its own work and not for that of others.
CONNECTIONS: Final = 4

HOMES_FIRST, HOMES, TAP, TASK_LIST, QUIZZES, CHECKOUT, SETTLE, RECORD = (
    "a member's first home screen",
    "a member's next home screen",
    "a tap",
    "the list of tasks",
    "a quiz begun or answered",
    "a hold or capture at checkout",
    "settlement of a credit",
    "a record read in Valkey",
)
REQUESTS: Final = {HOMES_FIRST: ("GET", HOME, 200), HOMES: ("GET", HOME, 200), TAP: ("POST", TAPS, 202)} | {
    TASK_LIST: ("GET", TASKS, 200)
}

# Several times what was measured on a quiet machine.
CREDIT_S: Final = 0.0003
MEMBER_S: Final = 0.001
ROUND_S: Final = 120.0
STEADY_S: Final = 900.0

# The median of each round in seconds, by kind of request.
Medians = dict[str, list[float]]


def limit_s(sizes: Sizes) -> float:
    """Return the time that installations of these sizes may take."""
    members = sum(sizes.population)
    return STEADY_S + members * (MEMBER_S + sizes.credits_each * CREDIT_S) + sizes.rounds * ROUND_S


async def run(env: Environment) -> AsyncIterator[Figure]:
    populations = sorted(set(env.sizes.population))
    if env.sizes.visits * env.sizes.rounds > populations[0]:
        raise BenchmarkFailed(f"{populations[0]:,} members are too few for visits by another one each time")
    env.report(f"scale: {check_space(env.folder.path, populations, env.sizes.credits_each)}")
    async with AsyncExitStack() as stack:
        sites = []
        for size in populations:
            parent = env.folder.path.parent
            own = await stack.enter_async_context(open_environment(parent, env.sizes, report=env.report))
            sites.append(await stack.enter_async_context(open_site(own, size)))
        for site in sites:
            async for figure in fill(site):
                yield figure
        for figure in await _compare(env, sites):
            yield figure
        for command in (("audit",), ("report", "liability", "--json")):
            yield await timed(sites[-1], *command)


async def _compare(env: Environment, sites: list[Site]) -> list[Figure]:
    measured: list[Medians] = [{} for _ in sites]
    async with AsyncExitStack() as stack:
        for site in sites:
            await stack.enter_async_context(processes.running(processes.api(site.env)))
        for number in env.rounds(f"scale, {sites[-1].size:,} members"):
            for site, medians in zip(sites, measured, strict=True):
                await _visit(site, medians, number * env.sizes.visits)
                await _settle(site, medians)
    few, least = sites[0].size, measured[0]
    return [
        Figure(
            benchmark="scale",
            what=f"{kind} with {site.size:,} members",
            value=median(medians[kind]) * 1e6,
            unit="µs",
            over=f"with {few:,}: {median(least[kind]) * 1e6:,.{2 if kind == RECORD else 0}f} µs",
            ratio=median(medians[kind]) / median(least[kind]),
            at_most=None if kind == RECORD else MOST_RATIO,
            note=spread([seconds * 1e6 for seconds in medians[kind]]),
        )
        for site, medians in zip(sites[1:], measured[1:], strict=True)
        for kind in medians
    ]


async def _visit(site: Site, medians: Medians, first: int) -> None:
    """Let as many members as a round has open the app, tap, take a quiz, and pay an order. None has been here
    before.
    """
    env, visits = site.env, site.env.sizes.visits
    port, sandbox = env.settings.api_port, str(env.folder.sandbox)
    signed = SignTokens(sandbox, SCALE, PREFIX, first + visits, population=site.size)
    await site.http.call(signed, TokensSigned)
    medians.setdefault(RECORD, []).append(await record_read_s(site, first, visits))
    for kind, (method, path, status) in REQUESTS.items():
        request = SendAll(port, method, path, PREFIX, first, visits, CONNECTIONS)
        load = await request_load(site.http, request, {status: visits})
        medians.setdefault(kind, []).append(load.p50_s)
    quizzes = TakeQuizzes(port, ATTEMPTS, PREFIX, first, visits, CONNECTIONS, RIGHT)
    load = await request_load(site.http, quizzes, {201: visits, 202: visits})
    medians.setdefault(QUIZZES, []).append(load.p50_s)
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
        population=site.size,
    )
    load = await request_load(site.checkout, orders, {201: visits, 200: visits})
    medians.setdefault(CHECKOUT, []).append(load.p50_s)


async def _settle(site: Site, medians: Medians) -> None:
    """Settle a credit of members all over the accounts, on a day of its own."""
    days = next(site.days)
    credits = min(site.env.sizes.visits, site.size)
    due_at: datetime = site.services.clock.now() - timedelta(days=days)
    every = site.size // credits
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
    medians.setdefault(SETTLE, []).append(elapsed / credits)
