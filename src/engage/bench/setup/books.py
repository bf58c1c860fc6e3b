"""Books with SQL: members who tapped on some days of the last month, their settled credits and balances."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.bench.setup.constants import COUNTRY
from engage.bench.setup.members import NUMBERS, spans, tap_credit
from engage.domain.program.program import Program
from engage.ledger.accept import why_json
from engage.runtime.database import open_database, transaction

# A first tap was on one of so many days, before those of the other taps.
FIRST_DAYS: Final = 28
LOADERS: Final = 2
ROWS_PER_STATEMENT: Final = 100_000

# The memory for building an index again.
_SORT_MEMORY: Final = "1GB"

# The indexes that have a row for each settled credit. The others stay, and have none.
_INDEXES_OF_EACH: Final = [
    *("stored_credits_pkey", "credits_streak_seq", "credits_source_key", "credits_expiring", "credits_left"),
    "stored_entries_pkey",
]

_MEMBERS: Final = text(f"""
INSERT INTO members (program_id, member_id, country, kind, joined_at)
SELECT :program_id, CAST(:prefix AS text) || n, :country, 'person', :now FROM {NUMBERS}
""")  # noqa: S608  # Made of constants, as all statements here.

_BALANCES: Final = text(f"""
INSERT INTO balances (program_id, member_id, active, version)
SELECT :program_id, CAST(:prefix AS text) || n, CAST(:credits AS bigint) * :points,
       2 * CAST(:credits AS bigint)
FROM {NUMBERS}
""")  # noqa: S608

# The days on which the tap number `k` of members was, by the rest of their numbers. All taps of such a day
# are decided alike, as the flow that records them finds.
_DAYS: Final = f"""
SELECT r, day, w.why, sha256(convert_to(CAST(w.why AS text), 'UTF8')) AS digest
FROM generate_series(0, {FIRST_DAYS} - 1) AS r
CROSS JOIN LATERAL (SELECT date_trunc('day', CAST(:now AS timestamptz), :zone)
    + make_interval(days => CAST(:k AS int) - 1 - CAST(:credits AS int) - r) AS day) a
