"""Reports: sums of the ledger as it was at a past instant.

Every movement of every lot is stored with its time, so the sums are exact at any instant. Transactions that
are still open are not in them.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.liability import (
    DAYS,
    EntrySum,
    LotSum,
    MovedSum,
    OutstandingSum,
    PendingSum,
    Sums,
)
from engage.domain.accounts.period import Period


def _of_program(alias: str) -> str:
    """The condition for rows of the program, or of all where there is none."""
    return f"(CAST(:program_id AS text) IS NULL OR {alias}.program_id = :program_id)"


_MOVES_ITS_LOT = "e.credit_id IS NOT NULL AND e.kind <> 'clawback'"

# Lots that were given another end after the instant, maybe before their member was merged: the credit goes on
# in the survivor's account under the same id. `ends_then` is the newest end that was given until the instant.
_GIVEN_LATER = f"""
SELECT g.program_id, g.credit_id,
       (array_agg(g.expires_at ORDER BY g.at DESC, g.entry_seq DESC)
            FILTER (WHERE g.at <= :at))[1] AS ends_then
FROM lot_moves g
WHERE g.expires_at IS NOT NULL AND {_of_program("g")}
GROUP BY 1, 2 HAVING bool_or(g.at > :at)
"""  # noqa: S608  # Constants of this module, here and below.


class _Ends(msgspec.Struct, frozen=True):
    """Lots `l` whose ends at the instant are found alike: the join and condition for them, and the end."""

    join: str
    where: str
    end: str


# Hardly any lot gets another end, and statements that look for an earlier one cannot be run in parallel.
_ENDS = (
    _Ends(
        f"LEFT JOIN ({_GIVEN_LATER}) g USING (program_id, credit_id)", "g.credit_id IS NULL", "l.expires_at"
    ),
    _Ends(
        f"JOIN ({_GIVEN_LATER}) g USING (program_id, credit_id)",
        "true",
        """coalesce(g.ends_then, (
            SELECT c.expires_at FROM credits c
            WHERE c.program_id = l.program_id AND c.member_id = l.member_id AND c.id = l.credit_id
        ))""",
    ),
)

_EDGES = [f"edge_{number}" for number in range(len(DAYS))]


def _grouped(ends: _Ends, *sums: str) -> tuple[str, str]:
    """The columns of a sum of lots, and its groups: program, country, and whether it ends until each edge of
    the buckets. That is false for a later end, and null for none.

    The planner knows that these are few groups, so each process adds up its own rows.
    """
    ended = (f"{ends.end} <= CAST(:{edge} AS timestamptz)" for edge in _EDGES)
    columns = ", ".join(("l.program_id", "m.country", *ended, *(f"CAST({each} AS bigint)" for each in sums)))
    return columns, ", ".join(str(number + 1) for number in range(2 + len(_EDGES)))


def _left_now(ends: _Ends) -> TextClause:
    """Points of lots that had begun at the instant, as they are now: active, held, and active of those that
    had begun before the period.
    """
    columns, groups = _grouped(
        ends,
        "sum(l.remaining)",
        "0",
        "coalesce(sum(l.remaining) FILTER (WHERE l.active_at < :since), 0)",
    )
    return text(f"""
SELECT {columns}
FROM lots l JOIN members m USING (program_id, member_id) {ends.join}
WHERE l.remaining > 0 AND l.active_at <= :at AND {_of_program("l")} AND {ends.where}
GROUP BY {groups}
""")  # noqa: S608


def _moved_since(ends: _Ends) -> TextClause:
    """Later movements of these lots, to be undone, and what was held of them.

    A lot begins with the entry of its earning at its `active_at`, so none of these entries is later than the
    instant.
    """
    columns, groups = _grouped(
        ends,
        "coalesce(-sum(v.active_delta) FILTER (WHERE v.at > :at), 0)",
        "coalesce(sum(v.held_delta) FILTER (WHERE v.at <= :at), 0)",
        "coalesce(sum(CASE WHEN v.at < :since THEN v.held_delta ELSE -v.active_delta END)"
        " FILTER (WHERE l.active_at < :since), 0)",
    )
    return text(f"""
