"""Accounts that are closed, because their members are merged or erased: what there is to be dealt with, under
locks, and the end of it.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey


class ClosingCredit(msgspec.Struct, frozen=True):
    """A credit of an account that is to be closed."""

    id: UUID
    source_key: str
    reference: str | None
    rule_id: str
    state: str
    points: int


_CREDITS = text("""
SELECT id, source_key, reference, rule_id, state, points FROM credits
WHERE program_id = :program_id AND member_id = :member_id ORDER BY id FOR UPDATE
""")

_REVERSE_PENDING = text("""
UPDATE credits SET state = 'reversed', reversed_at = :now
WHERE program_id = :program_id AND member_id = :member_id AND state = 'pending'
""")

_HOLDS = text("""
SELECT id, state FROM holds WHERE program_id = :program_id AND member_id = :member_id ORDER BY id
""")

_CLOSE = text("""
UPDATE balances SET closed = true
WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))
""")


async def lock_credits(conn: AsyncConnection, key: MemberKey) -> list[ClosingCredit]:
    """All credits of a member, traces included, locked until the transaction ends."""
    return [
        ClosingCredit(*row)
        for row in await conn.execute(_CREDITS, {"program_id": key[0], "member_id": key[1]})
    ]


async def reverse_pending(conn: AsyncConnection, key: MemberKey, *, now: datetime) -> None:
    """Of the member's credits, which are locked, none is pending any more."""
    await conn.execute(_REVERSE_PENDING, {"program_id": key[0], "member_id": key[1], "now": now})


async def read_hold_states(conn: AsyncConnection, key: MemberKey) -> dict[UUID, str]:
    """The states of a member's holds, by id. The member's balance is locked."""
    rows = await conn.execute(_HOLDS, {"program_id": key[0], "member_id": key[1]})
    return {row.id: row.state for row in rows}


async def close_accounts(conn: AsyncConnection, program_id: str, member_ids: Sequence[str]) -> None:
    """From now on they take nothing; they have nothing."""
    await conn.execute(_CLOSE, {"program_id": program_id, "member_ids": list(member_ids)})
