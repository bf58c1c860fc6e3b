"""`gate`: Valkey's memory for a member, and claims a second."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from redis.asyncio import Redis

from engage.bench.figures import Figure, compare
from engage.bench.setup.constants import COUNTRY, PRESET, PROGRAM
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import load_gate
from engage.clock import machine_time
from engage.domain import calendar
from engage.domain.earning.limits import DailyStreak, StreakSlot
from engage.domain.earning.streak import Streak
from engage.domain.program.program import Program
from engage.gate import keys
from engage.gate.claims import ClaimStatus, SlotRequest
from engage.gate.client import Gate, open_gate
from engage.programs import preset

CLAIMS_PER_CALL = 64  # As many as there are connections in `tap`.
MAX_BYTES = 128
MEMBERS_PER_REPORT = 100_000
ZONE = preset(PRESET).countries[COUNTRY].zone


async def run(env: Environment) -> list[Figure]:
    gate = open_gate(env.settings.state_url)
    try:
        async with Redis.from_url(env.settings.state_url) as valkey:
            return [
                await _memory(env, gate, valkey, "ids of 36 characters", _long_id),
                await _memory(env, gate, valkey, "ids of 8 characters", _short_id),
                await _claims(env, gate, valkey),
            ]
    finally:
        await gate.close()


def _long_id(number: int) -> str:
    # Multiply by a constant, so that ids differ in all digits, as real ones do.
    return str(UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % (1 << 128)))


def _short_id(number: int) -> str:
    return f"{10_000_000 + number}"


async def _memory(
    env: Environment, gate: Gate, valkey: Redis, ids: str, member_id: Callable[[int], str]
) -> Figure:
    """Measure bytes of Valkey for a member with a streak and limits."""
    await _empty(valkey, gate)
    members = env.sizes.members
    now = machine_time()
    records = _records(preset(PRESET), now)
    before = await _used_memory(valkey)
    for first in range(0, members, MEMBERS_PER_REPORT):
        env.report(f"gate: {first:,} of {members:,} members, {ids}")
        numbers = range(first, min(first + MEMBERS_PER_REPORT, members))
        await load_gate(gate, PROGRAM, [member_id(n) for n in numbers], records, now=now)
    used = await _used_memory(valkey) - before
    assert await gate.read(PROGRAM, member_id(members - 1)) == records
    return Figure(
        benchmark="gate",
        what=f"memory for an active member, {ids}",
        value=used / members,
        unit="bytes",
        at_most=MAX_BYTES,
        note=f"{members:,} members, a streak and {len(records) - 1} share limits each",
    )


def _records(program: Program, now: datetime) -> list[keys.Record]:
    """Return the records of a member who tapped for five days and shared in both ways."""
    rules = program.earning.rules
    assert rules.streak is not None
    before = now - timedelta(days=1)
    streak = Streak(last_day=calendar.local_date(before, ZONE), days=5, zone=ZONE, at=before, best=5)
    records: list[keys.Record] = [keys.streak_record(rules.streak.id, streak, 5)]
    records += [
        keys.window_record(slot.rule_id, slot.window.kind, slot.period, [1, 2])
        for slot in rules.open_windows(now, ZONE)
        if rules.by_id[slot.rule_id].on.activity == "share"
    ]
    return records


async def _claims(env: Environment, gate: Gate, valkey: Redis) -> Figure:
    """Claim fuel taps of distinct members, with many claims a call and with one, in alternation."""
    await _empty(valkey, gate)
    now = machine_time()
    streak = preset(PRESET).earning.rules.streak
    assert streak is not None
    assert isinstance(streak.limit, DailyStreak)
    slot = StreakSlot(streak.id, calendar.local_date(now, ZONE), ZONE, now, streak.limit)
    batched, single = [], []
    for number in env.rounds("gate"):
        many = [f"many-{number}-{n}" for n in range(env.sizes.claims)]
        few = [f"few-{number}-{n}" for n in range(max(env.sizes.claims // 10, 1))]
        await load_gate(gate, PROGRAM, many + few, [], now=now)
        batched.append(await _claim_rate(gate, slot, many, CLAIMS_PER_CALL))
        single.append(await _claim_rate(gate, slot, few, 1))
    return compare(
        "gate",
        f"claims a second, {CLAIMS_PER_CALL} a call",
        "claims/s",
        batched,
        baseline="one claim a call",
        baseline_rates=single,
    )


async def _claim_rate(gate: Gate, slot: StreakSlot, member_ids: Sequence[str], size: int) -> float:
    requests = [SlotRequest(PROGRAM, member, slot) for member in member_ids]
    started = time.perf_counter()
    for first in range(0, len(requests), size):
        claims = await gate.claim(requests[first : first + size])
        assert all(claim.status == ClaimStatus.GRANTED for claim in claims)
    return len(requests) / (time.perf_counter() - started)


async def _empty(valkey: Redis, gate: Gate) -> None:
    # Synchronously: memory that is freed in the background would count as the members'.
    await valkey.execute_command("FLUSHALL", "SYNC")  # type: ignore[no-untyped-call]
    await gate.install()


async def _used_memory(valkey: Redis) -> int:
    """Wait for the end of a rewrite of the append-only file, whose buffers would be counted."""
    async with asyncio.timeout(120):
        while (await valkey.info("persistence"))["aof_rewrite_in_progress"]:  # noqa: ASYNC110 — No event exists.
            await asyncio.sleep(0.1)
    return int((await valkey.info("memory"))["used_memory"])
