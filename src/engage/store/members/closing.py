"""Closing members' accounts: the member is merged into another one, or erased.

What becomes of a table's rows is declared beside the table (`engage.schema.member_rows`).
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.schema.member_rows import erase_sql, merge_sql, tables_of_members

_ADD_CLOSINGS = text("""
INSERT INTO closings (program_id, member_id, what, merged_into, reason, operator, at)
SELECT :program_id, member_id, CASE WHEN CAST(:into AS text) IS NULL THEN 'erased' ELSE 'merged' END, :into,
       :reason, :operator, :now
FROM unnest(CAST(:member_ids AS text[])) AS m (member_id)
""")

_LOCK_ORDERS = text("""
SELECT order_id FROM orders WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))
ORDER BY member_id, order_id FOR UPDATE
""")


async def add_closings(
    conn: AsyncConnection,
    program_id: str,
    member_ids: Sequence[str],
    *,
    into: str | None,
    reason: str | None,
    operator: str,
    now: datetime,
) -> None:
    """Store who merged these members (`into` another one) or erased them, and why."""
    await conn.execute(
        _ADD_CLOSINGS,
        {
            "program_id": program_id,
            "member_ids": list(member_ids),
            "into": into,
            "reason": reason,
            "operator": operator,
            "now": now,
        },
    )


async def lock_orders(conn: AsyncConnection, program_id: str, member_ids: Sequence[str]) -> None:
    """Lock all orders of these members. Comes before credits and balances are locked."""
    await conn.execute(_LOCK_ORDERS, {"program_id": program_id, "member_ids": list(member_ids)})


async def merge_rows(
    conn: AsyncConnection, key: MemberKey, into: str, *, now: datetime, wall: datetime
) -> None:
    """Apply each table's merge policy: the member's rows become those of `into`, or stay as history.

    Both members, their orders and their balances are locked, and the points have been posted.
    """
    parameters = {"program_id": key[0], "member_id": key[1], "into": into, "now": now, "wall": wall}
    for table, policies in tables_of_members():
        sql = merge_sql(table, policies.merge)
        if sql is not None:
            await conn.execute(text(sql), parameters)


async def erase_rows(
    conn: AsyncConnection,
    program_id: str,
    member_ids: Sequence[str],
    *,
    salt: str,
    now: datetime,
    wall: datetime,
) -> None:
    """Apply each table's erasure policy: everything personal goes. The ids stay, as owners of entries.

    `salt` is random and thrown away afterwards. The members, their orders, credits and balances are locked.
    """
    parameters = {
        "program_id": program_id,
        "member_ids": list(member_ids),
        "salt": salt,
        "now": now,
        "wall": wall,
    }
    for table, policies in tables_of_members():
        sql = erase_sql(table, policies.erase)
        if sql is not None:
            await conn.execute(text(sql), parameters)
