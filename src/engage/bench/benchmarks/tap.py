"""`tap`: durable taps a second of one API process, over an empty handler and over the plain way."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from msgspec import Struct
from sqlalchemy import text

from engage.bench.baselines import fixed_response as canned
from engage.bench.clients.http_client import Load, Rush, Sign, Signed
from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import Figure, median, spread
from engage.bench.setup import members as crowd
from engage.bench.setup.child_program import Hand, hand
from engage.bench.setup.constants import HOST, PROGRAM
from engage.bench.setup.environment import Ground, running
from engage.embedded import ports, processes
from engage.embedded.child_process import ProcessSpec
from engage.programs import preset
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services
from engage.settings import to_environment

OVER_EMPTY = 0.30
OVER_PLAIN = 3.0
TAPS = "/v1/fuel/taps"
DONE_S = 10.0
LOOK_S = 0.05

# The plain way is slow, and as many requests would only take longer.
PLAIN_SHARE = 4


class Servers(Struct, frozen=True):
    """The ports of what is compared, and the client that asks them."""

    load: Hand
    api: int
    empty: int
    plain: int
    canned: int


class Found(Struct, frozen=True):
    """Loads of each round."""

    taps: list[Load] = []
    empty: list[Load] = []
    plain: list[Load] = []
    homes: list[Load] = []


async def run(ground: Ground) -> list[Figure]:
    async with open_services(ground.settings) as services:
        await _add_members(ground, services)
        async with _servers(ground) as servers:
            await _sign(ground, servers.load)
            ceiling = await _rush(ground, servers, servers.canned, "plain-", 0, _plain_count(ground))
            await _warm_up(ground, servers)
            found = Found()
            for turn in range(ground.sizes.rounds):
                ground.say(f"tap: round {turn + 1} of {ground.sizes.rounds}")
                await _round(ground, services, servers, found, turn)
            ground.say("tap: members that nobody knows yet")
            cold = await _rush(ground, servers, servers.api, "cold-", 0, _plain_count(ground))
        await _prove(ground, services)
    return _figures(found, cold, ceiling)


async def _add_members(ground: Ground, services: Services) -> None:
    """By SQL, and made known to the gate, as registering does. Of the cold ones the gate knows nothing."""
    sizes, program, now = ground.sizes, preset(PROGRAM), services.clock.now()
    taps = sizes.taps * sizes.rounds
    ground.say(f"tap: adding {taps:,} members")
    for prefix, count in (("tap-", taps), ("warm-", _plain_count(ground)), ("cold-", _plain_count(ground))):
        await crowd.add_members(services.db, program, prefix, count, now=now)
        if prefix != "cold-":
            await crowd.introduce(services, program, prefix, count, now=now)
    await crowd.tidy(services.db)


@asynccontextmanager
async def _servers(ground: Ground) -> AsyncIterator[Servers]:
    """The whole of engage, the two it is compared with, and the client. Who is not asked does nothing."""
    empty, plain = (ports.free_port(HOST) for _ in range(2))
    logs = ground.folder.logs
    engage = [
        make(ground.folder, ground.settings) for make in (processes.api, processes.feed, processes.worker)
    ]
    others = [_app(ground, "empty_handler", empty), _app(ground, "unbatched_tap", plain)]
    async with (
        running(*engage, *others),
        hand("engage.bench.baselines.fixed_response", logs) as bytes_only,
        hand("engage.bench.clients.http_client", logs) as load,
    ):
        port = (await bytes_only.ask(canned.Serve(), canned.Serving)).port
        yield Servers(load, ground.settings.api_port, empty, plain, port)


def _app(ground: Ground, module: str, port: int) -> ProcessSpec:
    settings = msgspec.structs.replace(ground.settings, api_port=port)

    async def ready() -> bool:
        status, _ = await processes.get(settings, "/")
        return status != 0

    return ProcessSpec(
        name=module,
        command=[sys.executable, "-P", "-m", f"engage.bench.baselines.{module}"],
        log=ground.folder.logs / f"{module}.log",
        directory=ground.folder.path,
        environment=to_environment(settings),
        ready=ready,
    )


async def _sign(ground: Ground, load: Hand) -> None:
    sizes = ground.sizes
    counts = {
        "tap-": sizes.taps * sizes.rounds,
        "warm-": _plain_count(ground),
        "cold-": _plain_count(ground),
        "plain-": _plain_count(ground) * (sizes.rounds + 1),
    }
    ground.say(f"tap: signing {sum(counts.values()):,} tokens")
    for prefix, count in counts.items():
        await load.ask(Sign(str(ground.folder.sandbox), PROGRAM, prefix, count), Signed)


async def _warm_up(ground: Ground, servers: Servers) -> None:
    count = _plain_count(ground)
    await _rush(ground, servers, servers.empty, "warm-", 0, count)
    await _rush(ground, servers, servers.plain, "plain-", ground.sizes.rounds * count, count)
    await _rush(ground, servers, servers.api, "warm-", 0, count, method="GET", path="/v1/me")
    await _rush(ground, servers, servers.api, "warm-", 0, count)


async def _round(ground: Ground, services: Services, servers: Servers, found: Found, turn: int) -> None:
    taps, few = ground.sizes.taps, _plain_count(ground)
    # An app opens with the home screen; from then on its token is known.
    found.homes.append(
        await _rush(ground, servers, servers.api, "tap-", turn * taps, taps, method="GET", path="/v1/me")
    )
    # It answers so fast that a round of its own length would be over at once.
    found.empty.append(await _rush(ground, servers, servers.empty, "tap-", 0, taps * ground.sizes.rounds))
    found.taps.append(await _rush(ground, servers, servers.api, "tap-", turn * taps, taps))
    await _all_told(services)
    found.plain.append(await _rush(ground, servers, servers.plain, "plain-", turn * few, few))


async def _rush(
    ground: Ground,
    servers: Servers,
    port: int,
    prefix: str,
    first: int,
    count: int,
    *,
    method: str = "POST",
    path: str = TAPS,
) -> Load:
    order = Rush(port, method, path, prefix, first, count, ground.sizes.connections)
    load = await servers.load.ask(order, Load)
    expected = 200 if method == "GET" else 202
    if load.statuses != {expected: count}:
        raise BenchmarkFailed(
            f"{method} {path} was answered {load.statuses}, expected {count} times {expected}"
        )
    return load


async def _all_told(services: Services) -> None:
    """What comes after the answers has been done, so that it burdens nobody else's round."""
    async with asyncio.timeout(DONE_S):
        while True:
            async with transaction(services.db) as conn:
                if not (await conn.execute(text("SELECT EXISTS (SELECT FROM outbox)"))).scalar_one():
                    return
            await asyncio.sleep(LOOK_S)


