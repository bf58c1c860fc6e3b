"""Give members active points with SQL: several equal credits, and a lot for each."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.bench.setup.members import OF_MEMBERS, decision_of, spans, tap_credit
from engage.domain.program.program import Program
from engage.runtime.database import transaction

_CREDITS = text(f"""
INSERT INTO stored_credits (account, id, source_key, rule_id, program_version, points, state, activity_at,
                            accepted_at, due_at, active_at, why)
SELECT account, uuidv7(), 'fuel:2020-01-0' || k, 'fuel', :version, :points, 'active', :at, :at, :at, :at,
       '{{}}'
FROM balances, generate_series(1, :credits) AS k {OF_MEMBERS}
""")  # noqa: S608  # Made of constants, as all statements here.

_ENTRIES = text(f"""
INSERT INTO stored_entries (account, seq, at, active_delta, house_delta, balance_after, credit_id)
SELECT account, k, :at, :points, -CAST(:points AS bigint), k * :points, id
FROM (
    SELECT account, id, row_number() OVER (PARTITION BY account ORDER BY id) AS k
    FROM stored_credits JOIN balances USING (account) {OF_MEMBERS}
) c
""")  # noqa: S608

_BALANCES = text(
    f"UPDATE balances SET active = CAST(:credits AS bigint) * :points, version = :credits {OF_MEMBERS}"  # noqa: S608
)

_LOTS = text(f"""
UPDATE stored_credits c
SET remaining = e.active_delta, lot_seq = e.seq, expires_at = CAST(:expires_at AS timestamptz)
FROM stored_entries e JOIN balances USING (account)
{OF_MEMBERS} AND c.account = e.account AND c.id = e.credit_id
""")  # noqa: S608


_SETTLED = text(f"""
WITH earned AS (
    INSERT INTO stored_credits (account, id, source_key, rule_id, decision, points, state, activity_at,
                                accepted_at, due_at, active_at, expires_at, remaining, lot_seq, streak_seq)
    SELECT account, uuidv7(), 'fuel:2020-01-0' || k, 'fuel', :decision, :points, 'active', :at, :at, :at, :at,
           CAST(:at AS timestamptz) + interval '10 years', :points, k, k
    FROM balances, generate_series(1, CAST(:credits AS int)) AS k {OF_MEMBERS}
    ORDER BY k, random()
    RETURNING account, id, lot_seq
)
INSERT INTO stored_entries (account, seq, at, active_delta, house_delta, balance_after, credit_id)
SELECT account, lot_seq, :at, :points, -CAST(:points AS bigint), lot_seq * :points, id FROM earned
""")  # noqa: S608


async def add_settled_credits(
    db: AsyncEngine, program: Program, prefix: str, first: int, end: int, *, credits: int, at: datetime
) -> None:
    """Give the members from `first` to `end` credits of taps that were settled at `at`, with their lots."""
    tap = tap_credit(program, at)
    values = {"credits": credits, "points": tap.points, "at": at, "decision": await decision_of(db, tap)}
    balances = {"credits": credits, "points": tap.points}
    for span in spans(end, first=first):
        members = {"program_id": program.id, "prefix": prefix} | span
        async with transaction(db) as conn:
            await conn.execute(_SETTLED, members | values)
            await conn.execute(_BALANCES, members | balances)


async def add_active_credits(
    db: AsyncEngine, program: Program, prefix: str, count: int, *, credits: int, points: int, at: datetime
) -> None:
    """Give `count` members `credits` credits of `points` points, active since `at`. Add their lots next."""
    for span in spans(count):
        members = {"program_id": program.id, "prefix": prefix} | span
        async with transaction(db) as conn:
            await conn.execute(
                _CREDITS,
                members | {"credits": credits, "points": points, "version": program.version, "at": at},
            )
            await conn.execute(_ENTRIES, members | {"points": points, "at": at})
            await conn.execute(_BALANCES, members | {"credits": credits, "points": points})


async def add_lots(
    conn: AsyncConnection, program: Program, prefix: str, span: dict[str, int], *, expires_at: datetime | None
) -> None:
    """Add the lots of the credits of a span of members. With None they never expire."""
    await conn.execute(_LOTS, {"program_id": program.id, "prefix": prefix, "expires_at": expires_at} | span)
