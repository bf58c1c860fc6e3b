"""What happens after the answer: the claim is confirmed, the balance pushed, the doorbell rung.

The commit has happened; everything here is a hint that may be lost. A claim that was not confirmed is asked
of the database again, a push that was not made is in the outbox, a doorbell that was not rung is the
sweeper's. So a failure is written down and nothing is raised.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.refusals import Unavailable
from engage.gate.client import Gate, SlotRequest
from engage.ledger.balances import OutboxRow
from engage.runtime.database import one_statement
from engage.signals.doorbell import Doorbell
from engage.signals.topics import Change, Topics, change_of
from engage.store import outbox

log = structlog.get_logger()

# Under load a round takes what has gathered in this time; the first after a silence waits for nothing.
BREATH_S = 0.02

# Rows are forgotten many at a time. The sweep takes only older ones, and telling twice does no harm.
FORGET_AT = 200
FORGET_AFTER_S = 1.0

# More than this many changes behind, the oldest are left to the outbox's sweep.
CHANGES_KEPT = 50_000


class PostCommit:
    """Gathers what is to be done after commits and does it, everything that has gathered at once."""

    def __init__(self, db: AsyncEngine, gate: Gate, topics: Topics, doorbell: Doorbell) -> None:
        self._db = db
        self._gate = gate
        self._topics = topics
        self._doorbell = doorbell
        self._confirmed: list[tuple[SlotRequest, int]] = []
        self._changes: list[Change] = []
        self._due: set[datetime] = set()
        self._unpublished: list[UUID] = []
        self._published: list[UUID] = []
        self._draining = asyncio.Event()
        self._working: asyncio.Task[None] | None = None

    def add(
        self,
        rows: Sequence[OutboxRow] = (),
        *,
        due: Sequence[datetime] = (),
        confirmed: Sequence[tuple[SlotRequest, int]] = (),
    ) -> None:
        """Returns at once."""
        self._confirmed.extend(confirmed)
        self._due.update(due)
        for row in rows:
            if row.changes and len(self._changes) + len(row.changes) <= CHANGES_KEPT:
                self._changes.extend(
                    change_of(c.program_id, c.member_id, c.balance, row.cause) for c in row.changes
                )
                self._unpublished.append(row.id)
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())

    async def drain(self) -> None:
        """Waits until everything that was added is done."""
        self._draining.set()
        while self._working is not None:
            await asyncio.wait([self._working])
        self._draining.clear()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        forget_by = loop.time() + FORGET_AFTER_S
        try:
            while self._confirmed or self._changes or self._due or self._published:
                await self._round()
                if len(self._published) >= FORGET_AT or loop.time() > forget_by or self._draining.is_set():
                    await self._forget()
                    forget_by = loop.time() + FORGET_AFTER_S
                else:
                    await self._breath()
        finally:
            self._working = None

    async def _breath(self) -> None:
        try:
            async with asyncio.timeout(BREATH_S):
                await self._draining.wait()
        except TimeoutError:
            return

    async def _round(self) -> None:
        confirmed, self._confirmed = self._confirmed, []
        changes, self._changes = self._changes, []
        due, self._due = self._due, set()
        unpublished, self._unpublished = self._unpublished, []
        # Three servers perhaps: what one of them misses is no reason to keep it from the others.
        with _may_fail("confirm", len(confirmed)):
            await self._gate.confirm(confirmed)
        with _may_fail("ring", len(due)):
            await self._doorbell.ring(due)
        with _may_fail("publish", len(changes)):
            await self._topics.publish(changes)
            self._published += unpublished

    async def _forget(self) -> None:
        told, self._published = self._published, []
        with _may_fail("forget", len(told)):
            async with one_statement(self._db) as conn:
                await outbox.delete(conn, told)


@contextmanager
def _may_fail(step: str, count: int) -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        log.warning("after the answer: a part is away", part=error.facts["part"], step=step, count=count)
