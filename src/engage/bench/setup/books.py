"""Books with SQL: members who tapped on two days of the last month, their settled credits and balances."""

from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.bench.setup.constants import COUNTRY
from engage.bench.setup.members import NUMBERS, OF_MEMBERS, add_members, spans, tap_credit
from engage.domain.program.program import Program
from engage.ledger.accept import why_json
from engage.runtime.database import transaction

CREDITS: Final = 2
DAYS: Final = 30

# The first tap is some days ago, at a time that few members share; the next one a day later.
_DAYS_AGO: Final = f"2 + n % CAST({DAYS} - 2 AS int)"
_FIRST: Final = f"""date_trunc('day', CAST(:now AS timestamptz), :zone)
    + make_interval(days => -({_DAYS_AGO}), hours => 8, secs => CAST(n AS bigint) * 7919 % 36000)"""

# One statement, so that no plan depends on statistics that there are none of yet.
_BOOKS: Final = text(rf"""
WITH taps AS (
    SELECT CAST(:prefix AS text) || n AS member_id, k, at, at + CAST(:waits AS interval) AS due_at,
           to_char(at AT TIME ZONE :zone, 'YYYY-MM-DD') AS day
    FROM {NUMBERS}, generate_series(1, CAST(:credits AS int)) AS k
    CROSS JOIN LATERAL (SELECT {_FIRST} + make_interval(days => k - 1) AS at) a
), earned AS (
    INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                         activity_at, accepted_at, due_at, active_at, expires_at, why, streak_seq)
    SELECT :program_id, member_id, uuidv7(), 'fuel\:' || day, 'fuel', :version, :points, 'active', at, at,
           due_at, due_at, due_at + CAST(:lasts AS interval),
           CAST(:why AS jsonb) || jsonb_build_object('at', at, 'inputs', jsonb_build_object(
               'day', day, 'zone', CAST(:zone AS text), 'streak_days', k)), k
    FROM taps
    RETURNING program_id, member_id, id, points, active_at, expires_at, streak_seq
), posted AS (
    INSERT INTO entries (program_id, member_id, seq, kind, at, active_delta, house_account, house_delta,
                         balance_after, credit_id)
    SELECT program_id, member_id, streak_seq, 'earning', active_at, points, 'issued', -points,
           streak_seq * points, id
    FROM earned
)
INSERT INTO lots (program_id, member_id, credit_id, entry_seq, points, remaining, active_at, expires_at)
SELECT program_id, member_id, id, streak_seq, points, points, active_at, expires_at FROM earned
""")  # noqa: S608  # Made of constants, as all statements here.

_BALANCES: Final = text(f"""
UPDATE balances SET active = CAST(:credits AS bigint) * :points, version = 2 * CAST(:credits AS bigint)
{OF_MEMBERS}
""")  # noqa: S608


async def add_books(db: AsyncEngine, program: Program, prefix: str, count: int, *, now: datetime) -> None:
    """Add members with CREDITS settled credits of fuel taps each, all of the last DAYS days."""
    credit = tap_credit(program, now)
    assert credit.due_at is not None
    assert credit.expires_at is not None
    settled = {
        "now": now,
        "zone": program.countries[COUNTRY].zone,
        "waits": credit.due_at - credit.activity_at,
        "lasts": credit.expires_at - credit.due_at,
        "why": why_json(credit.why),
        "version": program.version,
    }
    await add_members(db, program, prefix, count, now=now)
    for span in spans(count):
        members = {"program_id": program.id, "prefix": prefix, "credits": CREDITS, "points": credit.points}
        async with transaction(db) as conn:
            await conn.execute(_BOOKS, members | span | settled)
            await conn.execute(_BALANCES, members | span)
