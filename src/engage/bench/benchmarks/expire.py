"""`expire`: a great many lots that end at one instant, ended by real workers while others' taps go on."""

import asyncio
import time
from datetime import datetime, timedelta

from sqlalchemy import text

from engage.bench.clients.http_client import Load, Sign, Signed, Stream
from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import Figure, median
from engage.bench.setup import members as crowd
from engage.bench.setup import points as savers
from engage.bench.setup.child_program import Hand, hand
from engage.bench.setup.constants import PROGRAM
from engage.bench.setup.environment import Ground, running
from engage.bench.setup.workers import crew, until_alive
from engage.domain.program.program import Program
from engage.embedded import processes
from engage.programs import preset
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services

MOST_S = 60.0
LOTS_A_MEMBER = 4
POINTS_A_LOT = 10
PREFIX, TAPPERS = "ending-", "tapping-"
TAPS = "/v1/fuel/taps"
CONNECTIONS = 256  # A tap that finds none free waits for one, so there are many.
LONGEST_STREAM_S = 2.0  # Taps are measured for so long at a time, or less where all takes less.
QUIET_STREAMS = 5
SPARE_S = 1.0  # Between the last lot and its end, and more where adding took long.
LONGEST_S = 300.0
LOOK_S = 0.05

_LEFT = text("SELECT EXISTS (SELECT FROM lots WHERE remaining > 0 AND expires_at <= :at)")

_SUMS = text("""
SELECT (SELECT count(*) FROM entries WHERE kind = 'expiration'),
       (SELECT sum(active_delta) FROM entries WHERE kind = 'expiration'),
       (SELECT sum(expired) FROM lots), (SELECT min(at) FROM entries WHERE kind = 'expiration'),
       (SELECT sum(active) FROM balances WHERE starts_with(member_id, 'ending-'))
""")


async def run(ground: Ground) -> list[Figure]:
    async with open_services(ground.settings) as services:
        await services.programs.refresh(services.db)
        program = preset(PROGRAM)
        await _add_members(ground, services, program)
        engage = [make(ground.folder, ground.settings) for make in (processes.api, processes.feed)]
        async with (
            running(*engage, *crew(ground)),
            hand("engage.bench.clients.http_client", ground.folder.logs) as load,
        ):
            await until_alive(services, ground.sizes.workers)
            await load.ask(Sign(str(ground.folder.sandbox), PROGRAM, TAPPERS, _tappers(ground)), Signed)
            quiet = [await _tap(ground, load, turn) for turn in range(QUIET_STREAMS)]
            ends_at = await _add_lots(ground, services, program)
            took, busy = await _until_ended(ground, services, load, ends_at)
        await _prove(ground, services, ends_at)
    return _figures(ground, took, quiet, busy)


