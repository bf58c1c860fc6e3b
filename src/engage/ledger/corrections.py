"""Corrections: what credits lose when their activity is taken back, before or after they became active.

A pending credit shrinks, and so does status, which is in no lot. An active one in points keeps them and
counts what was taken back. Either is reversed when nothing is left of it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.account import Account
from engage.domain.earning.unit import POINTS, STATUS, Unit
from engage.domain.keys import CreditKey, MemberKey, ReferenceKey
from engage.schema.credits import credits as table
from engage.schema.credits import reductions
from engage.schema.rows import Batch


class LockedCredit(msgspec.Struct, frozen=True, kw_only=True):
    """A credit that nobody else changes until the transaction ends. `reference` is empty where it has none.
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
_IDS = Batch("a", table, "program_id", "member_id", "id")
_CHANGED = Batch(
    "u",
    table,
    *("program_id", "member_id", "id", "reference"),
    *("state", "points", "taken_back", "due_at", "expires_at"),
)
_REDUCED = Batch("r", reductions, "program_id", "member_id", "credit_id", "points", "reference")

_FIELDS = """b.program_id, b.member_id, c.id, coalesce(c.reference, '') AS reference, c.rule_id,
       coalesce(c.unit, 'points') AS unit, c.beside, c.state, c.points,
       coalesce(c.taken_back, 0) AS taken_back, c.due_at, c.expires_at, c.lot_seq AS earning_seq"""

_OF_REFERENCES = f"""
SELECT {_FIELDS}
FROM {_REFERENCES}
JOIN balances b USING (program_id, member_id)
JOIN stored_credits c USING (account, reference)
"""  # noqa: S608  # Names of the schema, here and below.
_OF_IDS = f"""
SELECT {_FIELDS}
FROM {_IDS}
JOIN balances b USING (program_id, member_id)
JOIN stored_credits c USING (account, id)
"""  # noqa: S608

# It waits for a settlement, and keeps others from these credits until the transaction ends. It does not keep
# anybody from the lot of one that became active meanwhile: whoever holds the balance writes it.
_LOCKED = "WHERE c.state = 'pending' ORDER BY c.account, c.id FOR KEY SHARE OF c"
_LOCK, _LOCK_IDS = text(f"{_OF_REFERENCES} {_LOCKED}"), text(f"{_OF_IDS} {_LOCKED}")

# A separate statement: its snapshot is newer than any settlement that the locks had to wait for.
_KEPT = "WHERE c.state IN ('pending', 'active') ORDER BY c.account, c.id"
_READ, _READ_IDS = text(f"{_OF_REFERENCES} {_KEPT}"), text(f"{_OF_IDS} {_KEPT}")

_WRITE = text(f"""
WITH reduced AS (
    INSERT INTO reductions ({_REDUCED.columns}, at) SELECT {_REDUCED.columns}, :now FROM {_REDUCED}
), changed AS (
    UPDATE stored_credits c
    SET reference = nullif(u.reference, ''), state = u.state, points = u.points,
        taken_back = nullif(u.taken_back, 0), due_at = u.due_at, expires_at = u.expires_at,
        reversed_at = CASE WHEN u.state = 'reversed' THEN CAST(:now AS timestamptz) END
    FROM {_CHANGED} JOIN balances b USING (program_id, member_id)
    WHERE c.account = b.account AND c.id = u.id
    RETURNING b.program_id, c.campaign, c.unit,
        (old.state <> 'reversed' AND new.state = 'reversed')::int AS count,
        CASE WHEN old.state = 'pending' AND new.state = 'reversed' THEN old.points
             ELSE old.points - new.points + coalesce(new.taken_back, 0) - coalesce(old.taken_back, 0)
        END AS points
)
-- Budgets of campaigns get back what is taken.
INSERT INTO campaign_budget_returns (id, program_id, campaign_id, at, points, count)
SELECT uuidv7(), program_id, campaign, :now, sum(points), sum(count)
FROM changed WHERE campaign IS NOT NULL AND unit IS NULL GROUP BY 2, 3 HAVING sum(points) + sum(count) > 0
""")  # noqa: S608


async def lock_credits(conn: AsyncConnection, references: Sequence[ReferenceKey]) -> list[LockedCredit]:
    """Read the pending and active credits that were earned under these references, and lock the pending ones
    against settlement. Comes before balances are locked (`engage.ledger.accounts`).

    Unless the caller has locked what corrects them, their order or their member, they are read again when the
    balances are locked (`read_again`).
    """
    await _read(conn, _LOCK, references)
    return await _read(conn, _READ, references)


async def lock_credits_by_id(conn: AsyncConnection, ids: Sequence[CreditKey]) -> None:
    """Lock the pending ones of these credits against settlement, before balances are locked."""
    await conn.execute(_LOCK_IDS, _IDS.of(ids))


async def read_credits_by_id(conn: AsyncConnection, ids: Sequence[CreditKey]) -> list[LockedCredit]:
    """Read the pending and active ones of these credits, now that their balances are locked."""
    return [LockedCredit(**row._mapping) for row in await conn.execute(_READ_IDS, _IDS.of(ids))]


async def read_again(conn: AsyncConnection, credits: Sequence[LockedCredit]) -> list[LockedCredit]:
    """Read these credits again, now that their balances are locked. Those that have been reversed meanwhile
    are absent.
    """
    before = {(credit.key, credit.id) for credit in credits}
    references = sorted({(*credit.key, credit.reference) for credit in credits})
    return [credit for credit in await _read(conn, _READ, references) if (credit.key, credit.id) in before]


async def _read(
    conn: AsyncConnection, query: TextClause, references: Sequence[ReferenceKey]
) -> list[LockedCredit]:
    rows = await conn.execute(query, _REFERENCES.of(references))
    return [LockedCredit(**row._mapping) for row in rows]


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
