"""Give members active points with SQL: several equal credits, and a lot for each."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.bench.setup.members import NUMBERS, OF_MEMBERS, spans
from engage.domain.program.program import Program
from engage.runtime.database import transaction

_CREDITS = text(f"""
INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                     activity_at, accepted_at, due_at, active_at, why)
SELECT :program_id, CAST(:prefix AS text) || n, uuidv7(), 'fuel:2020-01-0' || k, 'fuel', :version, :points,
       'active', :at, :at, :at, :at, '{{}}'
FROM {NUMBERS}, generate_series(1, :credits) AS k
""")  # noqa: S608  # Made of constants, as all statements here.

_ENTRIES = text(f"""
INSERT INTO entries (program_id, member_id, seq, kind, at, active_delta, house_account, house_delta,
                     balance_after, credit_id)
SELECT program_id, member_id, k, 'earning', :at, :points, 'issued', -CAST(:points AS bigint), k * :points, id
FROM (
    SELECT program_id, member_id, id, row_number() OVER (PARTITION BY member_id ORDER BY id) AS k
    FROM credits {OF_MEMBERS}
) c
""")  # noqa: S608

_BALANCES = text(
    f"UPDATE balances SET active = CAST(:credits AS bigint) * :points, version = :credits {OF_MEMBERS}"  # noqa: S608
)

_LOTS = text(f"""
INSERT INTO lots (program_id, member_id, credit_id, entry_seq, points, remaining, active_at, expires_at)
SELECT program_id, member_id, credit_id, seq, active_delta, active_delta, at, :expires_at
FROM entries {OF_MEMBERS}
""")  # noqa: S608


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
