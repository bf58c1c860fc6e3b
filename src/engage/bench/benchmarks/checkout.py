"""`checkout`: orders paid with points a second, a hold and its capture each: of many members, and of one."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from msgspec import Struct
from sqlalchemy import text

from engage.bench.clients.checkout_client import Pay
from engage.bench.clients.http_client import Load
from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import Figure, median, spread
from engage.bench.setup import members as crowd
from engage.bench.setup import points as savers
from engage.bench.setup.child_program import Hand, hand
from engage.bench.setup.constants import HOST
from engage.bench.setup.environment import Ground, running
from engage.domain.program.program import Program
from engage.embedded import ports, processes
from engage.embedded.child_process import ProcessSpec
from engage.flows.operations.keys import create_key
from engage.programs import preset
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services
from engage.settings import to_environment

# A program that takes points at checkout, and a country of it.
PROGRAM, COUNTRY = "bf-mi-points", "BF"

POINTS = 10  # An order.
LOTS = 4  # A member has.
HOT_POINTS = 100_000_000

# The plain way is slow, and one hot member slower: as many orders would only take longer.
PLAIN_SHARE = 4
HOT_SHARE = 4

_SUMS = text("""
SELECT (SELECT count(*) FROM holds WHERE starts_with(order_id, :prefix) AND state = 'captured'),
       (SELECT count(*) FROM holds WHERE starts_with(order_id, :prefix)),
       (SELECT coalesce(sum(house_delta), 0) FROM entries
            WHERE starts_with(member_id, :prefix) AND kind = 'capture'),
       (SELECT sum(active) FROM balances WHERE starts_with(member_id, :prefix)),
       (SELECT sum(remaining) FROM lots WHERE starts_with(member_id, :prefix))
""")


class Servers(Struct, frozen=True):
    """The ports of what is compared, the client that asks them, and the shop's key."""

    tills: Hand
    api: int
    plain: int
    key: str
    currency: str


class Found(Struct, frozen=True):
    """Loads of each round."""

    many: list[Load] = []
    hot: list[Load] = []
    empty: list[Load] = []
    plain: list[Load] = []
    plain_hot: list[Load] = []


async def run(ground: Ground) -> list[Figure]:
    async with open_services(ground.settings) as services:
        await _add_members(ground, services)
        key = await create_key(services.db, name="tills", scopes=["shop"])
        async with _servers(ground, key) as servers:
            await _warm_up(ground, servers)
            found = Found()
            for turn in range(ground.sizes.rounds):
                ground.say(f"checkout: round {turn + 1} of {ground.sizes.rounds}")
                await _round(ground, servers, found, turn)
        await _prove(ground, services)
    return _figures(found)


