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
from engage.schema.balances import account_of

CREDITS: Final = 2
DAYS: Final = 30

# The first tap is some days ago, at a time that few members share; the next one a day later.
_DAYS_AGO: Final = f"2 + n % CAST({DAYS} - 2 AS int)"
_FIRST: Final = f"""date_trunc('day', CAST(:now AS timestamptz), :zone)
    + make_interval(days => -({_DAYS_AGO}), hours => 8, secs => CAST(n AS bigint) * 7919 % 36000)"""

_DECIDED: Final = f"""
SELECT n, k, at, at + CAST(:waits AS interval) AS due_at, day, w.why,
       sha256(convert_to(CAST(w.why AS text), 'UTF8')) AS digest
FROM {NUMBERS}, generate_series(1, CAST(:credits AS int)) AS k
CROSS JOIN LATERAL (SELECT {_FIRST} + make_interval(days => k - 1) AS at) a
CROSS JOIN LATERAL (SELECT to_char(at AT TIME ZONE :zone, 'YYYY-MM-DD') AS day) d
CROSS JOIN LATERAL (
    SELECT CAST(:why AS jsonb) - 'at' || jsonb_build_object('inputs', jsonb_build_object(
        'day', day, 'zone', CAST(:zone AS text), 'streak_days', k)) AS why
) w
"""  # noqa: S608  # Made of constants, as all statements here.

# Taps of one day are decided alike, as the flow that records them finds.
_DECISIONS: Final = text(f"""
INSERT INTO decisions (digest, program_version, why)
SELECT DISTINCT ON (digest) digest, why ->> 'version', why FROM ({_DECIDED}) t ORDER BY digest
ON CONFLICT (digest) DO NOTHING
""")  # noqa: S608

# One statement, so that no plan depends on statistics that there are none of yet.
_BOOKS: Final = text(rf"""
WITH earned AS (
    INSERT INTO stored_credits (account, id, source_key, rule_id, decision, points, state, activity_at,
                                accepted_at, due_at, active_at, expires_at, remaining, lot_seq, streak_seq)
    SELECT {account_of(":program_id", "CAST(:prefix AS text) || n")}, uuidv7(), 'fuel\:' || day, 'fuel', d.id,
           :points, 'active', at, at, due_at, due_at, due_at + CAST(:lasts AS interval), :points, k, k
    FROM ({_DECIDED}) t JOIN decisions d USING (digest)
    RETURNING account, id, points, active_at, lot_seq
)
INSERT INTO stored_entries (account, seq, at, active_delta, house_delta, balance_after, credit_id)
SELECT account, lot_seq, active_at, points, -points, lot_seq * points, id FROM earned
""")  # noqa: S608

_BALANCES: Final = text(f"""
UPDATE balances SET active = CAST(:credits AS bigint) * :points, version = 2 * CAST(:credits AS bigint)
{OF_MEMBERS}
""")  # noqa: S608


async def add_books(db: AsyncEngine, program: Program, prefix: str, count: int, *, now: datetime) -> None:
    """Add members with CREDITS settled credits of fuel taps each, all of the last DAYS days."""
    credit = tap_credit(program, now)
    assert credit.due_at is not None
    assert credit.expires_at is not None
    taps = {
        "now": now,
        "zone": program.countries[COUNTRY].zone,
        "waits": credit.due_at - credit.activity_at,
        "why": why_json(credit.why),
        "credits": CREDITS,
    }
    lasts = credit.expires_at - credit.due_at
    await add_members(db, program, prefix, count, now=now)
    for span in spans(count):
        members = {"program_id": program.id, "prefix": prefix, "points": credit.points} | span
        async with transaction(db) as conn:
            await conn.execute(_DECISIONS, taps | span)
            await conn.execute(_BOOKS, members | taps | {"lasts": lasts})
            await conn.execute(_BALANCES, members | {"credits": CREDITS})
