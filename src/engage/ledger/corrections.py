"""What credits lose when what earned them is taken back, before or after they became active.

A credit that is pending shrinks; one that is active keeps its points and counts what was taken back of them.
Either is reversed when nothing is left of it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.account import Account
from engage.domain.keys import ReferenceKey


class LockedCredit(msgspec.Struct, frozen=True, kw_only=True):
    """A credit that nobody else changes until the transaction ends. `earning_seq` is the entry that made it
    active.
    """

    program_id: str
    member_id: str
    id: UUID
    reference: str
    rule_id: str
    state: Literal["pending", "active", "reversed"]
    points: int
    taken_back: int
    due_at: datetime | None
    expires_at: datetime | None
    earning_seq: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.program_id, self.member_id

    def loses(self, kept: int) -> bool:
        """Whether it has more than is to be kept."""
        return self.points - self.taken_back > kept


class Correction(msgspec.Struct, frozen=True):
    """A credit before and after; `reference` names what made the difference, once for a credit."""

    before: LockedCredit
    after: LockedCredit
    reference: str


_LOCK = text("""
SELECT c.program_id, c.member_id, c.id, c.reference, c.rule_id, c.state, c.points, c.taken_back, c.due_at,
       c.expires_at
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:references AS text[])
) AS a (program_id, member_id, reference)
JOIN credits c USING (program_id, member_id, reference)
WHERE c.state IN ('pending', 'active')
ORDER BY c.program_id, c.member_id, c.id
FOR UPDATE OF c
""")

# A statement of its own: its snapshot is newer than any settlement that the locks had to wait for.
_EARNED = text("""
SELECT l.credit_id, l.entry_seq
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:ids AS uuid[]))
    AS a (program_id, member_id, credit_id)
JOIN lots l USING (program_id, member_id, credit_id)
""")

_WRITE = text("""
WITH reduced AS (
    INSERT INTO reductions (program_id, member_id, credit_id, at, points, reference)
    SELECT r.program_id, r.member_id, r.credit_id, :now, r.points, r.reference
    FROM unnest(
        CAST(:r_program_ids AS text[]), CAST(:r_member_ids AS text[]), CAST(:r_ids AS uuid[]),
        CAST(:r_points AS bigint[]), CAST(:r_references AS text[])
    ) AS r (program_id, member_id, credit_id, points, reference)
)
UPDATE credits c
SET state = u.state, points = u.points, taken_back = u.taken_back, due_at = u.due_at,
    expires_at = u.expires_at, reversed_at = CASE WHEN u.state = 'reversed' THEN CAST(:now AS timestamptz) END
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:ids AS uuid[]), CAST(:states AS text[]),
    CAST(:points AS bigint[]), CAST(:taken_back AS bigint[]), CAST(:due_ats AS timestamptz[]),
    CAST(:expires_ats AS timestamptz[])
) AS u (program_id, member_id, id, state, points, taken_back, due_at, expires_at)
WHERE c.program_id = u.program_id AND c.member_id = u.member_id AND c.id = u.id
""")


async def lock_credits(conn: AsyncConnection, references: Sequence[ReferenceKey]) -> list[LockedCredit]:
    """Locks the credits that were earned under these references and that something may be left of.

    Comes before balances are locked (`engage.ledger.accounts`).
    """
    rows = await conn.execute(
        _LOCK,
        {
            "program_ids": [program for program, _, _ in references],
            "member_ids": [member for _, member, _ in references],
            "references": [reference for _, _, reference in references],
        },
    )
    locked = [LockedCredit(**row._mapping) for row in rows]
    active = [credit for credit in locked if credit.state == "active"]
    if not active:
        return locked
    earned = await conn.execute(
        _EARNED,
        {
            "program_ids": [credit.program_id for credit in active],
            "member_ids": [credit.member_id for credit in active],
            "ids": [credit.id for credit in active],
        },
    )
    seqs = {row[0]: row[1] for row in earned}
    return [msgspec.structs.replace(credit, earning_seq=seqs.get(credit.id)) for credit in locked]


def reduce_to(
    account: Account, credit: LockedCredit, kept: int, *, at: datetime, reference: str
) -> LockedCredit:
    """The credit when `kept` of its points are left; the account of its member gives up the others.

    What had expired before is neither kept nor taken back.
    """
    if not credit.loses(kept):
        return credit
    replace = msgspec.structs.replace
    if credit.state == "pending":
        account.drop_pending(credit.points - kept)
        return replace(credit, points=kept) if kept else replace(credit, state="reversed")
    taken = account.claw_back(
        credit.id,
        credit.points - credit.taken_back - kept,
        at,
        taken_back=credit.taken_back,
        corrects=credit.earning_seq,
        reference=reference,
    )
    state: Literal["active", "reversed"] = "active" if kept else "reversed"
    return replace(credit, taken_back=credit.taken_back + taken, state=state)


async def write_corrections(
    conn: AsyncConnection, corrections: Sequence[Correction], *, now: datetime
) -> None:
    """Writes what credits have become."""
    after = [correction.after for correction in corrections]
    reduced = [c for c in corrections if c.after.points < c.before.points]
    await conn.execute(
        _WRITE,
        {
            "program_ids": [credit.program_id for credit in after],
            "member_ids": [credit.member_id for credit in after],
            "ids": [credit.id for credit in after],
            "states": [credit.state for credit in after],
            "points": [credit.points for credit in after],
            "taken_back": [credit.taken_back for credit in after],
            "due_ats": [credit.due_at for credit in after],
            "expires_ats": [credit.expires_at for credit in after],
            "r_program_ids": [c.after.program_id for c in reduced],
            "r_member_ids": [c.after.member_id for c in reduced],
            "r_ids": [c.after.id for c in reduced],
            "r_points": [c.before.points - c.after.points for c in reduced],
            "r_references": [c.reference for c in reduced],
            "now": now,
        },
    )
