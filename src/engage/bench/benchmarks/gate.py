"""`gate`: what a member costs in Valkey's memory, and how many claims a second the gate answers."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from redis.asyncio import Redis

from engage.bench.figures import Figure, median, spread
from engage.bench.setup.constants import COUNTRY, PROGRAM
from engage.bench.setup.environment import Ground
from engage.clock import Clock
from engage.domain import calendar
from engage.domain.earning.rules import PerWindow
from engage.domain.earning.slots import StreakSlot
from engage.domain.program.program import Program
from engage.gate import keys
from engage.gate.client import ClaimStatus, Gate, SlotRequest, open_gate
from engage.programs import preset

MEMBERS_PER_LOAD = 1_000
CLAIMS_PER_CALL = 64  # As many as there are connections in `tap`.
MOST_BYTES = 128
ZONE = preset(PROGRAM).countries[COUNTRY].zone


async def run(ground: Ground) -> list[Figure]:
    gate = open_gate(ground.settings.state_url)
    try:
        async with Redis.from_url(ground.settings.state_url) as valkey:
            memory = [
                await _memory(ground, gate, valkey, "ids of 36 characters", _uuid),
                await _memory(ground, gate, valkey, "ids of 8 characters", _short),
            ]
            return memory + await _claims(ground, gate, valkey)
    finally:
        await gate.close()


def _uuid(number: int) -> str:
    # Any fixed mixing will do: the ids have to differ everywhere, as real ones do.
    return str(UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % (1 << 128)))


def _short(number: int) -> str:
    return f"{10_000_000 + number}"


async def _memory(ground: Ground, gate: Gate, valkey: Redis, what: str, name: Callable[[int], str]) -> Figure:
    """Bytes of Valkey's used memory for a member whose streak and whose limits the gate knows."""
    await _empty(valkey, gate)
    members = ground.sizes.members
    now = Clock().now()
    known = _records(preset(PROGRAM), now)
    before = await _used_memory(valkey)
    day, month = calendar.window("day", now, "UTC").period, calendar.window("month", now, "UTC").period
    for first in range(0, members, MEMBERS_PER_LOAD):
        if first % 100_000 == 0:
            ground.say(f"gate: {first:,} of {members:,} members, {what}")
        numbers = range(first, min(first + MEMBERS_PER_LOAD, members))
        await gate.load([(PROGRAM, name(n), known) for n in numbers], day=day, month=month)
    used = await _used_memory(valkey) - before
    assert await gate.read(PROGRAM, name(members - 1)) == known
    return Figure(
        benchmark="gate",
        what=f"memory for an active member, {what}",
        value=used / members,
        unit="bytes",
        at_most=MOST_BYTES,
        note=f"{members:,} members, a streak and {len(known) - 1} share limits each",
    )


def _records(program: Program, now: datetime) -> list[keys.SlotRecord]:
    """What there is to know of a member who has tapped for five days and shared in both ways."""
    rules = program.earning.rules
    assert rules.streak is not None
    yesterday = calendar.window("day", now, ZONE).period - 1
    records = [keys.streak_record(rules.streak.id, yesterday, 5, ZONE)]
    for rule in rules.windows:
        assert isinstance(rule.limit, PerWindow)
        period = calendar.window(rule.limit.window, now, ZONE).period
        records.append(keys.window_record(rule.id, rule.limit.window, period, [1, 2]))
    return records


async def _claims(ground: Ground, gate: Gate, valkey: Redis) -> list[Figure]:
    """Fuel taps of distinct members, one call for one claim and one call for many, in turn."""
    await _empty(valkey, gate)
    now = Clock().now()
    streak = preset(PROGRAM).earning.rules.streak
    assert streak is not None
    slot = StreakSlot(streak.id, calendar.local_date(now, ZONE), ZONE)
    day, month = calendar.window("day", now, "UTC").period, calendar.window("month", now, "UTC").period
    batched, single = [], []
    fewer = max(ground.sizes.claims // 10, 1)
    for turn in range(ground.sizes.rounds):
        ground.say(f"gate: claims, round {turn + 1} of {ground.sizes.rounds}")
        many = [SlotRequest(PROGRAM, f"many-{turn}-{n}", slot) for n in range(ground.sizes.claims)]
        few = [SlotRequest(PROGRAM, f"few-{turn}-{n}", slot) for n in range(fewer)]
        for first in range(0, len(many + few), MEMBERS_PER_LOAD):
            nothing: list[keys.SlotRecord] = []
            new = [
                (a.program_id, a.member_id, nothing) for a in (many + few)[first : first + MEMBERS_PER_LOAD]
            ]
            await gate.load(new, day=day, month=month)
        batched.append(await _claim_rate(gate, many, CLAIMS_PER_CALL))
        single.append(await _claim_rate(gate, few, 1))
    return [
        Figure(
            benchmark="gate",
            what=f"claims a second, {CLAIMS_PER_CALL} a call",
            value=median(batched),
            unit="claims/s",
            over=f"one claim a call: {median(single):,.0f}/s",
            ratio=median(batched) / median(single),
            note=spread(batched),
        )
    ]


async def _claim_rate(gate: Gate, asked: list[SlotRequest], size: int) -> float:
    began = time.perf_counter()
    for first in range(0, len(asked), size):
        answers = await gate.claim(asked[first : first + size])
        assert all(answer.status == ClaimStatus.GRANTED for answer in answers)
    return len(asked) / (time.perf_counter() - began)


async def _empty(valkey: Redis, gate: Gate) -> None:
    # At once: memory that is freed in the background would be counted as the members'.
    await valkey.execute_command("FLUSHALL", "SYNC")  # type: ignore[no-untyped-call]
    await gate.install()


async def _used_memory(valkey: Redis) -> int:
    """Without what a rewrite of the append-only file buffers while it runs."""
    async with asyncio.timeout(120):
        while (await valkey.info("persistence"))["aof_rewrite_in_progress"]:  # noqa: ASYNC110 — It cannot tell.
            await asyncio.sleep(0.1)
    return int((await valkey.info("memory"))["used_memory"])
