"""`checkout`: orders paid with points a second, each a hold and a capture, of many members and of one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct
from sqlalchemy import text

from engage.bench.clients import checkout_client
from engage.bench.clients.checkout_client import PayOrders
from engage.bench.clients.load import LoadResult, request_load
from engage.bench.figures import Figure, compare, spread
from engage.bench.setup import processes
from engage.bench.setup.child_program import ChildProgram, child_program
from engage.bench.setup.constants import HOST
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members, spans, vacuum
from engage.bench.setup.points import add_active_credits, add_lots
from engage.bench.setup.queries import fetch_row
from engage.domain.program.program import Program
from engage.embedded import ports
from engage.flows.operations.keys import create_key
from engage.programs import preset
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services

# A program that takes points at checkout, and one of its countries.
PROGRAM, COUNTRY = "bf-mi-points", "BF"

POINTS_PER_ORDER = 10
LOTS_PER_MEMBER = 4
HOT_POINTS = 100_000_000

# The baseline is slow, and slower for one member: as many orders would only take longer.
UNBATCHED_SHARE = 4
HOT_SHARE = 4

API_HOLDS, UNBATCHED_HOLDS, EMPTY_HOLDS = "/v1/shop/checkout/holds", "/plain/holds", "/empty/holds"

_TOTALS = text("""
SELECT (SELECT count(*) FROM holds WHERE starts_with(order_id, :prefix) AND state = 'captured'),
       (SELECT count(*) FROM holds WHERE starts_with(order_id, :prefix)),
       (SELECT coalesce(sum(house_delta), 0) FROM entries
            WHERE starts_with(member_id, :prefix) AND kind = 'capture'),
       (SELECT sum(active) FROM balances WHERE starts_with(member_id, :prefix)),
       (SELECT sum(remaining) FROM lots WHERE starts_with(member_id, :prefix))
""")


class Servers(Struct, frozen=True):
    """The client, the ports of the servers that it compares, and the shop's key."""

    client: ChildProgram
    api: int
    baselines: int
    key: str
    currency: str


class Results(Struct, frozen=True):
    """One result for each round."""

    many: list[LoadResult] = []
    hot: list[LoadResult] = []
    empty: list[LoadResult] = []
    unbatched: list[LoadResult] = []
    unbatched_hot: list[LoadResult] = []


async def run(env: Environment) -> list[Figure]:
    async with open_services(env.settings) as services:
        await _add_members(env, services)
        key = await create_key(services.db, name="checkout benchmark", scopes=["shop"], programs=None)
        async with _servers(env, key) as servers:
            await _warm_up(env, servers)
            results = Results()
            for number in env.rounds("checkout"):
                await _measure_round(env, servers, results, number)
        await _verify(env, services)
    return _figures(results)