SELECT {columns}
FROM (
    SELECT e.program_id, e.member_id, e.credit_id, e.at, e.active_delta, CAST(0 AS bigint) AS held_delta
    FROM entries e
    WHERE {_MOVES_ITS_LOT} AND e.kind <> 'earning'
      AND (e.at >= :since OR e.at > :at) AND {_of_program("e")}
    UNION ALL
    SELECT o.program_id, o.member_id, o.credit_id, o.at, o.active_delta, o.held_delta
    FROM lot_moves o
    WHERE (o.at >= :since OR o.at > :at OR o.held_delta <> 0) AND {_of_program("o")}
) v
JOIN lots l USING (program_id, member_id, credit_id)
JOIN members m USING (program_id, member_id)
{ends.join}
WHERE l.active_at <= :at AND {ends.where}
GROUP BY {groups}
""")  # noqa: S608


_LOTS = [statement(ends) for ends in _ENDS for statement in (_left_now, _moved_since)]

# The last column is what moved the lots that entries name.
_ENTRIES = text(f"""
SELECT e.program_id, m.country, coalesce(e.at < CAST(:since AS timestamptz), false) AS before, e.kind,
       e.house_account, CAST(sum(e.active_delta + e.held_delta) AS bigint), CAST(sum(e.debt_delta) AS bigint),
       CAST(coalesce(sum(e.active_delta) FILTER (WHERE {_MOVES_ITS_LOT}), 0) AS bigint)
FROM entries e JOIN members m USING (program_id, member_id)
WHERE e.at <= :at AND {_of_program("e")}
GROUP BY 1, 2, 3, 4, 5
""")  # noqa: S608

# What moved all other lots.
_LOT_MOVES = text(f"""
SELECT o.program_id, m.country, coalesce(o.at < CAST(:since AS timestamptz), false) AS before,
       CAST(sum(o.active_delta + o.held_delta) AS bigint)
FROM lot_moves o JOIN members m USING (program_id, member_id)
WHERE o.at <= :at AND {_of_program("o")}
GROUP BY 1, 2, 3
""")  # noqa: S608

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

# Whole tables are summed up, by one report at a time: in parallel, where the server has processes for it. A
# hash that all of them share has at most six times this.
_WORK_MEMORY = text("SET LOCAL work_mem = '64MB'")
_IN_PARALLEL = text(
    "SELECT set_config('parallel_setup_cost', '0', true), set_config('parallel_tuple_cost', '0', true)"
)

# The planner's guess of how many rows of a member meet is far too low; a nested loop would then take minutes.
_JOIN_BY_HASH = text("SET LOCAL enable_nestloop = off")


_Bucket = tuple[str, str, int]  # Program, country, and an index of BUCKETS.


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
    await conn.execute(_IN_PARALLEL)
    pending = await conn.execute(_PENDING, values)
    await conn.execute(_JOIN_BY_HASH)
    entries = (await conn.execute(_ENTRIES, values | {"since": of.since})).all()
    moves = await conn.execute(_LOT_MOVES, values | {"since": of.since})
    lots, before = await _read_lots(conn, of, program_id)
    return Sums(
        lots=lots,
        outstanding_before=before,
        moved=[
            *(
                MovedSum(program, country, is_before, row[-1])
                for program, country, is_before, *row in entries
            ),
            *(MovedSum(*row) for row in moves),
        ],
        entries=[EntrySum(*row[:-1]) for row in entries],
        pending=[PendingSum(*row) for row in pending],
    )


async def read_past_balance(
    conn: AsyncConnection, program_id: str, member_id: str, *, at: datetime
) -> PastBalance:
    """Read the balance of an existing member at a past instant."""
    values = {"program_id": program_id, "member_id": member_id, "at": at}
    return PastBalance(*(await conn.execute(_BALANCE, values)).one())


async def _read_lots(
    conn: AsyncConnection, of: Period, program_id: str | None
) -> tuple[list[LotSum], list[OutstandingSum]]:
    """Sum what was left of all lots at the instant, and just before the period.

    What they have now, without what moved since: that reads each lot once, however old the ledger is.
    """
    values = {
        "at": of.at,
        "since": of.since,
        **{edge: of.at + timedelta(days=days) for edge, days in zip(_EDGES, DAYS, strict=True)},
        "program_id": program_id,
    }
    active, held, before = Counter[_Bucket](), Counter[_Bucket](), Counter[tuple[str, str]]()
    for statement in _LOTS:
        for program, country, *ended, active_points, held_points, points_before in await conn.execute(
            statement, values
        ):
            bucket = program, country, _bucket(ended)
            active[bucket] += active_points
            held[bucket] += held_points
            before[program, country] += points_before
    lots = [LotSum(*key, active[key], held[key]) for key in sorted(active) if active[key] or held[key]]
    return lots, [OutstandingSum(*key, points) for key, points in sorted(before.items()) if points]


def _bucket(ended: Sequence[bool | None]) -> int:
    """The index of BUCKETS for a lot that ends until these edges."""
    if None in ended:
        return len(ended) + 1
    return ended.index(True) if True in ended else len(ended)
