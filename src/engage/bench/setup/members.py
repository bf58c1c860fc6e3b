"""Members and credits in bulk, by SQL of the benchmark's own: setting up, which nobody measures."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.bench.setup.constants import COUNTRY, member_id
from engage.domain import calendar
from engage.domain.activity import FuelTap
from engage.domain.earning.decide import NewCredit, decide
from engage.domain.earning.slots import Grant, wanted
from engage.domain.program.program import Program
from engage.gate import keys
from engage.ledger.accept import why_json
from engage.runtime.database import transaction
from engage.runtime.services import Services

ROWS_PER_STATEMENT = 20_000
MEMBERS_PER_LOAD = 1_000

_MEMBERS = text("""
INSERT INTO members (program_id, member_id, country, kind, joined_at)
SELECT :program_id, CAST(:prefix AS text) || n, :country, 'person', :now
FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
""")

_BALANCES = text("""
INSERT INTO balances (program_id, member_id)
SELECT :program_id, CAST(:prefix AS text) || n
FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
""")

_CREDITS = text("""
INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                     activity_at, accepted_at, due_at, expires_at, why)
SELECT :program_id, CAST(:prefix AS text) || n, uuidv7(), :source_key, :rule_id, :version, :points, 'pending',
       :at, :at, :due_at, :expires_at, CAST(:why AS jsonb)
FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
""")

_PENDING = text("""
UPDATE balances SET pending = pending + :points, version = version + 1
WHERE program_id = :program_id AND member_id IN (
    SELECT CAST(:prefix AS text) || n FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
)
""")


async def add_members(
    db: AsyncEngine, program: Program, prefix: str, count: int, *, now: datetime, country: str = COUNTRY
) -> None:
    """Members `<prefix>0` and so on, each with an empty balance."""
    row = {"program_id": program.id, "prefix": prefix, "country": country}
    for span in spans(count):
        async with transaction(db) as conn:
            await conn.execute(_MEMBERS, row | span | {"now": now})
            await conn.execute(_BALANCES, {k: v for k, v in (row | span).items() if k != "country"})


async def introduce(services: Services, program: Program, prefix: str, count: int, *, now: datetime) -> None:
    """The gate gets to know them, as it does when a member registers."""
    day, month = calendar.window("day", now, "UTC").period, calendar.window("month", now, "UTC").period
    nothing: list[keys.SlotRecord] = []
    for first in range(0, count, MEMBERS_PER_LOAD):
        numbers = range(first, min(first + MEMBERS_PER_LOAD, count))
        known = [(program.id, member_id(prefix, n), nothing) for n in numbers]
        await services.gate.load(known, day=day, month=month)


async def add_pending(
    db: AsyncEngine, program: Program, prefix: str, count: int, *, at: datetime, due_at: datetime
) -> None:
    """One pending credit for each of the first `count` members of a prefix: a fuel tap at `at`."""
    credit = tap_credit(program, at)
    row = {
        "program_id": program.id,
        "prefix": prefix,
        "source_key": credit.source_key,
        "rule_id": credit.rule_id,
        "version": program.version,
        "points": credit.points,
        "at": at,
        "due_at": due_at,
        "expires_at": credit.expires_at,
        "why": why_json(credit.why),
    }
    for span in spans(count):
        async with transaction(db) as conn:
            await conn.execute(_CREDITS, row | span)
            moved = {name: row[name] for name in ("program_id", "prefix", "points")}
            await conn.execute(_PENDING, moved | span)


def tap_credit(program: Program, at: datetime) -> NewCredit:
    """What a member's first fuel tap earns."""
    zone = program.countries[COUNTRY].zone
    slots = wanted(program.earning, FuelTap(), at=at, zone=zone)
    return decide(program.earning, FuelTap(), at=at, zone=zone, grants=[Grant(slot, 1) for slot in slots])[0]


async def tidy(db: AsyncEngine) -> None:
    """What autovacuum would do in time, so that it does not do it while something is measured."""
    async with db.connect() as conn:
        outside = await conn.execution_options(isolation_level="AUTOCOMMIT")
        await outside.execute(text("VACUUM ANALYZE members, balances, credits, entries, lots, outbox"))


def spans(count: int) -> list[dict[str, int]]:
    """So many members in parts that a statement takes at once, as its values `first` and `last`."""
    return [
        {"first": first, "last": min(first + ROWS_PER_STATEMENT, count) - 1}
        for first in range(0, count, ROWS_PER_STATEMENT)
    ]
