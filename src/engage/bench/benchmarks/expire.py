"""`expire`: many lots that expire at one instant, ended by real workers while other members tap."""

import asyncio
import time
from datetime import datetime, timedelta

from sqlalchemy import text

from engage.bench.clients import http_client
from engage.bench.clients.http_client import SendAtRate, SignTokens, TokensSigned
from engage.bench.clients.load import LoadResult, request_load
from engage.bench.figures import Figure, compare, median
from engage.bench.setup import processes
from engage.bench.setup.child_program import ChildProgram, child_program
from engage.bench.setup.constants import PRESET, PROGRAM, TAPS
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members, load_members, spans, vacuum
from engage.bench.setup.points import add_active_credits, add_lots
from engage.bench.setup.queries import fetch_row, wait_until_zero
from engage.domain.program.program import Program
from engage.programs import preset
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services

MAX_SECONDS = 60.0
LOTS_PER_MEMBER = 4
POINTS_PER_LOT = 10
PREFIX, TAPPING_PREFIX = "ending-", "tapping-"
CONNECTIONS = 256  # Many, because a tap that finds no free connection waits.
INTERVAL_S = 2.0  # Taps are measured in intervals of this length, or shorter ones in small sizes.
QUIET_INTERVALS = 5
SPARE_S = 1.0  # From the last lot to its end, at least.
LIMIT_S = 300.0

_UNEXPIRED = text("SELECT EXISTS (SELECT FROM lots WHERE remaining > 0 AND expires_at <= :at)")

_TOTALS = text("""
SELECT (SELECT count(*) FROM entries WHERE kind = 'expiration'),
       (SELECT sum(active_delta) FROM entries WHERE kind = 'expiration'),
       (SELECT sum(expired) FROM lots), (SELECT min(at) FROM entries WHERE kind = 'expiration'),
       (SELECT sum(active) FROM balances WHERE starts_with(member_id, 'ending-'))
""")


async def run(env: Environment) -> list[Figure]:
    async with open_services(env.settings) as services:
        await services.programs.refresh(services.db)
        program = preset(PRESET)
        await _add_members(env, services, program)
        async with (
            processes.running(processes.api(env), processes.feed(env), *processes.workers(env)),
            child_program(http_client, env.folder.logs) as client,
        ):
            await processes.wait_for_workers(services, env.sizes.workers)
            tokens = SignTokens(str(env.folder.sandbox), PROGRAM, TAPPING_PREFIX, _tapping_members(env))
            await client.call(tokens, TokensSigned)
            quiet = [await _tap(env, client, number) for number in range(QUIET_INTERVALS)]
            expires_at = await _add_lots(env, services, program)
            seconds, busy = await _measure(env, services, client, expires_at)
        await _verify(env, services, expires_at)
    return _figures(env, seconds, quiet, busy)


