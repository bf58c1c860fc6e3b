"""Suspicions as operators see them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.protection.definition import Counts, Per
from engage.schema.rows import from_row
from engage.store.protection.decisions import HeldState

State = Literal["open", "requested", "released", "rejected", "ended"]


class SuspicionRow(Struct, frozen=True, kw_only=True):
    """All that one velocity rule holds on one device or network in one window. `points` are those of all its
    credits, `pending` those that still wait; the last of them are due at `held_until`.
    """

    id: UUID
    program_id: str
    rule_id: str
    per: Per
    counts: Counts
    at_most: int
    source: bytes
    window: str
    opened_at: datetime
    newest_at: datetime
    state: State
    members: int
    credits: int
    points: int
    pending: int
    held_until: datetime | None


class HeldRow(Struct, frozen=True, kw_only=True):
    """A credit of a suspicion. `state` is that of the review, `credit_state` that of the ledger."""

    member_id: str
    joined_at: datetime
    credit_id: UUID
    rule: str
    points: int
    state: HeldState
    credit_state: str
    activity_at: datetime
    due_at: datetime | None


_KEPT = "c.points - c.taken_back"

# The newest decision that was not taken back says what the state is, unless something is open since.
_SUSPICIONS = f"""
SELECT s.id, s.program_id, s.rule_id, s.per, s.counts, s.at_most, s.source, s.of_window AS window,
       s.opened_at, s.newest_at,
       CASE WHEN d.kind = 'requested' AND h.open > 0 THEN 'requested'
            WHEN h.open_pending > 0 THEN 'open'
            WHEN h.open > 0 OR d.kind IS NULL OR d.kind = 'requested' THEN 'ended'
            ELSE d.kind END AS state,
       h.members, h.credits, h.points, h.pending, h.held_until
FROM suspicions s
CROSS JOIN LATERAL (
    SELECT count(*) AS credits, count(DISTINCT h.member_id) AS members,
           CAST(coalesce(sum(CASE WHEN c.state = 'reversed' THEN 0 ELSE {_KEPT} END), 0) AS bigint) AS points,
           CAST(coalesce(sum({_KEPT}) FILTER (WHERE c.state = 'pending'), 0) AS bigint) AS pending,
           max(c.due_at) FILTER (WHERE c.state = 'pending') AS held_until,
           count(*) FILTER (WHERE h.state = 'open') AS open,
           count(*) FILTER (WHERE h.state = 'open' AND c.state = 'pending') AS open_pending
    FROM held_credits h
    JOIN balances b ON b.program_id = h.program_id AND b.member_id = h.member_id
    JOIN credits c ON c.account = b.account AND c.id = h.credit_id
    WHERE h.suspicion_id = s.id
) h
LEFT JOIN LATERAL (
    SELECT kind FROM suspicion_decisions d
    WHERE d.suspicion_id = s.id AND d.undone_at IS NULL ORDER BY d.id DESC LIMIT 1
) d ON true
"""  # noqa: S608  # Constants, here and below.

_LIST = text(f"""
SELECT * FROM ({_SUSPICIONS} WHERE h.credits > 0) s
WHERE s.program_id = ANY(CAST(:program_ids AS text[]))
  AND (CAST(:before AS uuid) IS NULL OR s.id < :before)
  AND (CAST(:state AS text) IS NULL OR s.state = :state)
  AND (CAST(:source AS bytea) IS NULL OR s.source = :source)
ORDER BY s.id DESC LIMIT :limit
""")  # noqa: S608

_ONE = text(f"{_SUSPICIONS} WHERE s.id = :id")

_PROGRAM = text("SELECT program_id FROM suspicions WHERE id = :id")

_HELD = text("""
SELECT h.member_id, m.joined_at, h.credit_id, CASE WHEN c.rule_id = 'restored' THEN c.why ->> 'rule'
           ELSE c.rule_id END AS rule,
       c.points, h.state, c.state AS credit_state, c.activity_at, c.due_at
FROM held_credits h
JOIN members m USING (program_id, member_id)
JOIN balances b USING (program_id, member_id)
JOIN credits c ON c.account = b.account AND c.id = h.credit_id
WHERE h.suspicion_id = :id AND (CAST(:after AS text) IS NULL OR h.member_id > :after)
ORDER BY h.member_id, h.credit_id LIMIT :limit
""")

_COUNTED = text("""
SELECT p.member_id, min(p.number) AS number FROM velocity_places p
JOIN suspicions s ON (s.program_id, s.rule_id, s.source, s.of_window)
    = (p.program_id, p.rule_id, p.source, p.of_window)
JOIN members m ON m.program_id = p.program_id AND m.member_id = p.member_id
WHERE s.id = :id GROUP BY 1 ORDER BY 2 LIMIT :limit
""")


async def list_suspicions(
    conn: AsyncConnection,
    program_ids: Sequence[str],
    *,
    state: State | None,
    source: bytes | None,
    before: UUID | None,
    limit: int,
) -> list[SuspicionRow]:
    """Read a page of the suspicions of these programs, newest first."""
    values = {
        "program_ids": list(program_ids),
        "state": state,
        "source": source,
        "before": before,
        "limit": limit,
    }
    return [from_row(SuspicionRow, row) for row in await conn.execute(_LIST, values)]


async def read_suspicion(conn: AsyncConnection, id_: UUID) -> SuspicionRow | None:
    row = (await conn.execute(_ONE, {"id": id_})).first()
    return None if row is None else from_row(SuspicionRow, row)


async def read_program(conn: AsyncConnection, id_: UUID) -> str | None:
    program_id: str | None = (await conn.execute(_PROGRAM, {"id": id_})).scalar()
    return program_id


async def list_held(conn: AsyncConnection, id_: UUID, *, after: str | None, limit: int) -> list[HeldRow]:
    """Read credits of a suspicion, by member, of those after a member."""
    rows = await conn.execute(_HELD, {"id": id_, "after": after, "limit": limit})
    return [from_row(HeldRow, row) for row in rows]


async def list_counted(conn: AsyncConnection, id_: UUID, *, limit: int) -> list[str]:
    """Read the members who have places where those of a suspicion found none, while places are kept."""
    return [row[0] for row in await conn.execute(_COUNTED, {"id": id_, "limit": limit})]
