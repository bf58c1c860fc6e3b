"""Adjustments: corrections by operators. Each has a reference, under which it is made once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.movements import EntryKind
from engage.domain.keys import ADJUSTMENT_RULE, MemberKey, adjustment_reference
from engage.schema.adjustments import adjustments
from engage.schema.credits import credits
from engage.schema.entries import entries
from engage.schema.members import members
from engage.schema.rows import Batch, columns, from_row, of_member

_CREDITS = Batch(
    "a",
    credits,
    *("program_id", "member_id", "id", "source_key", "program_version", "points", "campaign", "activity_at"),
    *("expires_at", "why"),
)

_ADD_CREDITS = text(f"""
INSERT INTO stored_credits (account, id, source_key, rule_id, program_version, points, campaign, state,
                            activity_at, accepted_at, due_at, active_at, expires_at, why)
SELECT b.account, a.id, a.source_key, :rule_id, a.program_version, a.points, a.campaign, 'active',
       a.activity_at, a.activity_at, a.activity_at, a.activity_at, a.expires_at, a.why
FROM {_CREDITS} JOIN balances b USING (program_id, member_id)
""")  # noqa: S608  # Names of the schema.


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


async def read_reasons(conn: AsyncConnection, key: MemberKey, seqs: Sequence[int]) -> dict[int, str]:
    """Read the reasons of adjustments, by the seqs of their entries."""
    if not seqs:
        return {}
    query = select(adjustments.c.entry_seq, adjustments.c.reason).where(
        of_member(adjustments, key), adjustments.c.entry_seq.in_(seqs)
    )
    return {row.entry_seq: row.reason for row in await conn.execute(query)}


class AdjustingCredit(msgspec.Struct, frozen=True, kw_only=True):
    """A credit that is active at once, `at` which it is given. `campaign` pays for it, if one does."""

    program_id: str
    member_id: str
    id: UUID
    points: int
    reference: str
    version: str
    why: dict[str, Any]
    at: datetime
    expires_at: datetime | None
    campaign: str | None = None


async def add_adjustments(conn: AsyncConnection, added: Sequence[Adjustment]) -> None:
    if added:
        await conn.execute(insert(adjustments), [msgspec.structs.asdict(each) for each in added])


async def add_adjusting_credits(conn: AsyncConnection, added: Sequence[AdjustingCredit]) -> None:
    """Add credits of members whose balances are locked."""
    if added:
        rows = [
            (
                *(each.program_id, each.member_id, each.id, adjustment_reference(each.reference)),
                *(each.version, each.points, each.campaign, each.at, each.expires_at),
                msgspec.json.encode(each.why).decode(),
            )
            for each in added
        ]
        await conn.execute(_ADD_CREDITS, _CREDITS.of(rows) | {"rule_id": ADJUSTMENT_RULE})


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
