"""`size`: bytes that a settled credit of a fuel tap takes in PostgreSQL, with all that is stored for it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy import text

from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import Figure
from engage.bench.setup import processes
from engage.bench.setup.constants import PRESET, PROGRAM, member_id
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members
from engage.bench.setup.queries import fetch_row, wait_until_zero
from engage.clock import MachineClock
from engage.domain.activity import FuelTap
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.scheduled.settle import settle_due
from engage.programs import preset
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services

MAX_BYTES: Final = 500.0
# As long as an id of the shop is: 36 characters with the number.
PREFIX: Final = "sized-01234567-0123-0123-0123-"
BATCH: Final = 256
REACT_S: Final = 120.0
LARGEST: Final = 6

_LEFT = text("SELECT EXISTS (SELECT FROM outbox) OR EXISTS (SELECT FROM member_changes)")
_COUNT = text("""
SELECT count(*), count(*) FILTER (WHERE state = 'active') FROM credits WHERE starts_with(member_id, :prefix)
""")
_SIZES = text("""
SELECT c.relname, pg_total_relation_size(c.oid) AS whole, pg_indexes_size(c.oid) AS indexes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname = 'public'
""")


class TableSize(Struct, frozen=True):
    """Bytes of a table with everything, and of its indexes alone."""

    whole: int
    indexes: int


class Stored(Struct, frozen=True):
    """The credits at one time, and the sizes of all tables."""

    credits: int
    tables: Mapping[str, TableSize]


async def run(env: Environment) -> list[Figure]:
    """Let members tap day after day. What the first day takes is not counted: it has what a member takes."""
    async with open_services(env.settings) as services:
        await add_members(services.db, preset(PRESET), PREFIX, env.sizes.sized, now=services.clock.now())
    await _live_a_day(env, 0)
    first = await _stored(env)
    for day in range(1, env.sizes.days):
        env.report(f"size: day {day} of {env.sizes.days - 1}")
        await _live_a_day(env, day)
    last = await _stored(env)
    return _figures(env, first, last)


async def _live_a_day(env: Environment, day: int) -> None:
    """Record a tap of each member, and activate its points, some days from now."""
    async with open_services(env.settings, MachineClock(timedelta(days=day))) as services:
        await services.programs.refresh(services.db)
        for first in range(0, env.sizes.sized, BATCH):
            await _tap(services, range(first, min(first + BATCH, env.sizes.sized)))
    async with open_services(env.settings, MachineClock(timedelta(days=day, hours=1))) as services:
        await settle_due(services, now=services.clock.now())
        await _vacuum(services)


async def _tap(services: Services, numbers: range) -> None:
    now = services.clock.now()
    answers = await record(
        services, [MemberActivity(PROGRAM, member_id(PREFIX, n), FuelTap(), now) for n in numbers]
    )
    for answer in answers:
        if isinstance(answer, Exception):
            raise BenchmarkFailed(f"a tap was not recorded: {answer}")


async def _vacuum(services: Services) -> None:
    """Free what was replaced, as autovacuum does in the course of a day, so that the next day uses it."""
    async with services.db.connect() as conn:
        outside = await conn.execution_options(isolation_level="AUTOCOMMIT")
        await outside.execute(text("VACUUM ANALYZE"))


async def _stored(env: Environment) -> Stored:
    """Measure when nothing is left to do."""
    async with processes.running(processes.worker(env)), open_services(env.settings) as services:
        await wait_until_zero(services.db, _LEFT, limit_s=REACT_S)
        await _vacuum(services)
        credits, active = await fetch_row(services.db, _COUNT, prefix=PREFIX)
        if credits != active:
            raise BenchmarkFailed(f"{credits - active} of {credits} credits are not settled")
        async with transaction(services.db) as conn:
            rows = await conn.execute(_SIZES)
            return Stored(credits, {name: TableSize(whole, indexes) for name, whole, indexes in rows})


def _figures(env: Environment, first: Stored, last: Stored) -> list[Figure]:
    credits = last.credits - first.credits
    grown = {
        name: (
            (size.whole - first.tables[name].whole) / credits,
            (size.indexes - first.tables[name].indexes) / credits,
        )
        for name, size in last.tables.items()
    }
    largest = sorted(grown, key=lambda name: -grown[name][0])[:LARGEST]
    note = f"{env.sizes.sized:,} members, {env.sizes.days} days, {credits:,} credits"
    return [
        Figure(
            benchmark="size",
            what="bytes of a settled fuel credit, everything included",
            value=sum(whole for whole, _ in grown.values()),
            unit="bytes",
            at_most=MAX_BYTES,
            note=note,
        ),
        *(
            Figure(
                benchmark="size",
                what=f"of these in {name}",
                value=grown[name][0],
                unit="bytes",
                note=f"{grown[name][1]:.0f} in indexes",
            )
            for name in largest
            if grown[name][0] >= 1
        ),
    ]
