"""Publications after a commit: confirm claims to the gate, publish balances, ring the doorbell.

All of this may be lost without harm, so failures are logged and not raised. The database answers for a claim
that was not confirmed, the outbox keeps a change that was not published, and the sweep finds work for
which nobody rang.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import structlog
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from engage import tracing
from engage.domain.keys import MemberKey
from engage.domain.refusals import Unavailable
from engage.gate.claims import SlotRequest
from engage.gate.client import Gate
from engage.ledger.balances import OutboxRow
from engage.runtime.database import one_statement
from engage.signals.changes import Change, change_of
from engage.signals.doorbell import Doorbell
from engage.signals.topics import Topics
from engage.signals.traces import Carried
from engage.store import outbox

log = structlog.get_logger()

# Under load, a round publishes what has gathered in this time. The first round after a silence does not wait.
PAUSE_S = 0.02

# Outbox rows are deleted many at a time. The sweep takes only older ones, and publishing twice does no harm.
DELETE_AT = 200
DELETE_AFTER_S = 1.0

# When so many changes wait, more of them are left to the outbox and its sweep.
WAITING_LIMIT = 50_000

# The cause of changes by which credits have become active.
ACTIVE = "active"
CARRIED_LIMIT = 1_000


class PostCommit:
    """Gathers the publications of many commits, and makes them together in the background."""

    def __init__(self, db: AsyncEngine, gate: Gate, topics: Topics, doorbell: Doorbell) -> None:
        self._db = db
        self._gate = gate
        self._topics = topics
        self._doorbell = doorbell
        self._confirmed: list[tuple[SlotRequest, int]] = []
        self._due: set[datetime] = set()
        self._reacts = False
        self._changes: list[Change] = []
        self._carried: list[Carried] = []
        self._unpublished: list[UUID] = []  # Outbox rows of these changes.
        self._published: list[UUID] = []  # Outbox rows to delete.
        self._draining = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.failures: dict[str, int] = {}  # By step.

    @property
    def waiting(self) -> int:
        """The number of changes that are not published yet."""
        return len(self._changes)

    def add(
        self,
        rows: Sequence[OutboxRow] = (),
        *,
        due: Sequence[datetime] = (),
        confirmed: Sequence[tuple[SlotRequest, int]] = (),
        reacts: bool = False,
    ) -> None:
        """Takes the changes of outbox rows, times to ring for, and grants (slot, number) whose credits were
        accepted. `reacts`: something follows from what was committed. Returns at once.
        """
        self._reacts |= reacts
        self._confirmed.extend(confirmed)
        self._due.update(due)
        for row in rows:
            if row.changes and len(self._changes) + len(row.changes) <= WAITING_LIMIT:
                self._changes.extend(
                    change_of(c.program_id, c.member_id, c.balance, row.cause) for c in row.changes
                )
                self._unpublished.append(row.id)
        self._start()

    def carry(self, carried: Sequence[Carried]) -> None:
        """Takes traces of requests, for the settlement of their credits. Returns at once."""
        if len(self._carried) < CARRIED_LIMIT:
            self._carried.extend(carried)
            self._start()

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def drain(self) -> None:
        """Waits until everything that was added is published."""
        self._draining.set()
        while self._task is not None:
            await asyncio.wait([self._task])
        self._draining.clear()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        delete_by = loop.time() + DELETE_AFTER_S
        try:
            while self._has_more():
                await self._publish()
                if len(self._published) >= DELETE_AT or loop.time() > delete_by or self._draining.is_set():
                    await self._delete_published()
                    delete_by = loop.time() + DELETE_AFTER_S
                else:
                    await self._pause()
        finally:
            self._task = None

    def _has_more(self) -> bool:
        waiting = self._confirmed or self._due or self._changes or self._published or self._carried
        return bool(waiting) or self._reacts

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(PAUSE_S):
                await self._draining.wait()
        except TimeoutError:
            return

    async def _publish(self) -> None:
        confirmed, self._confirmed = self._confirmed, []
        due, self._due = self._due, set()
        reacts, self._reacts = self._reacts, False
        changes, self._changes = self._changes, []
        rows, self._unpublished = self._unpublished, []
        # These may be three servers: the failure of one does not stop the other two.
        with self._may_fail("confirm", len(confirmed)), tracing.span("confirm", count=len(confirmed)):
            await self._gate.confirm(confirmed)
        with self._may_fail("ring", len(due)), tracing.span("ring", count=len(due)):
            await self._doorbell.ring(due)
        if reacts:
            with self._may_fail("ring for reactions", 1):
                await self._doorbell.ring_for_reactions()
        if tracing.is_on():
            changes = await self._traced(changes)
        with self._may_fail("publish", len(changes)), tracing.span("publish", count=len(changes)):
            await self._topics.publish(changes)
            self._published += rows

    async def _traced(self, changes: list[Change]) -> list[Change]:
        """Continue the traces of the requests whose credits these changes have activated. Loses them where
        Valkey is away.
        """
        carried, self._carried = self._carried, []
        if carried:
            with self._may_fail("carry traces", len(carried)):
                await self._topics.carry_traces(carried)
        active = [(c.program_id, c.member_id) for c in changes if c.cause == ACTIVE]
        if active:
            with self._may_fail("take traces", len(active)):
                found = await self._topics.take_traces(active)
                changes = [_continued(change, found) for change in changes]
        return changes

    async def _delete_published(self) -> None:
        rows, self._published = self._published, []
        with self._may_fail("delete", len(rows)):
            async with one_statement(self._db) as conn:
                await outbox.delete(conn, rows)

    @contextmanager
    def _may_fail(self, step: str, count: int) -> Iterator[None]:
        try:
            yield
        except Unavailable as error:
            self._failed(step)
            log.warning(
                "after the commit: a service is away", part=error.facts["part"], step=step, count=count
            )
        except Exception:
            self._failed(step)
            # A bug in one step. The others go on, as the outbox and the sweep do for this one.
            log.exception("after the commit: a step failed", step=step, count=count)

    def _failed(self, step: str) -> None:
        self.failures[step] = self.failures.get(step, 0) + 1


def _continued(change: Change, traces: Mapping[MemberKey, Sequence[str]]) -> Change:
    """Return a change with the traces of its member continued to it, of which it takes the last along."""
    if change.cause != ACTIVE:
        return change
    job = tracing.traceparent()
    last = ""
    for trace in traces.get((change.program_id, change.member_id), ()):
        settled = tracing.instant("settle", parent=trace, links=[] if job is None else [job])
        last = (settled and tracing.instant("publish", parent=settled)) or last
    return replace(change, trace=last) if last else change
