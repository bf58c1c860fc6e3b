"""Reading balances, for one member or for many in one query."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.balance import Balance
from engage.domain.keys import MemberKey
from engage.schema.balances import balances
from engage.schema.rows import Batch


class BalanceChange(msgspec.Struct, frozen=True):
    """A member's balance after a change."""

    program_id: str
    member_id: str
    balance: Balance


class OutboxRow(msgspec.Struct):
    """A row of the outbox: the changes of balances that one statement makes, to publish after the commit.

    `written_at` is wall time. The statement that writes the row fills `changes`; where there are none, it
    writes no row.
    """

    id: UUID
    cause: str
    written_at: datetime
    changes: list[BalanceChange] = []

    @property
    def parameters(self) -> dict[str, Any]:
        return {"outbox_id": self.id, "written_at": self.written_at, "cause": self.cause}

    def fill(self, rows: Iterable[Sequence[Any]]) -> int:
        """Take changes from rows of a member, a balance and a number of entries; the sum of the numbers."""
        total = 0
        self.changes = []
        for program_id, member_id, *balance, entries in rows:
            self.changes.append(BalanceChange(program_id, member_id, Balance(*balance)))
            total += entries
        return total


_KEYS = Batch("k", balances, "program_id", "member_id")

_READ = text(f"""
SELECT b.program_id, b.member_id, b.active, b.pending, b.held, b.debt, b.version
FROM {_KEYS} JOIN balances b USING (program_id, member_id)
WHERE :closed OR NOT b.closed
""")  # noqa: S608  # Names of the schema.

_SPENDABLE = text("""
SELECT b.active - CAST(coalesce((
    SELECT sum(l.remaining) FROM lots l
    WHERE l.account = b.account AND l.remaining > 0 AND l.expires_at <= :now
), 0) AS bigint)
FROM balances b WHERE b.program_id = :program_id AND b.member_id = :member_id
""")


async def read_balances(
    conn: AsyncConnection, members: Sequence[MemberKey], *, closed: bool = True
) -> dict[MemberKey, Balance]:
    """Read balances by member, with `closed` those of merged and erased members too. Others are absent."""
    rows = await conn.execute(_READ, _KEYS.of(members) | {"closed": closed})
    return {(row[0], row[1]): Balance(*row[2:]) for row in rows}


async def read_spendable(
    conn: AsyncConnection, program_id: str, member_id: str, *, now: datetime
) -> int | None:
    """Read the points that can be spent at `now`: active ones, without those whose time has ended but which
    have not been expired yet. None for an unknown member.
    """
    values = {"program_id": program_id, "member_id": member_id, "now": now}
    points: int | None = (await conn.execute(_SPENDABLE, values)).scalar()
    return points
