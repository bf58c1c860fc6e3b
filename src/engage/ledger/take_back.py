"""Taking earned points back because what earned them was removed, before or after they became active.

A removal may overtake its activity. It then leaves a credit of 0 points that holds the reference, so the
activity finds its place taken when it comes.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.balance import Balance
from engage.ledger.balances import BalanceChange


class Removal(msgspec.Struct, frozen=True):
    """An activity, by its reference, that earns nothing any more under any of these rules."""

    program_id: str
    member_id: str
    reference: str
    rule_ids: tuple[str, ...]
    program_version: str
    at: datetime


# Either this or the activity's own insert gets the unique reference; the other one sees it.
_FORESTALL = text("""
INSERT INTO credits (program_id, member_id, id, source_key, reference, rule_id, program_version, points,
                     state, activity_at, accepted_at, reversed_at, why)
SELECT a.program_id, a.member_id, uuidv7(), 'removed:' || a.reference || ':' || a.rule_id, a.reference,
       a.rule_id, a.program_version, 0, 'reversed', a.at, :now, :now, '{"trace": ["removed before it came"]}'
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:references AS text[]),
    CAST(:rule_ids AS text[]), CAST(:versions AS text[]), CAST(:ats AS timestamptz[])
) AS a (program_id, member_id, reference, rule_id, program_version, at)
ORDER BY a.program_id COLLATE "C", a.member_id COLLATE "C", a.reference COLLATE "C", a.rule_id
ON CONFLICT DO NOTHING
""")

# A statement of its own: its snapshot, and that of the one after it, is newer than any settlement that it
# had to wait for, so that lots which that settlement wrote are seen.
_LOCK = text("""
SELECT c.program_id, c.member_id, c.id, c.points, c.state
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:references AS text[])
) AS a (program_id, member_id, reference)
JOIN credits c USING (program_id, member_id, reference)
WHERE c.state IN ('pending', 'active')
ORDER BY c.program_id, c.member_id, c.id
FOR UPDATE OF c
""")

_TAKE = text("""
WITH taken AS MATERIALIZED (
    SELECT c.program_id, c.member_id, c.id, c.points, c.state, l.entry_seq
    FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:ids AS uuid[]))
        AS a (program_id, member_id, id)
    JOIN credits c USING (program_id, member_id, id)
    LEFT JOIN lots l ON l.program_id = c.program_id AND l.member_id = c.member_id AND l.credit_id = c.id
), reversed AS (
    UPDATE credits c SET state = 'reversed', reversed_at = :now
    FROM taken t
    WHERE c.program_id = t.program_id AND c.member_id = t.member_id AND c.id = t.id
), emptied AS (
    UPDATE lots l SET remaining = 0
    FROM taken t
    WHERE l.program_id = t.program_id AND l.member_id = t.member_id AND l.credit_id = t.id
), sums AS MATERIALIZED (
    SELECT program_id, member_id,
           coalesce(sum(points) FILTER (WHERE state = 'pending'), 0) AS pending,
           coalesce(sum(points) FILTER (WHERE state = 'active'), 0) AS active,
           count(*) FILTER (WHERE state = 'active') AS entries
    FROM taken GROUP BY 1, 2
), locked AS MATERIALIZED (
    SELECT b.program_id, b.member_id
    FROM balances b JOIN sums s USING (program_id, member_id)
    ORDER BY b.program_id, b.member_id
    FOR UPDATE OF b
), moved AS (
    UPDATE balances b
    SET active = b.active - s.active, pending = b.pending - s.pending,
        version = b.version + greatest(s.entries, 1)
    FROM locked l JOIN sums s USING (program_id, member_id)
    WHERE b.program_id = l.program_id AND b.member_id = l.member_id
    RETURNING b.program_id, b.member_id, b.active, b.pending, b.held, b.debt, b.version,
              s.active AS taken, s.entries
), written AS (
    INSERT INTO entries (program_id, member_id, seq, kind, at, active_delta, house_account, house_delta,
                         balance_after, credit_id, corrects)
    SELECT t.program_id, t.member_id, m.version - m.entries + row_number() OVER running, 'clawback', :now,
           -t.points, 'issued', t.points, m.active + m.taken - sum(t.points) OVER running, t.id, t.entry_seq
    FROM taken t JOIN moved m USING (program_id, member_id)
    WHERE t.state = 'active'
    WINDOW running AS (PARTITION BY t.program_id, t.member_id ORDER BY t.id)
), told AS (
    INSERT INTO outbox (id, created_at, cause, program_ids, member_ids)
    SELECT CAST(:outbox_id AS uuid), :wall, 'clawback', array_agg(program_id), array_agg(member_id)
    FROM moved HAVING count(*) > 0
)
SELECT program_id, member_id, active, pending, held, debt, version FROM moved
""")


async def take_back(
    conn: AsyncConnection, removals: Sequence[Removal], *, now: datetime, wall: datetime, outbox_id: UUID
) -> list[BalanceChange]:
    """Reverses the credits of these activities, each once. The balances that changed."""
    # Told of twice at once, an activity is still taken back once.
    removals = list({(r.program_id, r.member_id, r.reference): r for r in reversed(removals)}.values())
    each_rule = [(removal, rule_id) for removal in removals for rule_id in removal.rule_ids]
    await conn.execute(
        _FORESTALL,
        {
            "program_ids": [r.program_id for r, _ in each_rule],
            "member_ids": [r.member_id for r, _ in each_rule],
            "references": [r.reference for r, _ in each_rule],
            "rule_ids": [rule_id for _, rule_id in each_rule],
            "versions": [r.program_version for r, _ in each_rule],
            "ats": [r.at for r, _ in each_rule],
            "now": now,
        },
    )
    locked = (
        await conn.execute(
            _LOCK,
            {
                "program_ids": [r.program_id for r in removals],
                "member_ids": [r.member_id for r in removals],
                "references": [r.reference for r in removals],
            },
        )
    ).all()
    if not locked:
        return []
    rows = await conn.execute(
        _TAKE,
        {
            "program_ids": [row.program_id for row in locked],
            "member_ids": [row.member_id for row in locked],
            "ids": [row.id for row in locked],
            "now": now,
            "wall": wall,
            "outbox_id": outbox_id,
        },
    )
    return [BalanceChange(row[0], row[1], Balance(*row[2:])) for row in rows]
