"""`tap`: durable taps a second of one API process, compared with an empty handler and an unbatched one, and
with everything of engagement defined, compared with a program that has none of it.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct
from sqlalchemy import text

from engage.bench.baselines import fixed_response
from engage.bench.clients import http_client
from engage.bench.clients.http_client import SendAll, SignTokens, TokensSigned
from engage.bench.clients.load import LoadResult, request_load
from engage.bench.figures import Figure, compare, median, spread
from engage.bench.setup import processes
from engage.bench.setup.child_program import ChildProgram, child_program
from engage.bench.setup.constants import HOST, PRESET, PROGRAM, TAPS
from engage.bench.setup.engaged_program import CHALLENGES, ENGAGED, publish_engaged
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members, load_members, vacuum
from engage.bench.setup.queries import fetch_row, wait_until_zero
from engage.embedded import ports
from engage.programs import preset
from engage.runtime.services import Services, open_services

MIN_RATIO_TO_EMPTY = 0.40
MIN_RATIO_TO_KNOWN = 0.80
MIN_RATIO_TO_UNBATCHED = 3.0
MIN_RATIO_TO_PLAIN = 0.90
PUBLISH_S = 10.0
REACT_S = 60.0

# The unbatched baseline is slow. It gets fewer requests, because as many would only take longer.
UNBATCHED_SHARE = 4

_UNPUBLISHED = text("SELECT EXISTS (SELECT FROM outbox)")
_LEFT = text("SELECT coalesce(sum(cardinality(member_ids)), 0) FROM member_changes")
_NOT_REACTED = text("SELECT EXISTS (SELECT FROM member_changes)")

_TOTALS = text("""
SELECT (SELECT count(*) FROM credits WHERE member_id LIKE 'tap-%'),
       (SELECT count(DISTINCT member_id) FROM credits WHERE member_id LIKE 'tap-%'),
       (SELECT sum(points) FROM credits WHERE member_id LIKE 'tap-%'),
       (SELECT sum(pending) FROM balances WHERE member_id LIKE 'tap-%')