def _share(env: Environment, share: int) -> int:
    return max(env.sizes.payments // share, env.sizes.connections)


async def _add_members(env: Environment, services: Services) -> None:
    """Add members with points. The baseline has different members, because it does not move lots."""
    program, rounds = preset(PROGRAM), env.sizes.rounds
    few = _share(env, UNBATCHED_SHARE)
    members = {
        "many-": (env.sizes.payments * rounds, POINTS_PER_ORDER),
        "warm-": (few, POINTS_PER_ORDER),
        "plain-": (few * (rounds + 1), POINTS_PER_ORDER),
        "hot-": (1, HOT_POINTS),
        "plainhot-": (1, HOT_POINTS),
    }
    env.report(f"checkout: adding {sum(count for count, _ in members.values()):,} members")
    for prefix, (count, points) in members.items():
        await _add(services, program, prefix, count, points)
    await vacuum(services.db)


async def _add(services: Services, program: Program, prefix: str, count: int, points: int) -> None:
    now = services.clock.now()
    await add_members(services.db, program, prefix, count, now=now, country=COUNTRY)
    await add_active_credits(
        services.db, program, prefix, count, credits=LOTS_PER_MEMBER, points=points, at=now
    )
    for span in spans(count):
        async with transaction(services.db) as conn:
            await add_lots(conn, program, prefix, span, expires_at=None)


@asynccontextmanager
async def _servers(env: Environment, key: str) -> AsyncIterator[Servers]:
    """Run all of engage, the baselines and the client. Those not in use are idle."""
    port = ports.free_port(HOST)
    async with (
        processes.running(
            *(processes.api(env), processes.feed(env), processes.worker(env)),
            processes.baseline(env, "unbatched_checkout", port),
        ),
        child_program(checkout_client, env.folder.logs) as client,
    ):
        currency = preset(PROGRAM).countries[COUNTRY].currency
        yield Servers(client, env.settings.api_port, port, key, currency)


async def _warm_up(env: Environment, servers: Servers) -> None:
    few = _share(env, UNBATCHED_SHARE)
    await _pay(env, servers, EMPTY_HOLDS, "warm-", 0, few)
    await _pay(env, servers, API_HOLDS, "warm-", 0, few)
    await _pay(env, servers, UNBATCHED_HOLDS, "plain-", env.sizes.rounds * few, few)


async def _measure_round(env: Environment, servers: Servers, results: Results, number: int) -> None:
    many, few, hot = env.sizes.payments, _share(env, UNBATCHED_SHARE), _share(env, HOT_SHARE)
    results.many.append(await _pay(env, servers, API_HOLDS, "many-", number * many, many))
    results.unbatched.append(await _pay(env, servers, UNBATCHED_HOLDS, "plain-", number * few, few))
    results.hot.append(await _pay(env, servers, API_HOLDS, "hot-", number * hot, hot, member="hot-0"))
    results.unbatched_hot.append(
        await _pay(env, servers, UNBATCHED_HOLDS, "plainhot-", number * hot, hot, member="plainhot-0")
    )
    results.empty.append(await _pay(env, servers, EMPTY_HOLDS, "many-", 0, many))


async def _pay(
    env: Environment,
    servers: Servers,
    base: str,
    prefix: str,
    first: int,
    count: int,
    *,
    member: str | None = None,
) -> LoadResult:
    request = PayOrders(
        port=servers.api if base == API_HOLDS else servers.baselines,
        base=base,
        key=servers.key,
        program_id=PROGRAM,
        currency=servers.currency,
        prefix=prefix,
        first=first,
        count=count,
        points=POINTS_PER_ORDER,
        connections=env.sizes.connections,
        member=member,
    )
    return await request_load(servers.client, request, {201: count, 200: count})


async def _verify(env: Environment, services: Services) -> None:
    """Check that each order was paid once, and that balances and lots have lost exactly these points."""
    rounds = env.sizes.rounds
    counts = {"many-": env.sizes.payments * rounds, "hot-": _share(env, HOT_SHARE) * rounds}
    given = {
        "many-": counts["many-"] * LOTS_PER_MEMBER * POINTS_PER_ORDER,
        "hot-": LOTS_PER_MEMBER * HOT_POINTS,
    }
    for prefix, count in counts.items():
        captured, holds, spent, active, remaining = await fetch_row(services.db, _TOTALS, prefix=prefix)
        assert captured == holds == count, f"{count} orders made {holds} holds, {captured} of them captured"
        assert spent == count * POINTS_PER_ORDER, f"{spent} points were spent for {count} orders"
        assert active == remaining == given[prefix] - spent, (
            f"{active} points are in balances, {remaining} in lots"
        )


def _orders(results: list[LoadResult]) -> list[float]:
    """Return orders a second. An order is two requests."""
    return [result.rate / 2 for result in results]


def _figures(results: Results) -> list[Figure]:
    many, hot, unbatched = _orders(results.many), _orders(results.hot), _orders(results.unbatched)
    p99_ms, hot_p99_ms = (
        max(result.p99_s for result in loads) * 1000 for loads in (results.many, results.hot)
    )
    return [
        compare(
            "checkout",
            "orders paid with points a second, held and captured",
            "orders/s",
            many,
            baseline="empty Litestar handlers",
            baseline_rates=_orders(results.empty),
            note=f"{spread(many)}; p99 of a request at most {p99_ms:.0f} ms",
        ),
        compare(
            "checkout",
            "the same",
            "orders/s",
            many,
            baseline="a transaction a request",
            baseline_rates=unbatched,
            note=f"baseline: {spread(unbatched)}",
        ),
        compare(
            "checkout",
            "all orders of one member",
            "orders/s",
            hot,
            baseline="a transaction a request",
            baseline_rates=_orders(results.unbatched_hot),
            note=f"{spread(hot)}; p99 of a request at most {hot_p99_ms:.0f} ms",
        ),
    ]
