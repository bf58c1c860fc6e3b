"""`campaigns`: taps and the shop's events about orders while campaigns of all kinds run, compared with
those of the same program without campaigns.

Both programs take turns, and each ratio is one of neighbours: what the machine does besides slows both. Where
it is busy, the CPU time says more than the seconds.
"""

import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy import text

from engage.bench.benchmarks.orders import KINDS, event_of
from engage.bench.clients import http_client
from engage.bench.clients.http_client import SendAll, SignTokens, TokensSigned
from engage.bench.clients.load import request_load
from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import Figure, median, spread
from engage.bench.setup import processes
from engage.bench.setup.campaigns import CAMPAIGNING, QUIET, publish_copies, run_campaigns
from engage.bench.setup.child_program import ChildProgram, child_program
from engage.bench.setup.constants import TAPS, member_id
from engage.bench.setup.cpu import cpu_times, used_s
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members, load_members, vacuum
from engage.bench.setup.queries import fetch_row, wait_until_zero
from engage.domain.program.program import Program
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import EVENTS_PER_CALL, take_events
from engage.runtime.services import Services, open_services

MAX_RATIO_OF_TAPS: Final = 1.10
MAX_RATIO_OF_ORDERS: Final = 1.20
PUBLISH_S: Final = 10.0
IN_FORCE: Final = timedelta(seconds=3)
CURRENCY: Final = "EUR"

# In a round each program has two turns: the first and the last, or those between.
TURNS: Final = ((QUIET, 0), (CAMPAIGNING, 0), (CAMPAIGNING, 1), (QUIET, 1))
WARM_UP_SHARE: Final = 10
REGULARS: Final = 20  # One of so many members is in the segment.

_UNPUBLISHED = text("SELECT EXISTS (SELECT FROM outbox)")
_CREDITS = text("""
SELECT count(*) FILTER (WHERE campaign IS NULL), count(*) FILTER (WHERE campaign IS NOT NULL)
FROM credits WHERE program_id = :program_id AND member_id LIKE :members
""")


class Cost(Struct):
    """The time that some work took."""

    seconds: float = 0.0
    cpu_s: float = 0.0


class Meter:
    """Measures the work of both programs in each round. The CPU time of the processes `without` is not
    counted.
    """

    def __init__(self, *, without: Sequence[int] = ()) -> None:
        self._without = without
        self._rounds: list[dict[str, Cost]] = []

    def begin_round(self) -> None:
        self._rounds.append({QUIET: Cost(), CAMPAIGNING: Cost()})

    @asynccontextmanager
    async def measuring(self, program: str) -> AsyncIterator[Cost]:
        """Measure the CPU time of the block, and its seconds unless the block says them."""
        cost, began = Cost(), time.perf_counter()
        before = cpu_times(without=self._without)
        yield cost
        total = self._rounds[-1][program]
        total.cpu_s += used_s(before, cpu_times(without=self._without))
        total.seconds += cost.seconds or time.perf_counter() - began

    def figures(self, what: str, unit: str, number: int, at_most: float) -> list[Figure]:
        """Compare both programs by the time of one of the taps or events, of which a round had a number."""
        cpu_s = {id_: [each[id_].cpu_s / number for each in self._rounds] for id_ in (QUIET, CAMPAIGNING)}
        seconds = {id_: [each[id_].seconds / number for each in self._rounds] for id_ in (QUIET, CAMPAIGNING)}
        return [
            _compare(f"{what}: CPU time of the servers", unit, cpu_s, at_most),
            _compare(f"{what}: time", unit, seconds, at_most),
        ]


def _compare(what: str, unit: str, seconds: dict[str, list[float]], at_most: float) -> Figure:
    ratios = [ours / quiet for quiet, ours in zip(seconds[QUIET], seconds[CAMPAIGNING], strict=True)]
    quiet_us, ours_us = (median(seconds[id_]) * 1_000_000 for id_ in (QUIET, CAMPAIGNING))
    return Figure(
        benchmark="campaigns",
        what=what,
        value=ours_us,
        unit=unit,
        over=f"without campaigns, in turn: {quiet_us:,.0f} {unit}",
        ratio=median(ratios),
        at_most=at_most,
        note=spread(ratios),
    )


async def run(env: Environment) -> list[Figure]:
    async with open_services(env.settings) as services:
        await services.programs.refresh(services.db)
        programs = await publish_copies(services)
        await _add_members(env, services, programs)
        env.report(f"campaigns: approving {env.sizes.campaigns}")
        await run_campaigns(services, env.sizes.campaigns, _regulars(env))
        await vacuum(services.db)
        in_force = services.clock.now() + IN_FORCE
        await env.sleep_until(in_force, "campaigns: all in force", clock=services.clock)
        taps = await _measure_taps(env, services)
        events = await _measure_orders(env, services)
        boosted = [await _share(services, kind) for kind in ("tap", "order")]
    running = f"{env.sizes.campaigns} campaigns running"
    return [
        *taps.figures(f"a tap with {running}", "µs", env.sizes.taps, MAX_RATIO_OF_TAPS),
        *events.figures(
            f"an event about an order with {running}",
            "µs",
            env.sizes.orders * len(KINDS),
            MAX_RATIO_OF_ORDERS,
        ),
        *(
            Figure(
                benchmark="campaigns",
                what=f"credits of campaigns with each {what}",
                value=share,
                unit="credits",
            )
            for what, share in zip(("tap", "order"), boosted, strict=True)
        ),
    ]


