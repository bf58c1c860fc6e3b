"""Add many members and pending credits with SQL. The time that this takes is not measured."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.bench.setup.constants import COUNTRY, member_id
from engage.domain import calendar
from engage.domain.activity import FuelTap
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.decide import decide
from engage.domain.earning.slots import Grant, wanted
from engage.domain.program.program import Program
from engage.gate import keys
from engage.gate.client import Gate
from engage.ledger.accept import why_json
from engage.ledger.decisions import store_decisions
from engage.runtime.database import one_statement, transaction

ROWS_PER_STATEMENT = 20_000
MEMBERS_PER_LOAD = 1_000

NUMBERS = "generate_series(CAST(:first AS int), CAST(:last AS int)) AS n"
OF_MEMBERS = f"""
WHERE program_id = :program_id AND member_id IN (SELECT CAST(:prefix AS text) || n FROM {NUMBERS})
"""  # noqa: S608  # Made of constants, as all statements here.

_EVERY = f"""
WHERE program_id = :program_id AND member_id IN (
    SELECT CAST(:prefix AS text) || n * CAST(:every AS int) + CAST(:offset AS int) FROM {NUMBERS}
)
"""  # noqa: S608

_MEMBERS = text(f"""
INSERT INTO members (program_id, member_id, country, kind, joined_at)
SELECT :program_id, CAST(:prefix AS text) || n, :country, 'person', :now FROM {NUMBERS}
""")  # noqa: S608

_BALANCES = text(f"""
INSERT INTO balances (program_id, member_id)
SELECT :program_id, CAST(:prefix AS text) || n FROM {NUMBERS}
""")  # noqa: S608

# Members in random order, as they come.
_CREDITS = text(f"""
INSERT INTO stored_credits (account, id, source_key, rule_id, decision, points, state, activity_at,
                            accepted_at, due_at, expires_at)
SELECT account, uuidv7(), :source_key, :rule_id, :decision, :points, 'pending', :at, :at, :due_at, :expires_at
FROM balances {_EVERY}
ORDER BY random()
""")  # noqa: S608

_PENDING = text(f"UPDATE balances SET pending = pending + :points, version = version + 1 {_EVERY}")  # noqa: S608


async def add_members(
    db: AsyncEngine,
    program: Program,
    prefix: str,
    count: int,
    *,
    now: datetime,
    country: str = COUNTRY,
    first: int = 0,
) -> None:
    """Add members `<prefix><first>` to `<prefix><count - 1>`, each with an empty balance."""
    for span in spans(count, first=first):
        members = {"program_id": program.id, "prefix": prefix} | span
        async with transaction(db) as conn:
            await conn.execute(_MEMBERS, members | {"country": country, "now": now})
            await conn.execute(_BALANCES, members)


async def load_members(gate: Gate, program: Program, prefix: str, count: int, *, now: datetime) -> None:
    """Load members into the gate without records, as registration does."""
    await load_gate(gate, program.id, [member_id(prefix, n) for n in range(count)], [], now=now)


async def load_gate(
    gate: Gate,
    program_id: str,
    member_ids: Sequence[str],
    records: list[keys.Record],
    *,
    now: datetime,
) -> None:
    """Load members into the gate, all with the same records."""
    day, month = calendar.window("day", now, "UTC").period, calendar.window("month", now, "UTC").period
    for first in range(0, len(member_ids), MEMBERS_PER_LOAD):
        batch = member_ids[first : first + MEMBERS_PER_LOAD]
        await gate.load([(program_id, member, records) for member in batch], day=day, month=month)


async def add_pending_credits(
    db: AsyncEngine,
    program: Program,
    prefix: str,
    count: int,
    *,
    at: datetime,
    due_at: datetime,
    every: int = 1,
    first: int = 0,
) -> None:
    """Add one pending credit, for a fuel tap at `at`, to `count` members of a prefix: the one with the number
    `first`, and `every` so many.
    """
    credit = tap_credit(program, at)
    values = {
        "source_key": credit.source_key,
        "rule_id": credit.rule_id,
        "points": credit.points,
        "at": at,
        "due_at": due_at,
        "expires_at": credit.expires_at,
        "decision": await decision_of(db, credit),
    }
    chosen = {"every": every, "offset": first}
    for span in spans(count):
        members = {"program_id": program.id, "prefix": prefix} | span
        async with transaction(db) as conn:
            await conn.execute(_CREDITS, members | chosen | values)
            await conn.execute(_PENDING, members | chosen | {"points": credit.points})


async def decision_of(db: AsyncEngine, credit: NewCredit) -> int:
    """Store the decision of a tap, which all credits share, if it is not there yet; its number."""
    async with one_statement(db) as conn:
        (number,) = await store_decisions(conn, [why_json(credit.why)])
    return number


def tap_credit(program: Program, at: datetime) -> NewCredit:
    """Return the credit for a member's first fuel tap."""
    zone = program.countries[COUNTRY].zone
    slots = wanted(program.earning, FuelTap(), at=at, zone=zone)
    return decide(program.earning, FuelTap(), at=at, zone=zone, grants=[Grant(slot, 1) for slot in slots])[0]


async def vacuum(db: AsyncEngine) -> None:
    """Vacuum now, so that autovacuum does not run during the measurement."""
    async with db.connect() as conn:
        outside = await conn.execution_options(isolation_level="AUTOCOMMIT")
        await outside.execute(
            text("VACUUM ANALYZE members, balances, stored_credits, stored_entries, outbox")
        )


def spans(count: int, *, first: int = 0, rows: int = ROWS_PER_STATEMENT) -> list[dict[str, int]]:
    """Split member numbers into statements: parameters `first` and `last` of each."""
    return [{"first": number, "last": min(number + rows, count) - 1} for number in range(first, count, rows)]