""")


class Servers(Struct, frozen=True):
    """The load client, and the ports of the servers that it compares."""

    client: ChildProgram
    api: int
    empty: int
    unbatched: int
    fixed: int


class Results(Struct, frozen=True):
    """One result for each round."""

    taps: list[LoadResult] = []
    unknown: list[LoadResult] = []
    engaged: list[LoadResult] = []
    reactions: list[float] = []  # Members a second, after the taps.
    empty: list[LoadResult] = []
    unbatched: list[LoadResult] = []
    homes: list[LoadResult] = []


async def run(env: Environment) -> list[Figure]:
    async with open_services(env.settings) as services:
        await services.programs.refresh(services.db)
        await _add_members(env, services)
        async with _servers(env) as servers:
            await _sign_tokens(env, servers.client)
            ceiling = await _send(env, servers, servers.fixed, "plain-", 0, _few(env))
            await _warm_up(env, servers)
            results = Results()
            for number in env.rounds("tap"):
                await _measure_round(env, services, servers, results, number)
            env.report("tap: members that are in no cache")
            cold = await _send(env, servers, servers.api, "cold-", 0, _few(env))
        await _verify(env, services)
    return _figures(results, cold, ceiling)


async def _add_members(env: Environment, services: Services) -> None:
    """Add members and load them into the gate, except those that it does not know yet."""
    program, now = preset(PRESET), services.clock.now()
    taps, few = env.sizes.taps * env.sizes.rounds, _few(env)
    env.report(f"tap: adding {taps:,} members")
    for prefix, count in (
        *(("tap-", taps), ("warm-", few)),
        *(("unknown-", few * env.sizes.rounds), ("cold-", few)),
    ):
        await add_members(services.db, program, prefix, count, now=now)
        if prefix in ("tap-", "warm-"):
            await load_members(services.gate, program, prefix, count, now=now)
    engaged = await publish_engaged(services)
    await add_members(services.db, engaged, "engaged-", taps, now=now)
    await load_members(services.gate, engaged, "engaged-", taps, now=now)
    await vacuum(services.db)


@asynccontextmanager
async def _servers(env: Environment) -> AsyncIterator[Servers]:
    """Run all of engage, the baselines and the client. Those not in use are idle."""
    empty, unbatched = ports.free_port(HOST), ports.free_port(HOST)
    logs = env.folder.logs
    async with (
        processes.running(
            *(processes.api(env), processes.feed(env), processes.worker(env)),
            processes.baseline(env, "empty_handler", empty),
            processes.baseline(env, "unbatched_tap", unbatched),
        ),
        child_program(fixed_response, logs) as fixed,
        child_program(http_client, logs) as client,
    ):
        port = (await fixed.call(fixed_response.StartServer(), fixed_response.ServerStarted)).port
        yield Servers(client, env.settings.api_port, empty, unbatched, port)


async def _sign_tokens(env: Environment, client: ChildProgram) -> None:
    sizes = env.sizes
    counts = {
        "tap-": sizes.taps * sizes.rounds,
        "warm-": _few(env),
        "cold-": _few(env),
        "unknown-": _few(env) * sizes.rounds,
        "plain-": _few(env) * (sizes.rounds + 1),
    }
    env.report(f"tap: signing {sum(counts.values()):,} tokens")
    counts["engaged-"] = counts["tap-"]
    for prefix, count in counts.items():
        program = ENGAGED if prefix == "engaged-" else PROGRAM
        await client.call(SignTokens(str(env.folder.sandbox), program, prefix, count), TokensSigned)


async def _warm_up(env: Environment, servers: Servers) -> None:
    few = _few(env)
    await _send(env, servers, servers.empty, "warm-", 0, few)
    await _send(env, servers, servers.unbatched, "plain-", env.sizes.rounds * few, few)
    await _send(env, servers, servers.api, "warm-", 0, few, method="GET", path="/v1/me")
    await _send(env, servers, servers.api, "warm-", 0, few)


async def _measure_round(
    env: Environment, services: Services, servers: Servers, results: Results, number: int
) -> None:
    taps, few = env.sizes.taps, _few(env)
    first = number * taps
    # An app opens with the home screen. The API caches the verified token from then on.
    results.homes.append(
        await _send(env, servers, servers.api, "tap-", first, taps, method="GET", path="/v1/me")
    )
    # The empty handler is so fast that `taps` requests would take too short to measure.
    results.empty.append(await _send(env, servers, servers.empty, "tap-", 0, taps * env.sizes.rounds))
    results.taps.append(await _send(env, servers, servers.api, "tap-", first, taps))
    # The work after the responses must not slow the next measurement.
    await wait_until_zero(services.db, _UNPUBLISHED, limit_s=PUBLISH_S)
    await _send(env, servers, servers.api, "unknown-", number * few, few, method="GET", path="/v1/me")
    results.unknown.append(await _send(env, servers, servers.api, "unknown-", number * few, few))
    await wait_until_zero(services.db, _UNPUBLISHED, limit_s=PUBLISH_S)
    await _send(env, servers, servers.api, "engaged-", first, taps, method="GET", path="/v1/me")
    results.engaged.append(await _send(env, servers, servers.api, "engaged-", first, taps))
    await wait_until_zero(services.db, _UNPUBLISHED, limit_s=PUBLISH_S)
    await _wait_for_reactions(services, results)
    results.unbatched.append(await _send(env, servers, servers.unbatched, "plain-", number * few, few))


async def _wait_for_reactions(services: Services, results: Results) -> None:
    """Wait until everything that follows from the taps is done, and measure how fast that is."""
    left = await fetch_row(services.db, _LEFT)
    started = time.monotonic()
    await wait_until_zero(services.db, _NOT_REACTED, limit_s=REACT_S)
    if left[0]:
        results.reactions.append(left[0] / (time.monotonic() - started))


async def _send(
    env: Environment,
    servers: Servers,
    port: int,
    prefix: str,
    first: int,
    count: int,
    *,
    method: str = "POST",
    path: str = TAPS,
) -> LoadResult:
    request = SendAll(port, method, path, prefix, first, count, env.sizes.connections)
    return await request_load(servers.client, request, {200 if method == "GET" else 202: count})


async def _verify(env: Environment, services: Services) -> None:
    """Check that each 202 has a credit, and that balances contain all credits."""
    taps = env.sizes.taps * env.sizes.rounds
    credits, members, points, pending = await fetch_row(services.db, _TOTALS)
    assert credits == members == taps, f"{taps} taps made {credits} credits of {members} members"
    assert points == pending, f"{points} points are pending in credits, {pending} in balances"


def _few(env: Environment) -> int:
    return max(env.sizes.taps // UNBATCHED_SHARE, env.sizes.connections)


def _figures(results: Results, cold: LoadResult, ceiling: LoadResult) -> list[Figure]:
    return [*_comparisons(results), *_reactions(results), *_others(results, cold, ceiling)]


def _comparisons(results: Results) -> list[Figure]:
    """Taps beside what they are compared with, each in turn."""
    taps, empty, unbatched = (
        [result.rate for result in loads] for loads in (results.taps, results.empty, results.unbatched)
    )
    engaged = [result.rate for result in results.engaged]
    p99_ms = max(result.p99_s for result in results.taps) * 1000
    return [
        compare(
            "tap",
            "durable taps a second",
            "taps/s",
            taps,
            baseline="empty Litestar handler",
            baseline_rates=empty,
            at_least=MIN_RATIO_TO_EMPTY,
            note=f"{spread(taps)}; p99 at most {p99_ms:.0f} ms",
        ),
        compare(
            "tap",
            "the same",
            "taps/s",
            taps,
            baseline="one Valkey call, one INSERT",
            baseline_rates=unbatched,
            at_least=MIN_RATIO_TO_UNBATCHED,
            note=f"baseline: {spread(unbatched)}",
        ),
        compare(
            "tap",
            "first taps of members whom the gate does not know",
            "taps/s",
            [result.rate for result in results.unknown],
            baseline="of members whom it knows",
            baseline_rates=taps,
            at_least=MIN_RATIO_TO_KNOWN,
        ),
        compare(
            "tap",
            f"taps with all of engagement defined and {CHALLENGES} challenges running",
            "taps/s",
            engaged,
            baseline="the same program without it, in turn",
            baseline_rates=taps,
            at_least=MIN_RATIO_TO_PLAIN,
            note=f"{spread(engaged)}; reactions done in these seconds too",
        ),
    ]


def _reactions(results: Results) -> list[Figure]:
    """With few taps all reactions are done before the last tap."""
    if not results.reactions:
        return []
    return [
        Figure(
            benchmark="tap",
            what="members a second for whom all reactions are done, after the taps",
            value=median(results.reactions),
            unit="members/s",
        )
    ]


def _others(results: Results, cold: LoadResult, ceiling: LoadResult) -> list[Figure]:
    busy = max(result.busy_s / result.seconds for result in results.empty)
    return [
        Figure(
            benchmark="tap",
            what="first requests of members",
            value=cold.rate,
            unit="taps/s",
            note="token not verified, member and gate not loaded",
        ),
        Figure(
            benchmark="tap",
            what="home screens, first of each member",
            value=median([result.rate for result in results.homes]),
            unit="screens/s",
        ),
        Figure(
            benchmark="tap",
            what="limit of the load client, with fixed responses",
            value=ceiling.rate,
            unit="requests/s",
            note=f"client at most {busy:.0%} busy, on the empty handler",
        ),
    ]