def _members(env: Environment) -> int:
    return max(env.sizes.lots // LOTS_PER_MEMBER, 1)


def _tapping_members(env: Environment) -> int:
    """Return enough members for the quiet intervals and for `MAX_SECONDS` more."""
    return int(env.sizes.rate * (QUIET_INTERVALS * INTERVAL_S + MAX_SECONDS))


async def _add_members(env: Environment, services: Services, program: Program) -> None:
    """Add members with credits but without lots, and members that tap."""
    db, count, at = services.db, _members(env), services.clock.now() - timedelta(days=400)
    env.report(f"expire: adding {count:,} members with {LOTS_PER_MEMBER} credits each")
    await add_members(db, program, PREFIX, count, now=at)
    await add_active_credits(
        db, program, PREFIX, count, credits=LOTS_PER_MEMBER, points=POINTS_PER_LOT, at=at
    )
    now = services.clock.now()
    await add_members(db, program, TAPPING_PREFIX, _tapping_members(env), now=now)
    await load_members(services.gate, program, TAPPING_PREFIX, _tapping_members(env), now=now)
    await vacuum(db)


async def _add_lots(env: Environment, services: Services, program: Program) -> datetime:
    """Add all lots. Return their end, a little after now."""
    parts = spans(_members(env))
    env.report(f"expire: adding {_members(env) * LOTS_PER_MEMBER:,} lots")
    started = time.perf_counter()
    # A rehearsal, to learn how long adding the lots takes.
    async with transaction(services.db) as conn:
        tomorrow = services.clock.now() + timedelta(days=1)
        await add_lots(conn, program, PREFIX, parts[0], expires_at=tomorrow)
        await conn.rollback()
    span_s = time.perf_counter() - started
    expires_at = services.clock.now() + timedelta(seconds=SPARE_S + 3 * span_s * len(parts))
    for span in parts:
        async with transaction(services.db) as conn:
            await add_lots(conn, program, PREFIX, span, expires_at=expires_at)
    await vacuum(services.db)
    return expires_at


def _taps_per_interval(env: Environment) -> int:
    return max(int(env.sizes.rate * min(INTERVAL_S, env.sizes.seconds / QUIET_INTERVALS)), 1)


async def _tap(env: Environment, client: ChildProgram, interval: int) -> LoadResult:
    count = _taps_per_interval(env)
    request = SendAtRate(
        port=env.settings.api_port,
        method="POST",
        path=TAPS,
        prefix=TAPPING_PREFIX,
        first=interval * count,
        count=count,
        connections=CONNECTIONS,
        rate=env.sizes.rate,
    )
    return await request_load(client, request, {202: count})


async def _measure(
    env: Environment, services: Services, client: ChildProgram, expires_at: datetime
) -> tuple[float, list[LoadResult]]:
    """Return the seconds until no lot is left, and the results of the taps in that time."""
    await env.sleep_until(expires_at, "expire: the lots end", clock=services.clock)
    expiration = asyncio.create_task(wait_until_zero(services.db, _UNEXPIRED, limit_s=LIMIT_S, at=expires_at))
    try:
        env.report("expire: workers end the lots while others tap")
        results = []
        for interval in range(QUIET_INTERVALS, _tapping_members(env) // _taps_per_interval(env)):
            results.append(await _tap(env, client, interval))
            if expiration.done():
                break
        # The last interval is partly after the end.
        return await expiration, results[:-1] or results
    finally:
        expiration.cancel()


async def _verify(env: Environment, services: Services, expires_at: datetime) -> None:
    """Check that exactly these lots ended, and not early: a fast but wrong run is worthless."""
    count = _members(env) * LOTS_PER_MEMBER
    entries, points, expired, first, active = await fetch_row(services.db, _TOTALS)
    assert entries == count, f"{entries} of {count} lots ended"
    assert -points == expired == count * POINTS_PER_LOT, f"{points} points in entries, {expired} in lots"
    assert active == 0, f"{active} points are left"
    assert first >= expires_at, "a lot ended early"


def _figures(
    env: Environment, seconds: float, quiet: list[LoadResult], busy: list[LoadResult]
) -> list[Figure]:
    count = _members(env) * LOTS_PER_MEMBER
    p99_ms, quiet_p99_ms = (median([result.p99_s for result in loads]) * 1000 for loads in (busy, quiet))
    p50_ms, quiet_p50_ms = (median([result.p50_s for result in loads]) * 1000 for loads in (busy, quiet))
    max_ms = max(result.max_s for result in busy) * 1000
    return [
        Figure(
            benchmark="expire",
            what=f"{count:,} lots that expire at one instant have ended within",
            value=seconds,
            unit="s",
            at_most=MAX_SECONDS,
            note=f"{LOTS_PER_MEMBER} a member, {env.sizes.workers} workers, {count / seconds:,.0f} lots/s",
        ),
        compare(
            "expire",
            "taps of others a second in this time",
            "taps/s",
            [result.rate for result in busy],
            baseline="before",
            baseline_rates=[result.rate for result in quiet],
            note=f"{env.sizes.rate:,}/s are sent",
        ),
        Figure(
            benchmark="expire",
            what="99 % of these taps are answered within",
            value=p99_ms,
            unit="ms",
            over=f"before: {quiet_p99_ms:.1f} ms",
            ratio=p99_ms / quiet_p99_ms,
            note=f"p50 {p50_ms:.1f}, before {quiet_p50_ms:.1f}; at most {max_ms:.0f}",
        ),
    ]
