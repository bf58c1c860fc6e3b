"""Valkey's state made again from PostgreSQL, while the system runs.

Nothing depends on its being whole: a member that the gate does not know is loaded when they come. It spares
everyone's first request that question, and it is how to be sure that the gate says what the database says.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

from msgspec import Struct

from engage.flows.activities.limits_from_ledger import load_gate
from engage.ledger.settle import is_credit_due, read_due_times
from engage.ledger.used_slots import read_active_members
from engage.runtime.database import transaction
from engage.runtime.sandbox_clock import follow_sandbox_clock
from engage.runtime.services import Services
from engage.signals.doorbell import TICK
from engage.store.members.members import Member, count_members, read_members_after

# The gate forgets whoever stays away for so long; longer ago there is nothing that it would need to know.
ACTIVE_WITHIN = timedelta(days=40)
MEMBERS_PER_BATCH = 1_000
BELLS_PER_BATCH = 500

Told = Callable[[str, int, int], None]


class Rebuilt(Struct, frozen=True):
    """How many members there are, how many of them the gate was told of, how many doorbells were rung."""

    members: int
    loaded: int
    bells: int


def _untold(_what: str, _done: int, _total: int) -> None:
    pass


async def rebuild(services: Services, *, told: Told = _untold) -> Rebuilt:
    """`told` hears what is being done, how much of it is done, and of how much.

    Raises Unavailable; doing it again is safe.
    """
    await services.programs.refresh(services.db)
    await follow_sandbox_clock(services)
    await services.gate.install()
    await services.gate.forget_all()
    members, loaded = await _load_members(services, told)
    return Rebuilt(members, loaded, await _ring(services, told))


async def _load_members(services: Services, told: Told) -> tuple[int, int]:
    async with transaction(services.db) as conn:
        total = await count_members(conn)
    seen, loaded, last = 0, 0, ("", "")
    while True:
        told("members", seen, total)
        async with transaction(services.db) as conn:
            batch = await read_members_after(conn, last, limit=MEMBERS_PER_BATCH)
            now = services.clock.now()
            keys = [(member.program_id, member.member_id) for member in batch]
            active = await read_active_members(conn, keys, now - ACTIVE_WITHIN)
            known: Sequence[Member] = [m for m in batch if (m.program_id, m.member_id) in active]
            if known:
                await load_gate(services, conn, [(member, now) for member in known])
        seen, loaded = seen + len(batch), loaded + len(known)
        if len(batch) < MEMBERS_PER_BATCH:
            told("members", seen, seen)
            return seen, loaded
        last = keys[-1]


async def _ring(services: Services, told: Told) -> int:
    now = services.clock.now()
    async with transaction(services.db) as conn:
        times = await read_due_times(conn, after=now, step=TICK)
        if await is_credit_due(conn, now=now):
            times.insert(0, now)
    for first in range(0, len(times), BELLS_PER_BATCH):
        told("doorbells", first, len(times))
        await services.doorbell.ring(times[first : first + BELLS_PER_BATCH])
    told("doorbells", len(times), len(times))
    return len(times)