async def _prove(ground: Ground, services: Services) -> None:
    """Each 202 has its credit, and each credit is in its balance."""
    taps = ground.sizes.taps * ground.sizes.rounds
    async with transaction(services.db) as conn:
        credits, members, points, pending = (
            await conn.execute(
                text("""
                    SELECT (SELECT count(*) FROM credits WHERE member_id LIKE 'tap-%'),
                           (SELECT count(DISTINCT member_id) FROM credits WHERE member_id LIKE 'tap-%'),
                           (SELECT sum(points) FROM credits WHERE member_id LIKE 'tap-%'),
                           (SELECT sum(pending) FROM balances WHERE member_id LIKE 'tap-%')
                """)
            )
        ).one()
    assert credits == members == taps, f"{taps} taps made {credits} credits of {members} members"
    assert points == pending, f"{points} points are pending, balances say {pending}"


def _plain_count(ground: Ground) -> int:
    return max(ground.sizes.taps // PLAIN_SHARE, ground.sizes.connections)


def _figures(found: Found, cold: Load, ceiling: Load) -> list[Figure]:
    taps, empty, plain = ([load.rate for load in loads] for loads in (found.taps, found.empty, found.plain))
    rate = median(taps)
    busy = max(load.busy_s / load.seconds for load in found.empty)
    slow = max(load.p99_s for load in found.taps) * 1000
    return [
        Figure(
            benchmark="tap",
            what="durable taps a second",
            value=rate,
            unit="taps/s",
            over=f"empty Litestar handler: {median(empty):,.0f}/s",
            ratio=rate / median(empty),
            at_least=OVER_EMPTY,
            note=f"{spread(taps)}; p99 at most {slow:.0f} ms",
        ),
        Figure(
            benchmark="tap",
            what="the same",
            value=rate,
            unit="taps/s",
            over=f"one Valkey call, one INSERT: {median(plain):,.0f}/s",
            ratio=rate / median(plain),
            at_least=OVER_PLAIN,
            note=f"{spread(plain)} of the plain way",
        ),
        Figure(
            benchmark="tap",
            what="members' first requests ever",
            value=cold.rate,
            unit="taps/s",
            note="token not verified, member and gate not loaded",
        ),
        Figure(
            benchmark="tap",
            what="home screens, first of each member",
            value=median([load.rate for load in found.homes]),
            unit="screens/s",
        ),
        Figure(
            benchmark="tap",
            what="the load client itself, on canned answers",
            value=ceiling.rate,
            unit="requests/s",
            note=f"{busy:.0%} busy at most, on the empty handler",
        ),
    ]
