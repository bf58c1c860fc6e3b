"""Reading balances, for one member or for many in one query."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.balance import Balance


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


_READ = text("""
SELECT b.program_id, b.member_id, b.active, b.pending, b.held, b.debt, b.version
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[])) AS k (program_id, member_id)
JOIN balances b USING (program_id, member_id)
WHERE :closed OR NOT b.closed
""")


async def read_balances(
    conn: AsyncConnection, members: Sequence[tuple[str, str]], *, closed: bool = True
) -> dict[tuple[str, str], Balance]:
    """Balances by (program, member); who is not in the answer is no member. With `closed` those of members
    who were merged or erased are in it too.
    """
    rows = await conn.execute(
        _READ,
        {"program_ids": [p for p, _ in members], "member_ids": [m for _, m in members], "closed": closed},
    )
    return {(row[0], row[1]): Balance(*row[2:]) for row in rows}


_SPENDABLE = text("""
SELECT b.active - CAST(coalesce((
    SELECT sum(l.remaining) FROM lots l
    WHERE l.program_id = b.program_id AND l.member_id = b.member_id AND l.remaining > 0
      AND l.expires_at <= :now
), 0) AS bigint)
FROM balances b WHERE b.program_id = :program_id AND b.member_id = :member_id
""")


async def read_spendable(
    conn: AsyncConnection, program_id: str, member_id: str, *, now: datetime
) -> int | None:
    """What can be spent at `now`: the active points without those that have ended and that nobody has come
    round to yet. None for no member.
    """
    values = {"program_id": program_id, "member_id": member_id, "now": now}
    found: int | None = (await conn.execute(_SPENDABLE, values)).scalar()
    return found