def _few(ground: Ground, share: int) -> int:
    return max(ground.sizes.payments // share, ground.sizes.connections)


async def _add_members(ground: Ground, services: Services) -> None:
    """By SQL. Of whom the plain way is asked, others are asked nothing."""
    program, rounds = preset(PROGRAM), ground.sizes.rounds
    plain = _few(ground, PLAIN_SHARE)
    crowds = {
        "many-": (ground.sizes.payments * rounds, POINTS),
        "warm-": (plain, POINTS),
        "plain-": (plain * (rounds + 1), POINTS),
        "hot-": (1, HOT_POINTS),
        "plainhot-": (1, HOT_POINTS),
    }
    ground.say(f"checkout: adding {sum(count for count, _ in crowds.values()):,} members")
    for prefix, (count, points) in crowds.items():
        await _add(services, program, prefix, count, points)
    await crowd.tidy(services.db)


async def _add(services: Services, program: Program, prefix: str, count: int, points: int) -> None:
    at = services.clock.now()
    await crowd.add_members(services.db, program, prefix, count, now=at, country=COUNTRY)
    await savers.add_earned(services, program, prefix, count, each=LOTS, points=points, at=at)
    for span in crowd.spans(count):
        async with transaction(services.db) as conn:
            await savers.add_lots(conn, program, prefix, span, ends_at=None)


@asynccontextmanager
async def _servers(ground: Ground, key: str) -> AsyncIterator[Servers]:
    """The whole of engage, what it is compared with, and the tills. Who is not asked does nothing."""
    plain = ports.free_port(HOST)
    engage = [
        make(ground.folder, ground.settings) for make in (processes.api, processes.feed, processes.worker)
    ]
    async with (
        running(*engage, _plain(ground, plain)),
        hand("engage.bench.clients.checkout_client", ground.folder.logs) as tills,
    ):
        currency = preset(PROGRAM).countries[COUNTRY].currency
        yield Servers(tills, ground.settings.api_port, plain, key, currency)


def _plain(ground: Ground, port: int) -> ProcessSpec:
    settings = msgspec.structs.replace(ground.settings, api_port=port)

    async def ready() -> bool:
        status, _ = await processes.get(settings, "/")
        return status != 0

    return ProcessSpec(
        name="plain_tills",
        command=[sys.executable, "-P", "-m", "engage.bench.baselines.unbatched_checkout"],
        log=ground.folder.logs / "plain_tills.log",
        directory=ground.folder.path,
        environment=to_environment(settings),
        ready=ready,
    )


async def _warm_up(ground: Ground, servers: Servers) -> None:
    few = _few(ground, PLAIN_SHARE)
    await _pay(ground, servers, "/empty/holds", "warm-", 0, few)
    await _pay(ground, servers, "/v1/shop/checkout/holds", "warm-", 0, few)
    await _pay(ground, servers, "/plain/holds", "plain-", ground.sizes.rounds * few, few)


async def _round(ground: Ground, servers: Servers, found: Found, turn: int) -> None:
    many, few, hot = ground.sizes.payments, _few(ground, PLAIN_SHARE), _few(ground, HOT_SHARE)
    api, plain = "/v1/shop/checkout/holds", "/plain/holds"
    found.many.append(await _pay(ground, servers, api, "many-", turn * many, many))
    found.plain.append(await _pay(ground, servers, plain, "plain-", turn * few, few))
    found.hot.append(await _pay(ground, servers, api, "hot-", turn * hot, hot, hot="hot-0"))
    found.plain_hot.append(await _pay(ground, servers, plain, "plainhot-", turn * hot, hot, hot="plainhot-0"))
    found.empty.append(await _pay(ground, servers, "/empty/holds", "many-", 0, many))


async def _pay(
    ground: Ground,
    servers: Servers,
    base: str,
    prefix: str,
    first: int,
    count: int,
    *,
    hot: str | None = None,
) -> Load:
    order = Pay(
        port=servers.api if base.startswith("/v1") else servers.plain,
        base=base,
        key=servers.key,
        program_id=PROGRAM,
        currency=servers.currency,
        prefix=prefix,
        first=first,
        count=count,
        points=POINTS,
        connections=ground.sizes.connections,
        hot=hot,
    )
    load = await servers.tills.ask(order, Load)
    if load.statuses != {201: count, 200: count}:
        raise BenchmarkFailed(f"{count} orders at {base} were answered {load.statuses}")
    return load


async def _prove(ground: Ground, services: Services) -> None:
    """Each order was paid once, and what it took is gone from balances and lots."""
    rounds = ground.sizes.rounds
    counts = {"many-": ground.sizes.payments * rounds, "hot-": _few(ground, HOT_SHARE) * rounds}
    given = {"many-": counts["many-"] * LOTS * POINTS, "hot-": LOTS * HOT_POINTS}
    for prefix, count in counts.items():
        async with transaction(services.db) as conn:
            captured, holds, spent, active, left = (await conn.execute(_SUMS, {"prefix": prefix})).one()
        assert captured == holds == count, f"{count} orders made {holds} holds, {captured} of them captured"
        assert spent == count * POINTS, f"{spent} points were spent for {count} orders"
        assert active == left == given[prefix] - spent, f"{active} points in balances, {left} in lots"


def _orders(loads: list[Load]) -> list[float]:
    """Orders a second, of two requests each."""
    return [load.rate / 2 for load in loads]


def _figures(found: Found) -> list[Figure]:
    many, hot, empty = _orders(found.many), _orders(found.hot), _orders(found.empty)
    plain, plain_hot = _orders(found.plain), _orders(found.plain_hot)
    slow, slow_hot = (max(load.p99_s for load in loads) * 1000 for loads in (found.many, found.hot))
    return [
        Figure(
            benchmark="checkout",
            what="orders paid with points a second, held and captured",
            value=median(many),
            unit="orders/s",
            over=f"empty Litestar handlers: {median(empty):,.0f}/s",
            ratio=median(many) / median(empty),
            note=f"{spread(many)}; p99 of a request at most {slow:.0f} ms",
        ),
        Figure(
            benchmark="checkout",
            what="the same",
            value=median(many),
            unit="orders/s",
            over=f"a transaction a request: {median(plain):,.0f}/s",
            ratio=median(many) / median(plain),
            note=f"{spread(plain)} of the plain way",
        ),
        Figure(
            benchmark="checkout",
            what="all of one hot member",
            value=median(hot),
            unit="orders/s",
            over=f"a transaction a request: {median(plain_hot):,.0f}/s",
            ratio=median(hot) / median(plain_hot),
            note=f"{spread(hot)}; p99 of a request at most {slow_hot:.0f} ms",
        ),
    ]