async def _add_members(env: Environment, services: Services, programs: Sequence[Program]) -> None:
    """Add members to both programs, and load those who tap into the gate."""
    sizes, now, taps = env.sizes, services.clock.now(), _tapping(env)
    env.report(f"campaigns: adding {len(programs) * (taps + sizes.orders * sizes.rounds):,} members")
    for program in programs:
        await add_members(services.db, program, prefix("tap", program.id), taps, now=now)
        await load_members(services.gate, program, prefix("tap", program.id), taps, now=now)
        orders = sizes.orders * sizes.rounds
        await add_members(services.db, program, prefix("order", program.id), orders, now=now)


def prefix(kind: str, program: str) -> str:
    """The ids of the members who tap or order begin so."""
    return f"{kind}-{program}-"


def _regulars(env: Environment) -> list[str]:
    sizes = env.sizes
    counts = {"tap": _tapping(env), "order": sizes.orders * sizes.rounds}
    return [
        member_id(prefix(kind, CAMPAIGNING), n)
        for kind, count in counts.items()
        for n in range(0, count, REGULARS)
    ]


async def _share(services: Services, kind: str) -> float:
    """The number of credits that campaigns add for each credit of the program's rules."""
    members = prefix(kind, CAMPAIGNING)
    own, added = await fetch_row(services.db, _CREDITS, program_id=CAMPAIGNING, members=f"{members}%")
    if not own:
        raise BenchmarkFailed(f"no credits of {members}")
    return float(added / own)


async def _measure_taps(env: Environment, services: Services) -> Meter:
    async with (
        processes.running(processes.api(env)),
        child_program(http_client, env.folder.logs) as client,
    ):
        for program in (QUIET, CAMPAIGNING):
            tokens = SignTokens(str(env.folder.sandbox), program, prefix("tap", program), _tapping(env))
            await client.call(tokens, TokensSigned)
        meter = Meter(without=[os.getpid(), client.pid])
        await _warm_up(env, services, client)
        for number in env.rounds("campaigns: taps"):
            meter.begin_round()
            for program, first, count in _turns(number, env.sizes.taps):
                # An app opens with the home screen. The API caches the verified token from then on.
                await _send(env, client, program, first, count, "GET", "/v1/me")
                await wait_until_zero(services.db, _UNPUBLISHED, limit_s=PUBLISH_S)
                async with meter.measuring(program) as cost:
                    cost.seconds = await _send(env, client, program, first, count, "POST", TAPS)
                    # What follows a response is part of a tap.
                    await wait_until_zero(services.db, _UNPUBLISHED, limit_s=PUBLISH_S)
    return meter


async def _warm_up(env: Environment, services: Services, client: ChildProgram) -> None:
    """Let some members tap, so that statements are planned for tables that are not empty."""
    first = env.sizes.taps * env.sizes.rounds
    for program in (QUIET, CAMPAIGNING):
        for method, path in (("GET", "/v1/me"), ("POST", TAPS)):
            await _send(env, client, program, first, _few(env), method, path)
    await wait_until_zero(services.db, _UNPUBLISHED, limit_s=PUBLISH_S)
    await vacuum(services.db)


def _few(env: Environment) -> int:
    """The members of each program with whom it warms up."""
    return max(env.sizes.taps // WARM_UP_SHARE, env.sizes.connections)


def _tapping(env: Environment) -> int:
    """The members of each program who tap."""
    return env.sizes.taps * env.sizes.rounds + _few(env)


def _turns(number: int, size: int) -> Iterator[tuple[str, int, int]]:
    """(program, the number of the first member, the number of members) of each turn of a round."""
    half = size // 2
    for program, turn in TURNS:
        yield program, number * size + turn * half, size - half if turn else half


async def _send(
    env: Environment, client: ChildProgram, program: str, first: int, count: int, method: str, path: str
) -> float:
    """Send a request of each member. Return the seconds."""
    request = SendAll(
        env.settings.api_port, method, path, prefix("tap", program), first, count, env.sizes.connections
    )
    result = await request_load(client, request, {200 if method == "GET" else 202: count})
    return result.seconds


async def _measure_orders(env: Environment, services: Services) -> Meter:
    """Pay, deliver, settle and partly return orders, each of a different member."""
    meter = Meter()
    for number in env.rounds("campaigns: orders"):
        meter.begin_round()
        turns = list(_turns(number, env.sizes.orders))
        at = services.clock.now()
        for kind in KINDS:
            for program, first, count in turns:
                buyers = prefix("order", program)
                members = [member_id(buyers, n) for n in range(first, first + count)]
                await services.members.find(services.db, [(program, member) for member in members])
                events = [event_of(kind, program, member, at, CURRENCY) for member in members]
                async with meter.measuring(program):
                    await _take(services, events)
            await settle_due(services, now=services.clock.now())
            await services.post_commit.drain()
    return meter


async def _take(services: Services, events: Sequence[AnyEvent]) -> None:
    for first in range(0, len(events), EVENTS_PER_CALL):
        batch = events[first : first + EVENTS_PER_CALL]
        result = await take_events(services, batch)
        assert result.accepted == len(batch), result
