"""Reports: sums of the ledger as it was at a past instant.

Every movement of every lot is stored with its time, so the sums are exact at any instant. Transactions that
are still open are not in them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.liability import DAYS, EntrySum, LotSum, PendingSum, Sums
from engage.domain.accounts.period import Period

# A lot ends with its credit, unless a reinstatement gave it another end, maybe before its member was merged:
# the credit goes on in the survivor's account under the same id.
_LOTS = text("""
WITH left_of AS MATERIALIZED (
    SELECT program_id, member_id, credit_id, sum(active_delta) AS active, sum(held_delta) AS held
    FROM lot_movements
    WHERE at <= :at AND (CAST(:program_id AS text) IS NULL OR program_id = :program_id)
    GROUP BY 1, 2, 3 HAVING sum(active_delta) <> 0 OR sum(held_delta) <> 0
), given_ends AS MATERIALIZED (
    SELECT DISTINCT ON (program_id, credit_id) program_id, credit_id, expires_at
    FROM lot_moves
    WHERE expires_at IS NOT NULL AND at <= :at
      AND (CAST(:program_id AS text) IS NULL OR program_id = :program_id)
    ORDER BY program_id, credit_id, at DESC, entry_seq DESC
)
SELECT l.program_id, m.country,
       -- A bucket ends with its upper edge: a lot has ended at the very instant of its end.
       CASE WHEN coalesce(g.expires_at, c.expires_at) IS NULL
            THEN cardinality(CAST(:edges AS timestamptz[])) + 1
            ELSE width_bucket(coalesce(g.expires_at, c.expires_at) - interval '1 microsecond',
                              CAST(:edges AS timestamptz[])) END AS bucket,
       CAST(sum(l.active) AS bigint), CAST(sum(l.held) AS bigint)
FROM left_of l
JOIN members m USING (program_id, member_id)
JOIN credits c ON c.program_id = l.program_id AND c.member_id = l.member_id AND c.id = l.credit_id
LEFT JOIN given_ends g ON g.program_id = l.program_id AND g.credit_id = l.credit_id
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""")

_ENTRIES = text("""
SELECT e.program_id, m.country, coalesce(e.at < CAST(:since AS timestamptz), false) AS before, e.kind,
       e.house_account, CAST(sum(e.active_delta + e.held_delta) AS bigint), CAST(sum(e.debt_delta) AS bigint)
FROM entries e JOIN members m USING (program_id, member_id)
WHERE e.at <= :at AND (CAST(:program_id AS text) IS NULL OR e.program_id = :program_id)
GROUP BY 1, 2, 3, 4, 5
""")

# Before a reduction a credit had more points. When its last points are taken it is reversed and keeps its
# points. A credit from a merged member has the times that it had there, and counts there until the merger.
_PENDING_CREDITS = """
SELECT c.program_id, c.member_id, c.points + coalesce((
    SELECT sum(r.points) FROM reductions r
    WHERE r.program_id = c.program_id AND r.member_id = c.member_id AND r.credit_id = c.id
      AND r.at > :at
), 0) AS points
FROM credits c
WHERE c.unit = 'points' AND c.accepted_at <= :at AND (c.active_at IS NULL OR c.active_at > :at)
  AND (c.reversed_at IS NULL OR c.reversed_at > :at)
  AND NOT EXISTS (
      SELECT FROM closings k JOIN credits o
          ON o.program_id = k.program_id AND o.member_id = k.member_id AND o.id = c.id
      WHERE k.program_id = c.program_id AND k.merged_into = c.member_id AND k.at > :at
  )
"""

_PENDING = text(f"""
SELECT p.program_id, m.country, CAST(sum(p.points) AS bigint)
FROM ({_PENDING_CREDITS} AND (CAST(:program_id AS text) IS NULL OR c.program_id = :program_id)) p
JOIN members m USING (program_id, member_id)
GROUP BY 1, 2
""")  # noqa: S608  # Constants of this module, here and below.

_BALANCE = text(f"""
SELECT coalesce(CAST(sum(active_delta) AS bigint), 0),
       coalesce((SELECT CAST(sum(points) AS bigint) FROM (
           {_PENDING_CREDITS} AND c.program_id = :program_id AND c.member_id = :member_id
       ) p), 0),
       coalesce(CAST(sum(held_delta) AS bigint), 0), coalesce(CAST(sum(debt_delta) AS bigint), 0)
FROM entries WHERE program_id = :program_id AND member_id = :member_id AND at <= :at
""")  # noqa: S608

# Whole tables are summed up, by one report at a time.
_WORK_MEMORY = text("SET LOCAL work_mem = '128MB'")

# The planner's guess of how many lots have something left is far too low; a nested loop would then take
# minutes.
_JOIN_BY_HASH = text("SET LOCAL enable_nestloop = off")

_MICROSECOND = timedelta(microseconds=1)


class PastBalance(msgspec.Struct, frozen=True):
    """A member's points at a past instant: active, pending and held, and the debt."""

    active: int
    pending: int
    held: int
    debt: int


async def read_sums(conn: AsyncConnection, of: Period, program_id: str | None) -> Sums:
    """Read the sums that a report is made of. The connection sees one snapshot."""
    await conn.execute(_WORK_MEMORY)
    values = {"at": of.at, "program_id": program_id}
    entries = await conn.execute(_ENTRIES, values | {"since": of.since})
    pending = await conn.execute(_PENDING, values)
    await conn.execute(_JOIN_BY_HASH)
    return Sums(
        lots=await _read_lots(conn, of.at, program_id),
        lots_before=[] if of.since is None else await _read_lots(conn, of.since - _MICROSECOND, program_id),
        entries=[EntrySum(*row) for row in entries],
        pending=[PendingSum(*row) for row in pending],
    )


async def read_past_balance(
    conn: AsyncConnection, program_id: str, member_id: str, *, at: datetime
) -> PastBalance:
    """Read the balance of an existing member at a past instant."""
    values = {"program_id": program_id, "member_id": member_id, "at": at}
    return PastBalance(*(await conn.execute(_BALANCE, values)).one())


async def _read_lots(conn: AsyncConnection, at: datetime, program_id: str | None) -> Sequence[LotSum]:
    edges = [at + timedelta(days=days) for days in DAYS]
    rows = await conn.execute(_LOTS, {"at": at, "edges": edges, "program_id": program_id})
    return [LotSum(*row) for row in rows]
