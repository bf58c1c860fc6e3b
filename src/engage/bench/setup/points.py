"""Members of benchmarks who have points: each so many credits, alike, with a lot of its own."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.bench.setup import members as crowd
from engage.domain.program.program import Program
from engage.runtime.database import transaction
from engage.runtime.services import Services

_CREDITS = text("""
INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                     activity_at, accepted_at, due_at, active_at, why)
SELECT :program_id, CAST(:prefix AS text) || n, uuidv7(), 'fuel:2020-01-0' || k, 'fuel', :version, :points,
       'active', :at, :at, :at, :at, '{}'
FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n, generate_series(1, :each) AS k
""")

_ENTRIES = text("""
INSERT INTO entries (program_id, member_id, seq, kind, at, active_delta, house_account, house_delta,
                     balance_after, credit_id)
SELECT program_id, member_id, k, 'earning', :at, :points, 'issued', -CAST(:points AS bigint), k * :points, id
FROM (
    SELECT program_id, member_id, id, row_number() OVER (PARTITION BY member_id ORDER BY id) AS k
    FROM credits
    WHERE program_id = :program_id AND member_id IN (
        SELECT CAST(:prefix AS text) || n FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
    )
) c
""")

_BALANCES = text("""
UPDATE balances SET active = CAST(:each AS bigint) * :points, version = :each
WHERE program_id = :program_id AND member_id IN (
    SELECT CAST(:prefix AS text) || n FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
)
""")

_LOTS = text("""
INSERT INTO lots (program_id, member_id, credit_id, entry_seq, points, remaining, active_at, expires_at)
SELECT program_id, member_id, credit_id, seq, active_delta, active_delta, at, :ends_at
FROM entries
WHERE program_id = :program_id AND member_id IN (
    SELECT CAST(:prefix AS text) || n FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
)
""")


async def add_earned(
    services: Services, program: Program, prefix: str, count: int, *, each: int, points: int, at: datetime
) -> None:
    """`count` members of that prefix get `each` credits of so many points, active since `at`. Their lots are
    still to be added.
    """
    row = {"program_id": program.id, "prefix": prefix}
    for span in crowd.spans(count):
        members = row | span
        async with transaction(services.db) as conn:
            credits = {"each": each, "points": points, "version": program.version, "at": at}
            await conn.execute(_CREDITS, members | credits)
            await conn.execute(_ENTRIES, members | {"points": points, "at": at})
            await conn.execute(_BALANCES, members | {"each": each, "points": points})


async def add_lots(
    conn: AsyncConnection, program: Program, prefix: str, span: dict[str, int], *, ends_at: datetime | None
) -> None:
    """The lots of what members of a span (`crowd.spans`) have earned; None is no end."""
    await conn.execute(_LOTS, {"program_id": program.id, "prefix": prefix} | span | {"ends_at": ends_at})
