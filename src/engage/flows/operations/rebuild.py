"""Rebuild the gate and the leaderboards from PostgreSQL, while the system runs.

Nothing requires a complete gate: a member that it does not know is loaded at their next activity. A rebuild
saves those queries, and ensures that gate and database agree.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from msgspec import Struct

from engage.connections.cancellation import cancel_all
from engage.domain.keys import MemberKey
from engage.domain.leaderboards.kind import LEADERBOARD
from engage.domain.refusals import Unavailable
from engage.flows.activities.limits_from_ledger import load_gate
from engage.flows.leaderboards.count import count_members_scores
from engage.flows.leaderboards.load import load_boards
from engage.ledger.settle import is_credit_due, read_due_times
from engage.ledger.used_slots import read_active_members
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.signals.doorbell import TICK
from engage.store.members.members import Member, count_members, read_members_after

# The gate forgets members who are inactive for this long; older slots do not matter to it.
ACTIVE_WITHIN = timedelta(days=40)
MEMBERS_PER_BATCH = 1_000
LOADERS = 3
DOORBELLS_PER_BATCH = 500

# A part that fails since a server is away is repeated, until nothing at all has succeeded for so long.
PATIENCE_S = 60.0
PAUSE_S = 1.0

T = TypeVar("T")

OnProgress = Callable[[str, int, int], None]  # (step, done, total)
OnWaiting = Callable[[str], None]  # (the part that does not answer)


class RebuildResult(Struct, frozen=True):
    """Counts of all members, of members loaded into the gate, and of doorbells rung."""

    members: int
    loaded: int
    doorbells: int


def _ignore(_step: str, _done: int, _total: int) -> None:
    pass


def _ignore_waiting(_part: str) -> None:
    pass


async def rebuild(
    services: Services, *, on_progress: OnProgress = _ignore, on_waiting: OnWaiting = _ignore_waiting
) -> RebuildResult:
    """Empty the gate, load the active members, count the scores of leaderboards anew and load them, and ring
    the doorbells of all pending credits.

    Safe to repeat, as each part of it is. Raises Unavailable after PATIENCE_S without a success, or where the
    tables have another version.
    """
    patience = _Patience(on_waiting)
    await patience.repeat(partial(services.programs.refresh, services.db))
    await patience.repeat(services.follow_clock)
    await patience.repeat(services.gate.install)
    await patience.repeat(services.gate.forget_all)
    await patience.repeat(partial(services.definitions.refresh, services.db))
    members, loaded = await _load_members(services, patience, on_progress)
    await patience.repeat(partial(load_boards, services, now=services.clock.now(), turn_s=None))
    return RebuildResult(members, loaded, await _ring(services, patience, on_progress))


class _Patience:
    """Repeats work that finds a server away. All loaders share one: a success of one gives all more time."""

    def __init__(self, on_waiting: OnWaiting) -> None:
        self._on_waiting = on_waiting
        self._failing_since: float | None = None

    async def repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        """Raises Unavailable."""
        while True:
            try:
                result = await work()
            except Unavailable as unavailable:
                if self._is_over(unavailable):
                    raise
            else:
                self._failing_since = None
                return result
            await asyncio.sleep(PAUSE_S)

    def _is_over(self, unavailable: Unavailable) -> bool:
        part = str(unavailable.facts["part"])
        if part == "schema":
            return True  # Tables of another release do not change back by themselves.
        now = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = now
            self._on_waiting(part)
        return now - self._failing_since >= PATIENCE_S


class _Members:
    """All members in key order, in batches that several loaders take, and how many they have done."""

    def __init__(self, services: Services, on_progress: OnProgress, total: int) -> None:
        self.loaded = 0
        self._services = services
        self._on_progress = on_progress
        self._total = total
        self._seen = 0
        self._last: MemberKey | None = ("", "")
        self._reading = asyncio.Lock()

    async def next_batch(self) -> list[Member]:
        """Read the next members; empty after the last one."""
        async with self._reading:
            if self._last is None:
                return []
            async with transaction(self._services.db) as conn:
                batch = await read_members_after(conn, self._last, limit=MEMBERS_PER_BATCH)
            self._last = batch[-1].key if len(batch) == MEMBERS_PER_BATCH else None
            return batch

    def count(self, seen: int, loaded: int) -> None:
        self._seen += seen
        self.loaded += loaded
        self._on_progress("members", self._seen, self._total)

    def finish(self) -> int:
        """Report that all are done. Return how many there are, which others may have joined meanwhile."""
        self._on_progress("members", self._seen, self._seen)
        return self._seen


async def _load_members(services: Services, patience: _Patience, on_progress: OnProgress) -> tuple[int, int]:
    total = await patience.repeat(partial(_count, services))
    with_boards = {
        program_id
        for program_id in services.programs.ids()
        if services.definitions.of_program(LEADERBOARD, program_id, at=services.clock.now())
    }
    members = _Members(services, on_progress, total)
    members.count(0, 0)
    # The database reads for one batch while another is decided here.
    loaders = [asyncio.create_task(_load(services, members, with_boards, patience)) for _ in range(LOADERS)]
    try:
        await asyncio.gather(*loaders)
    finally:
        await cancel_all(loaders)
    return members.finish(), members.loaded


async def _count(services: Services) -> int:
    async with transaction(services.db) as conn:
        return await count_members(conn)


async def _load(
    services: Services, members: _Members, with_boards: Collection[str], patience: _Patience
) -> None:
    """Load batches until there are no more."""
    while batch := await patience.repeat(members.next_batch):
        loaded = await patience.repeat(partial(_load_batch, services, batch, with_boards))
        members.count(len(batch), loaded)


async def _load_batch(services: Services, batch: list[Member], with_boards: Collection[str]) -> int:
    """Load members and their scores. Return how many of them are active. Safe to repeat."""
    now = services.clock.now()
    keys = [member.key for member in batch]
    async with transaction(services.db) as conn:
        active = await read_active_members(conn, keys, now - ACTIVE_WITHIN)
        known = [member for member in batch if member.key in active]
        if known:
            await load_gate(services, conn, [(member, now) for member in known])
    scored = [key for key in keys if key[0] in with_boards]
    if scored:
        await count_members_scores(services, scored, now=now)
    return len(known)


async def _ring(services: Services, patience: _Patience, on_progress: OnProgress) -> int:
    times = await patience.repeat(partial(_due_times, services))
    for first in range(0, len(times), DOORBELLS_PER_BATCH):
        on_progress("doorbells", first, len(times))
        batch = times[first : first + DOORBELLS_PER_BATCH]
        await patience.repeat(partial(services.doorbell.ring, batch))
    on_progress("doorbells", len(times), len(times))
    return len(times)


async def _due_times(services: Services) -> list[datetime]:
    now = services.clock.now()
    async with transaction(services.db) as conn:
        times = await read_due_times(conn, after=now, step=TICK)
        if await is_credit_due(conn, now=now):
            times.insert(0, now)
    return times