CROSS JOIN LATERAL (
    SELECT CAST(:why AS jsonb) - 'at' || jsonb_build_object('inputs', jsonb_build_object(
        'day', to_char(day AT TIME ZONE :zone, 'YYYY-MM-DD'), 'zone', CAST(:zone AS text),
        'streak_days', CAST(:k AS int))) AS why
) w
"""  # noqa: S608

_DECISIONS: Final = text(f"""
INSERT INTO decisions (digest, program_version, why)
SELECT digest, why ->> 'version', why FROM ({_DAYS}) t
ON CONFLICT (digest) DO NOTHING
""")  # noqa: S608

# Each at a time of its day that few members share. Members come in any order, so what belongs to one of them
# is on many pages.
_BOOKS: Final = text(rf"""
WITH days AS MATERIALIZED (
    SELECT r, day, 'fuel\:' || (t.why -> 'inputs' ->> 'day') AS source_key, d.id AS decision
    FROM ({_DAYS}) t JOIN decisions d USING (digest)
), earned AS (
    INSERT INTO stored_credits (account, id, source_key, rule_id, decision, points, state, activity_at,
                                accepted_at, due_at, active_at, expires_at, remaining, lot_seq, streak_seq)
    SELECT b.account, uuidv7(), t.source_key, 'fuel', t.decision, :points, 'active', at, at,
           at + CAST(:waits AS interval), at + CAST(:waits AS interval),
           at + CAST(:waits AS interval) + CAST(:lasts AS interval), :points, :k, :k
    FROM {NUMBERS}
    JOIN days t ON t.r = n % {FIRST_DAYS}
    JOIN balances b ON b.program_id = :program_id AND b.member_id = CAST(:prefix AS text) || n
    CROSS JOIN LATERAL (
        SELECT t.day + make_interval(hours => 8, secs => CAST(n AS bigint) * 7919 % 36000) AS at
    ) a
    ORDER BY random()
    RETURNING account, id, points, active_at, lot_seq
)
INSERT INTO stored_entries (account, seq, at, active_delta, house_delta, balance_after, credit_id)
SELECT account, lot_seq, active_at, points, -points, lot_seq * points, id FROM earned
""")  # noqa: S608

_CONSTRAINTS: Final = text("""
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = CAST(:name AS regclass) AND contype IN ('p', 'u') AND conname = ANY(CAST(:names AS text[]))
""")
_INDEXES: Final = text("""
SELECT CAST(CAST(indexrelid AS regclass) AS text), pg_get_indexdef(indexrelid) FROM pg_index i
WHERE indrelid = CAST(:name AS regclass)
  AND CAST(CAST(indexrelid AS regclass) AS text) = ANY(CAST(:names AS text[]))
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid AND contype IN ('p', 'u'))
""")


class Members(Struct, frozen=True):
    """Members `<prefix><first>` to `<prefix><end - 1>` of a program, with as many `credits` each."""

    program: Program
    prefix: str
    first: int
    end: int
    credits: int


def say_nothing(_: str) -> None:
    """Report no progress."""


class Progress:
    """Reports each tenth of the rows."""

    def __init__(self, report: Callable[[str], None], rows: int) -> None:
        self._report = report
        self._rows = rows
        self._done = 0

    def added(self, rows: int) -> None:
        before, self._done = self._done, self._done + rows
        if before * 10 // self._rows < self._done * 10 // self._rows:
            self._report(f"{self._done:,} of {self._rows:,} rows")


async def add_books(
    url: str, members: Members, *, now: datetime, report: Callable[[str], None] = say_nothing
) -> None:
    """Add members with settled credits of fuel taps, on consecutive days of the last weeks. `report` gets
    the progress.

    The indexes of the ledger are built when all is there: the amounts are large.
    """
    progress = Progress(report, (members.end - members.first) * (members.credits + 1))
    db = open_database(url, pool_size=LOADERS + 1, command_timeout_s=None)
    try:
        taps = _taps(members, now)
        await _at_once(members, partial(_add_members, db, taps | {"country": COUNTRY}), progress)
        async with transaction(db) as conn:
            for k in range(1, members.credits + 1):
                await conn.execute(_DECISIONS, taps | {"k": k})
        async with _without_indexes(db, "stored_credits", "stored_entries", report=report):
            for k in range(1, members.credits + 1):
                await _at_once(members, partial(_add_credits, db, taps | {"k": k}), progress)
    finally:
        await db.dispose()


def _taps(members: Members, now: datetime) -> dict[str, object]:
    credit = tap_credit(members.program, now)
    assert credit.due_at is not None
    assert credit.expires_at is not None
    return {
        "program_id": members.program.id,
        "prefix": members.prefix,
        "credits": members.credits,
        "points": credit.points,
        "now": now,
        "zone": members.program.countries[COUNTRY].zone,
        "waits": credit.due_at - credit.activity_at,
        "lasts": credit.expires_at - credit.due_at,
        "why": why_json(credit.why),
    }


async def _at_once(
    members: Members, add: Callable[[dict[str, int]], Awaitable[None]], progress: Progress
) -> None:
    """Add spans of members on as many connections as there are loaders."""
    free = asyncio.Semaphore(LOADERS)

    async def one(span: dict[str, int]) -> None:
        async with free:
            await add(span)
            progress.added(span["last"] - span["first"] + 1)

    async with asyncio.TaskGroup() as group:
        for span in spans(members.end, first=members.first, rows=ROWS_PER_STATEMENT):
            group.create_task(one(span))


async def _add_members(db: AsyncEngine, values: dict[str, Any], span: dict[str, int]) -> None:
    async with transaction(db) as conn:
        await conn.execute(_MEMBERS, values | span)
        await conn.execute(_BALANCES, values | span)


async def _add_credits(db: AsyncEngine, taps: dict[str, Any], span: dict[str, int]) -> None:
    async with transaction(db) as conn:
        await conn.execute(_BOOKS, taps | span)


@asynccontextmanager
async def _without_indexes(
    db: AsyncEngine, *tables: str, report: Callable[[str], None]
) -> AsyncIterator[None]:
    """Drop the large indexes of tables, and build them again at the end of the block."""
    again: list[str] = []
    large = {"names": _INDEXES_OF_EACH}
    async with transaction(db) as conn:
        for table in tables:
            for name, definition in (await conn.execute(_CONSTRAINTS, large | {"name": table})).all():
                await conn.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
                again.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
            for name, definition in (await conn.execute(_INDEXES, large | {"name": table})).all():
                await conn.execute(text(f"DROP INDEX {name}"))
                again.append(definition)
    yield
    for number, statement in enumerate(again, 1):
        report(f"building index {number} of {len(again)}")
        await _build(db, statement)


async def _build(db: AsyncEngine, statement: str) -> None:
    async with transaction(db) as conn:
        await conn.execute(text(f"SET LOCAL maintenance_work_mem = '{_SORT_MEMORY}'"))
        await conn.execute(text(statement.replace(":", "\\:")))
