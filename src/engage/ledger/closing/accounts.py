"""Closing accounts, because their members are merged or erased: what is in them, under locks, and
their end.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.merged_slots import ClosingCredit
from engage.domain.keys import MemberKey
from engage.schema.balances import account_of, balances
from engage.schema.holds import holds
from engage.schema.rows import of_member

_ACCOUNT = account_of(":program_id", ":member_id")

# As in `engage.ledger.corrections`: it keeps settlement away, and nobody from a lot.
_LOCK_CREDITS = text(f"""
SELECT id FROM stored_credits WHERE account = {_ACCOUNT} AND state = 'pending' ORDER BY id FOR KEY SHARE
""")  # noqa: S608  # Names of the schema, here and below.

# A separate statement: its snapshot is newer than any settlement that the locks had to wait for.
_READ_CREDITS = text("""
SELECT id, source_key, beside, reference, rule_id, program_version, state, points, unit,
       activity_at, active_at, of_day,
       day_slot, of_month, month_slot, coalesce(why ->> 'rule', rule_id) AS decided_by,
       CAST(why -> 'inputs' ->> 'day' AS date) AS day, why -> 'inputs' ->> 'zone' AS zone,
       coalesce(CAST(why -> 'inputs' ->> 'freezes_got' AS int), 0) AS freezes_got
FROM credits
WHERE program_id = :program_id AND member_id = :member_id
ORDER BY id
""")

_REVERSE_PENDING = text(f"""
UPDATE stored_credits SET state = 'reversed', reversed_at = :now
WHERE account = {_ACCOUNT} AND state = 'pending'
""")  # noqa: S608


async def lock_credits(conn: AsyncConnection, key: MemberKey) -> None:
    """Lock the pending credits of a member against settlement, before the balance is locked."""
    await conn.execute(_LOCK_CREDITS, {"program_id": key[0], "member_id": key[1]})


async def read_credits(conn: AsyncConnection, key: MemberKey) -> list[ClosingCredit]:
    """Read all credits of a member, those of no points included. What was read before the balance was locked
    may be another one afterwards.
    """
    rows = await conn.execute(_READ_CREDITS, {"program_id": key[0], "member_id": key[1]})
    return [ClosingCredit(**row._mapping) for row in rows]


async def reverse_pending(conn: AsyncConnection, key: MemberKey, *, now: datetime) -> None:
    """Reverse the member's pending credits, which are locked."""
    await conn.execute(_REVERSE_PENDING, {"program_id": key[0], "member_id": key[1], "now": now})


async def read_hold_states(conn: AsyncConnection, key: MemberKey) -> dict[UUID, str]:
    """Read the states of a member's holds, by id. The member's balance is locked."""
    rows = await conn.execute(
        select(holds.c.id, holds.c.state).where(of_member(holds, key)).order_by(holds.c.id)
    )
    return {row.id: row.state for row in rows}


async def close_accounts(conn: AsyncConnection, program_id: str, member_ids: Sequence[str]) -> None:
    """Close accounts, which are empty. The database lets no points into them from now on."""
    await conn.execute(
        update(balances)
        .where(balances.c.program_id == program_id, balances.c.member_id.in_(member_ids))
        .values(closed=True)
    )
