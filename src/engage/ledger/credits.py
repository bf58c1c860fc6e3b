"""Reading credits, lots and entries: what a member sees of the ledger."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.movements import EntryKind

CreditState = Literal["pending", "active", "expired", "reversed"]


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    """Points granted for one activity. `points` are what it pays now, or paid last if it is reversed; of what
    it was granted, `taken_back` is gone. `why` is everything the decision was made of.
    """

    id: UUID
    rule: str
    points: int
    taken_back: int
    state: CreditState
    due_at: datetime | None
    active_at: datetime | None
    expires_at: datetime | None
    source_key: str
    why: dict[str, Any]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A movement of the spendable balance. `corrects` is the seq of the entry that this one takes back."""

    seq: int
    kind: EntryKind
    points: int
    balance_after: int
    at: datetime
    credit_id: UUID | None
    corrects: int | None


class ReferencedCredit(msgspec.Struct, frozen=True):
    """A credit that holds a reference: what it earned, unless it was removed."""

    credit: Credit
    removed: bool


# A credit whose lot has ended with something in it has expired.
_STATE = """CASE WHEN c.state = 'active' AND EXISTS (
    SELECT FROM lots l
    WHERE l.program_id = c.program_id AND l.member_id = c.member_id AND l.credit_id = c.id
      AND l.expired > 0 AND l.remaining = 0
) THEN 'expired' ELSE c.state END"""
# A pending credit shrank by its reductions, and was taken back as it was last if nothing came of it.
_TAKEN_BACK = """c.taken_back
    + coalesce((
        SELECT CAST(sum(r.points) AS bigint) FROM reductions r
        WHERE r.program_id = c.program_id AND r.member_id = c.member_id AND r.credit_id = c.id
    ), 0)
    + CASE WHEN c.state = 'reversed' AND c.active_at IS NULL THEN c.points ELSE 0 END"""
_PAYS = "CASE WHEN c.state = 'reversed' THEN c.points ELSE c.points - c.taken_back END"
_CREDIT = f"""c.id, c.rule_id, {_PAYS} AS pays, {_STATE} AS state, c.due_at, c.active_at, c.expires_at,
    c.source_key, c.why, {_TAKEN_BACK} AS gone"""

# A credit of 0 points is a removal's trace (`engage.ledger.clawback`), nothing that the member earned.
_LIST = text(f"""
SELECT {_CREDIT} FROM credits c
WHERE program_id = :program_id AND member_id = :member_id AND points > 0
  AND (CAST(:state AS text) IS NULL OR {_STATE} = :state)
  AND (CAST(:before AS uuid) IS NULL OR id < :before)
ORDER BY id DESC LIMIT :limit
""")  # noqa: S608  # The columns are a constant of this module.

_ONE = text(f"""
SELECT {_CREDIT} FROM credits c
WHERE program_id = :program_id AND member_id = :member_id AND id = :id AND points > 0
""")  # noqa: S608  # As above.

_BY_REFERENCE = text(f"""
SELECT c.program_id, c.member_id, c.reference, {_CREDIT}
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:references AS text[]))
    AS a (program_id, member_id, reference)
JOIN credits c USING (program_id, member_id, reference)
ORDER BY c.id
""")  # noqa: S608  # As above.

_TAKEN = text("""
SELECT a.program_id, a.member_id, a.source_key
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:source_keys AS text[]))
    AS a (program_id, member_id, source_key)
JOIN credits c USING (program_id, member_id, source_key)
""")

_ENTRIES = text("""
SELECT seq, kind, active_delta, balance_after, at, credit_id, corrects FROM entries
WHERE program_id = :program_id AND member_id = :member_id AND active_delta <> 0
  AND (CAST(:before AS bigint) IS NULL OR seq < :before)
ORDER BY seq DESC LIMIT :limit
""")


async def list_credits(
    conn: AsyncConnection,
    program_id: str,
    member_id: str,
    *,
    state: CreditState | None,
    before: UUID | None,
    limit: int,
) -> list[Credit]:
    """Newest first, those with an id below `before`."""
    rows = await conn.execute(
        _LIST,
        {
            "program_id": program_id,
            "member_id": member_id,
            "state": state,
            "before": before,
            "limit": limit,
        },
    )
    return [_credit(row) for row in rows]


async def read_credit(conn: AsyncConnection, program_id: str, member_id: str, id_: UUID) -> Credit | None:
    row = (
        await conn.execute(_ONE, {"program_id": program_id, "member_id": member_id, "id": id_})
    ).one_or_none()
    return None if row is None else _credit(row)


async def read_by_reference(
    conn: AsyncConnection, asked: Sequence[tuple[str, str, str]]
) -> dict[tuple[str, str, str], list[ReferencedCredit]]:
    """The credits that hold these (program, member, reference)."""
    if not asked:
        return {}
    rows = await conn.execute(
        _BY_REFERENCE,
        {
            "program_ids": [a[0] for a in asked],
            "member_ids": [a[1] for a in asked],
            "references": [a[2] for a in asked],
        },
    )
    found: dict[tuple[str, str, str], list[ReferencedCredit]] = {}
    for program_id, member_id, reference, *credit in rows:
        held = ReferencedCredit(_credit(credit), removed=credit[3] == "reversed")
        found.setdefault((program_id, member_id, reference), []).append(held)
    return found


async def read_used_keys(
    conn: AsyncConnection, asked: Sequence[tuple[str, str, str]]
) -> set[tuple[str, str, str]]:
    """Those of these (program, member, source key) that there is a credit for."""
    rows = await conn.execute(
        _TAKEN,
        {
            "program_ids": [a[0] for a in asked],
            "member_ids": [a[1] for a in asked],
            "source_keys": [a[2] for a in asked],
        },
    )
    return {(program_id, member_id, source_key) for program_id, member_id, source_key in rows}


async def list_entries(
    conn: AsyncConnection, program_id: str, member_id: str, *, before: int | None, limit: int
) -> list[Entry]:
    """The statement: newest first, those with a seq below `before`."""
    rows = await conn.execute(
        _ENTRIES, {"program_id": program_id, "member_id": member_id, "before": before, "limit": limit}
    )
    return [
        Entry(
            seq=seq,
            kind=kind,
            points=points,
            balance_after=balance_after,
            at=at,
            credit_id=credit_id,
            corrects=corrects,
        )
        for seq, kind, points, balance_after, at, credit_id, corrects in rows
    ]


def _credit(row: Sequence[Any]) -> Credit:
    id_, rule_id, points, state, due_at, active_at, expires_at, source_key, why, taken_back = row
    return Credit(
        id=id_,
        rule=rule_id,
        points=points,
        taken_back=taken_back,
        state=state,
        due_at=due_at,
        active_at=active_at,
        expires_at=expires_at,
        source_key=source_key,
        why=why,
    )
