"""Adjustments: corrections by operators. Each has a reference, under which it is made once."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.movements import EntryKind
from engage.domain.keys import ADJUSTMENT_RULE, MemberKey, adjustment_reference
from engage.schema.adjustments import adjustments
from engage.schema.credits import credits
from engage.schema.entries import entries
from engage.schema.members import members
from engage.schema.rows import columns, from_row, of_member


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """`points` are signed; `operator` is the id of the key, `entry_seq` the entry that was posted."""

    program_id: str
    member_id: str
    reference: str
    points: int
    reason: str
    operator: str
    at: datetime
    entry_seq: int


class AdjustmentEntry(msgspec.Struct, frozen=True):
    """The entry of an adjustment."""

    seq: int
    kind: EntryKind
    points: int
    balance_after: int
    at: datetime
    credit_id: UUID | None


async def read_adjustment(conn: AsyncConnection, key: MemberKey, reference: str) -> Adjustment | None:
    """Read the adjustment with this reference. The answer is final while the member's balance is locked.

    A member and those who were merged into them share one sequence of references.
    """
    merged = select(members.c.member_id).where(
        members.c.program_id == key[0], members.c.merged_into == key[1]
    )
    query = select(*columns(adjustments, Adjustment)).where(
        adjustments.c.program_id == key[0],
        adjustments.c.reference == reference,
        (adjustments.c.member_id == key[1]) | adjustments.c.member_id.in_(merged),
    )
    row = (await conn.execute(query)).first()
    return None if row is None else from_row(Adjustment, row)


async def add_adjustment(conn: AsyncConnection, adjustment: Adjustment) -> None:
    await conn.execute(insert(adjustments).values(msgspec.structs.asdict(adjustment)))


async def add_adjusting_credit(
    conn: AsyncConnection,
    key: MemberKey,
    id_: UUID,
    points: int,
    *,
    reference: str,
    version: str,
    why: dict[str, Any],
    now: datetime,
    expires_at: datetime | None,
) -> None:
    """Add a credit that is active at once. The member's balance is locked."""
    row = {
        "program_id": key[0],
        "member_id": key[1],
        "id": id_,
        "source_key": adjustment_reference(reference),
        "rule_id": ADJUSTMENT_RULE,
        "program_version": version,
        "points": points,
        "state": "active",
        "activity_at": now,
        "accepted_at": now,
        "due_at": now,
        "active_at": now,
        "expires_at": expires_at,
        "why": msgspec.to_builtins(why),
    }
    await conn.execute(insert(credits).values(row))


async def read_posted(conn: AsyncConnection, adjustment: Adjustment) -> AdjustmentEntry:
    """Read the entry of an adjustment."""
    query = select(
        entries.c.seq,
        entries.c.kind,
        entries.c.active_delta,
        entries.c.balance_after,
        entries.c.at,
        entries.c.credit_id,
    ).where(
        of_member(entries, (adjustment.program_id, adjustment.member_id)),
        entries.c.seq == adjustment.entry_seq,
    )
    return from_row(AdjustmentEntry, (await conn.execute(query)).one())