def _members(ground: Ground) -> int:
    return max(ground.sizes.lots // LOTS_A_MEMBER, 1)


def _tappers(ground: Ground) -> int:
    """Enough for the quiet time, and for as long as it should take."""
    return int(ground.sizes.rate * (QUIET_STREAMS * LONGEST_STREAM_S + MOST_S))


async def _add_members(ground: Ground, services: Services, program: Program) -> None:
    """They have all but their lots."""
    count, at = _members(ground), services.clock.now() - timedelta(days=400)
    ground.say(f"expire: adding {count:,} members with {LOTS_A_MEMBER} credits each")
    await crowd.add_members(services.db, program, PREFIX, count, now=at)
    await savers.add_earned(services, program, PREFIX, count, each=LOTS_A_MEMBER, points=POINTS_A_LOT, at=at)
    now = services.clock.now()
    await crowd.add_members(services.db, program, TAPPERS, _tappers(ground), now=now)
    await crowd.introduce(services, program, TAPPERS, _tappers(ground), now=now)
    await crowd.tidy(services.db)


async def _add_lots(ground: Ground, services: Services, program: Program) -> datetime:
    """When all of them end, which is a little after this returns."""
    spans = crowd.spans(_members(ground))
    ground.say(f"expire: adding {_members(ground) * LOTS_A_MEMBER:,} lots")
    began = time.perf_counter()
    async with transaction(services.db) as conn:
        tomorrow = services.clock.now() + timedelta(days=1)
        await savers.add_lots(conn, program, PREFIX, spans[0], ends_at=tomorrow)
        await conn.rollback()
    a_span_s = time.perf_counter() - began
    ends_at = services.clock.now() + timedelta(seconds=SPARE_S + 3 * a_span_s * len(spans))
    for span in spans:
        async with transaction(services.db) as conn:
            await savers.add_lots(conn, program, PREFIX, span, ends_at=ends_at)
    await crowd.tidy(services.db)
    return ends_at


def _taps(ground: Ground) -> int:
    """In a stream."""
    return max(int(ground.sizes.rate * min(LONGEST_STREAM_S, ground.sizes.seconds / QUIET_STREAMS)), 1)


async def _tap(ground: Ground, load: Hand, turn: int) -> Load:
    count = _taps(ground)
    order = Stream(
        port=ground.settings.api_port,
        method="POST",
        path=TAPS,
        prefix=TAPPERS,
        first=turn * count,
        count=count,
        connections=CONNECTIONS,
        rate=ground.sizes.rate,
    )
    answered = await load.ask(order, Load)
    if answered.statuses != {202: count}:
        raise BenchmarkFailed(f"taps were answered {answered.statuses}, expected {count} times 202")
    return answered


async def _until_ended(
    ground: Ground, services: Services, load: Hand, ends_at: datetime
) -> tuple[float, list[Load]]:
    """Seconds from the instant until no lot is left, and the taps that were answered all the while."""
    wait_s = (ends_at - services.clock.now()).total_seconds()
    ground.say(f"expire: the lots end in {wait_s:.0f} s")
    assert wait_s > 0, "the lots ended before they were there: this machine is too busy"
    await asyncio.sleep(wait_s)
    ended = asyncio.create_task(_watch(services, ends_at))
    try:
        ground.say("expire: the lots are ended, and others tap")
        streams = []
        for turn in range(QUIET_STREAMS, _tappers(ground) // _taps(ground)):
            streams.append(await _tap(ground, load, turn))
            if ended.done():
                break
        return await ended, streams[:-1] or streams
    finally:
        ended.cancel()


async def _watch(services: Services, ends_at: datetime) -> float:
    began = time.perf_counter()
    async with asyncio.timeout(LONGEST_S):
        while True:
            async with transaction(services.db) as conn:
                if not (await conn.execute(_LEFT, {"at": ends_at})).scalar_one():
                    return time.perf_counter() - began
            await asyncio.sleep(LOOK_S)


async def _prove(ground: Ground, services: Services, ends_at: datetime) -> None:
    """A benchmark that were fast and wrong would be worth nothing."""
    count = _members(ground) * LOTS_A_MEMBER
    async with transaction(services.db) as conn:
        entries, points, expired, first, active = (await conn.execute(_SUMS)).one()
    assert entries == count, f"{entries} of {count} lots ended"
    assert -points == expired == count * POINTS_A_LOT, f"{points} points in entries, {expired} in lots"
    assert active == 0, f"{active} points are left"
    assert first >= ends_at, "a lot ended early"


def _figures(ground: Ground, took: float, quiet: list[Load], busy: list[Load]) -> list[Figure]:
    count = _members(ground) * LOTS_A_MEMBER
    p99, quiet_p99 = (median([each.p99_s for each in loads]) * 1000 for loads in (busy, quiet))
    p50, quiet_p50 = (median([each.p50_s for each in loads]) * 1000 for loads in (busy, quiet))
    rate, quiet_rate = (median([each.rate for each in loads]) for loads in (busy, quiet))
    longest = max(each.max_s for each in busy) * 1000
    return [
        Figure(
            benchmark="expire",
            what=f"{count:,} lots that end at one instant are ended within",
            value=took,
            unit="s",
            at_most=MOST_S,
            note=f"{LOTS_A_MEMBER} a member, {ground.sizes.workers} workers, {count / took:,.0f} lots/s",
        ),
        Figure(
            benchmark="expire",
            what="others' taps a second meanwhile",
            value=rate,
            unit="taps/s",
            over=f"before: {quiet_rate:,.0f}/s",
            ratio=rate / quiet_rate,
            note=f"{ground.sizes.rate:,}/s are sent",
        ),
        Figure(
            benchmark="expire",
            what="99 % of these taps are answered within",
            value=p99,
            unit="ms",
            over=f"before: {quiet_p99:.1f} ms",
            ratio=p99 / quiet_p99,
            note=f"p50 {p50:.1f}, before {quiet_p50:.1f}; at most {longest:.0f}",
        ),
    ]
