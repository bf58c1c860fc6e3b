"""Corrections: what credits lose when their activity is taken back, before or after they became active.

A pending credit shrinks, and so does status, which is in no lot. An active one in points keeps them and
counts what was taken back. Either is reversed when nothing is left of it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.account import Account
from engage.domain.earning.unit import POINTS, STATUS, Unit
from engage.domain.keys import MemberKey, ReferenceKey
from engage.schema.credits import credits as table
from engage.schema.credits import reductions
from engage.schema.lots import lots
from engage.schema.rows import Batch


class LockedCredit(msgspec.Struct, frozen=True, kw_only=True):
    """A credit that is locked until the transaction ends. `reference` is empty where it has none.
    `earning_seq` is the entry that made it active.
    """

    program_id: str
    member_id: str
    id: UUID
    reference: str
    rule_id: str
    unit: Unit = POINTS
    beside: str | None = None
    state: Literal["pending", "active", "reversed"]
    points: int
    taken_back: int
    due_at: datetime | None
    expires_at: datetime | None
    earning_seq: int | None = None

    @property
    def key(self) -> MemberKey:
        return self.program_id, self.member_id

    def loses(self, kept: int) -> bool:
        """Compare what is left of it with the points to keep."""
        return self.points - self.taken_back > kept


class Correction(msgspec.Struct, frozen=True):
    """A credit before and after; `reference` names what made the difference, once for a credit."""

    before: LockedCredit
    after: LockedCredit
    reference: str


_REFERENCES = Batch("a", table, "program_id", "member_id", "reference")
_LOTS = Batch("a", lots, "program_id", "member_id", "credit_id")
_CHANGED = Batch(
    "u",
    table,
    *("program_id", "member_id", "id", "reference"),
    *("state", "points", "taken_back", "due_at", "expires_at"),
)
_REDUCED = Batch("r", reductions, "program_id", "member_id", "credit_id", "points", "reference")

_LOCK = text(f"""
SELECT c.program_id, c.member_id, c.id, c.reference, c.rule_id, c.unit, c.beside, c.state, c.points,
       c.taken_back, c.due_at, c.expires_at
FROM {_REFERENCES} JOIN credits c USING (program_id, member_id, reference)
WHERE c.state IN ('pending', 'active')
ORDER BY c.program_id, c.member_id, c.id
FOR UPDATE OF c
""")  # noqa: S608  # Names of the schema, here and below.

# A separate statement: its snapshot is newer than any settlement that the locks had to wait for.
_EARNED = text(f"""
SELECT l.credit_id, l.entry_seq FROM {_LOTS} JOIN lots l USING (program_id, member_id, credit_id)
""")  # noqa: S608

_WRITE = text(f"""
WITH reduced AS (
    INSERT INTO reductions ({_REDUCED.columns}, at) SELECT {_REDUCED.columns}, :now FROM {_REDUCED}
), changed AS (
    UPDATE credits c
    SET reference = nullif(u.reference, ''), state = u.state, points = u.points, taken_back = u.taken_back,
        due_at = u.due_at, expires_at = u.expires_at,
        reversed_at = CASE WHEN u.state = 'reversed' THEN CAST(:now AS timestamptz) END
    FROM {_CHANGED}
    WHERE c.program_id = u.program_id AND c.member_id = u.member_id AND c.id = u.id
    RETURNING c.program_id, c.campaign, c.unit,
        (old.state <> 'reversed' AND new.state = 'reversed')::int AS count,
        CASE WHEN old.state = 'pending' AND new.state = 'reversed' THEN old.points
             ELSE old.points - new.points + new.taken_back - old.taken_back END AS points
)
-- Budgets of campaigns get back what is taken.
INSERT INTO campaign_budget_returns (id, program_id, campaign_id, at, points, count)
SELECT uuidv7(), program_id, campaign, :now, sum(points), sum(count)
FROM changed WHERE campaign IS NOT NULL AND unit = 'points' GROUP BY 2, 3 HAVING sum(points) + sum(count) > 0
""")  # noqa: S608


async def lock_credits(conn: AsyncConnection, references: Sequence[ReferenceKey]) -> list[LockedCredit]:
    """Lock the pending and active credits that were earned under these references.

    Comes before balances are locked (`engage.ledger.accounts`).
    """
    rows = await conn.execute(_LOCK, _REFERENCES.of(references))
    locked = [LockedCredit(**row._mapping) for row in rows]
    active = [
        (*credit.key, credit.id) for credit in locked if credit.state == "active" and credit.unit == POINTS
    ]
    if not active:
        return locked
    earned = await conn.execute(_EARNED, _LOTS.of(active))
    seqs = {row.credit_id: row.entry_seq for row in earned}
    return [msgspec.structs.replace(credit, earning_seq=seqs.get(credit.id)) for credit in locked]


def reduce_to(
    account: Account, credit: LockedCredit, kept: int, *, at: datetime, reference: str
) -> LockedCredit:
    """Reduce a credit to `kept` points; its member's account gives up the others.

    What had expired before is neither kept nor taken back.
    """
    if not credit.loses(kept):
        return credit
    replace = msgspec.structs.replace
    if credit.state == "pending" or credit.unit == STATUS:
        if credit.unit == POINTS:
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
    """Write corrected credits, and by how much pending ones shrank."""
    reduced = [
        (*c.after.key, c.after.id, c.before.points - c.after.points, c.reference)
        for c in corrections
        if c.after.points < c.before.points
    ]
    changed = _CHANGED.of_structs([correction.after for correction in corrections])
    await conn.execute(_WRITE, changed | _REDUCED.of(reduced) | {"now": now})
