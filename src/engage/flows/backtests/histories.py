"""Read the histories of a range of members, batch by batch, and member by member in each."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.domain.activity import Order
from engage.domain.backtests.activities import Boosted, MemberHistory, StoredCredit
from engage.domain.backtests.trial import Window
from engage.domain.keys import OrderKey, boosted_key, order_reference
from engage.flows.backtests.pace import Pace
from engage.runtime.database import one_statement
from engage.store.backtests import histories as store
from engage.store.backtests.histories import StoredMember, StoredRow
from engage.store.shop.orders import read_ended_orders

# A batch is decoded at once, so it is small enough for the event loop of a worker.
CREDITS_PER_BATCH: Final = 2_000

_LAST_ID: Final = UUID(int=2**128 - 1)


class Histories:
    """The histories of the members of a program after one, up to another. `rules` are those that the trial is
    about. `reached` is the last member who was read as a whole.
    """

    def __init__(
        self,
        db: AsyncEngine,
        program_id: str,
        window: Window,
        *,
        rules: Collection[str],
        after: str,
        until: str,
    ) -> None:
        self._db = db
        self._program_id = program_id
        self._window = window
        self._rules = rules
        self.reached = after
        self._until = until

    async def batches(self) -> AsyncIterator[list[MemberHistory]]:
        """The members who earned in the window, in the order of their ids. Those who were erased are left
        out. Raises Unavailable.
        """
        # After all credits of the member before the first one.
        position, rest = (self.reached, _LAST_ID), list[StoredRow]()
        is_last = False
        while not is_last:
            async with one_statement(self._db) as conn:
                rows = await store.read_credits(
                    conn,
                    self._program_id,
                    self._window,
                    after=position,
                    until=self._until,
                    rules=self._rules,
                    limit=CREDITS_PER_BATCH,
                )
                is_last = len(rows) < CREDITS_PER_BATCH
                rest += rows
                whole, rest = (rest, []) if is_last else _whole_members(rest)
                histories = await self._histories(conn, whole) if whole else []
            if rows:
                position = rows[-1].member_id, rows[-1].credit.id
            self.reached = self._until if is_last else whole[-1].member_id if whole else self.reached
            yield histories

    async def _histories(self, conn: AsyncConnection, rows: Sequence[StoredRow]) -> list[MemberHistory]:
        ids = sorted({row.member_id for row in rows})
        members = await store.read_members(conn, self._program_id, ids)
        reductions = await store.read_reductions(conn, self._program_id, ids)
        copies, survivors = await self._copies(conn, members)
        found, pace = [], Pace()
        for member_id, own in groupby(rows, key=lambda row: row.member_id):
            if member_id not in members:
                continue
            history = _NewHistory(members[member_id])
            for row in own:
                if member_id not in survivors or row.credit.id not in copies:
                    history.add(_as_granted(row, reductions, copies))
                await pace.step()
            found.append(history)
        orders = [(self._program_id, *order) for each in found for order in each.partly_returned()]
        returned = await _returned(conn, orders) if orders else {}
        return [each.as_history(self._program_id, returned) for each in found if each.credits]

    async def _copies(
        self, conn: AsyncConnection, members: Mapping[str, StoredMember]
    ) -> tuple[Mapping[UUID, int], frozenset[str]]:
        """The points kept of credits of former members in the accounts of the survivors; the survivors."""
        former = [member.member_id for member in members.values() if member.merged_into is not None]
        merged = await store.read_former(conn, self._program_id, list(members))
        if not former and not merged:
            return {}, frozenset()
        copies = await store.read_copies(conn, self._program_id, [*former, *merged])
        return copies, frozenset(merged.values())


class _NewHistory:
    """The history of a member, row by row."""

    def __init__(self, member: StoredMember) -> None:
        self.credits: list[StoredCredit] = []
        self._member = member
        self._boosts: dict[str, dict[str, Boosted]] = {}
        self._by_levels: list[tuple[datetime, int]] = []

    def add(self, row: StoredRow) -> None:
        credit = row.credit
        if row.beside is None:
            self.credits.append(credit)
        elif credit.campaign is None:
            self._by_levels.append((credit.activity_at, credit.points))
        else:
            base = credit.source_key.removesuffix(boosted_key("", row.beside))
            self._boosts.setdefault(base, {})[credit.campaign] = Boosted(credit.points, credit.kept)

    def partly_returned(self) -> Iterator[tuple[str, str]]:
        """The orders of which a part came back, each with the member who has it now."""
        for credit in self.credits:
            if credit.is_order and 0 < credit.kept < credit.points:
                yield self._member.merged_into or self._member.member_id, _order_id(credit)

    def as_history(self, program_id: str, returned: Mapping[str, Mapping[str, int]]) -> MemberHistory:
        return MemberHistory(
            program=program_id,
            member_id=self._member.member_id,
            country=self._member.country,
            joined_at=self._member.joined_at,
            credits=sorted(self.credits, key=lambda credit: (credit.accepted_at, credit.id)),
            boosts=self._boosts,
            by_levels=self._by_levels,
            returned=returned,
        )


async def _returned(conn: AsyncConnection, orders: Collection[OrderKey]) -> Mapping[str, Mapping[str, int]]:
    """The quantities that came back of orders, by their references."""
    ended = await read_ended_orders(conn, orders)
    return {
        order_reference(key[2]): facts.returned()
        for key, (_, facts) in ended.items()
        if facts.paid is not None
    }


def _order_id(credit: StoredCredit) -> str:
    activity = credit.decoded_activity()
    assert isinstance(activity, Order)
    return activity.order_id


def _whole_members(rows: list[StoredRow]) -> tuple[list[StoredRow], list[StoredRow]]:
    """The rows of all members but the last one, and those of the last one, who may have more."""
    last = rows[-1].member_id
    n = next((n for n in range(len(rows) - 1, -1, -1) if rows[n].member_id != last), -1) + 1
    return rows[:n], rows[n:]


def _as_granted(row: StoredRow, reductions: Mapping[UUID, int], copies: Mapping[UUID, int]) -> StoredRow:
    """A row with all points that were granted, and what is kept of them where they are now."""
    credit = row.credit
    if credit.id not in reductions and credit.id not in copies:
        return row
    kept = copies.get(credit.id, credit.kept)
    points = credit.points + reductions.get(credit.id, 0)
    return StoredRow(row.member_id, row.beside, replace(credit, points=points, kept=kept))
