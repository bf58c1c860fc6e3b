"""Decisions ask for many members and lists at once, and only an index is read."""

from redis.asyncio import Redis
from sqlalchemy import text

from engage.runtime.database import one_statement, transaction
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.segments import members
from engage.store.segments.members import ListAt, read_stays
from tests.support.activities import PROGRAM, services_with_activities
from tests.support.clock import DAY, NOON

# Forty lists of 500 members each; every day one of them was replaced by its other half.
_MANY = text("""
INSERT INTO segment_members (program_id, member_id, segment_id, since, until)
SELECT 'playground', 'm-' || n, 's-' || s, CAST(:at AS timestamptz) + d * interval '1 day',
       CASE WHEN d < 9 THEN CAST(:at AS timestamptz) + (d + 1) * interval '1 day' END
FROM generate_series(1, 1000) n, generate_series(1, 40) s, generate_series(0, 9) d WHERE (n + d) % 2 = 0
""")


def list_at(segment: int, hours: int) -> ListAt:
    return ListAt(PROGRAM, f"s-{segment}", NOON + hours * DAY / 24)


async def _fill(services: Services) -> None:
    async with transaction(services.db) as conn:
        await conn.execute(_MANY, {"at": NOON})


async def test_many_are_asked_for_in_one_statement(settings: Settings) -> None:
    async with services_with_activities(settings) as services:
        await _fill(services)
        asked = {
            list_at(s, hours): {f"m-{n}" for n in (1, 2, 3, 1_001)}
            for s in (1, 2, 41)
            for hours in (-1, 0, 23, 24, 25, 30 * 24)
        }
        async with one_statement(services.db) as conn:
            found = await read_stays(conn, asked)
        async with transaction(services.db) as conn:
            assert await read_stays(conn, asked) == found
    expected: dict[ListAt, set[str]] = {each: set() for each in asked}
    for n, s in ((n, s) for n in (1, 2, 3) for s in (1, 2)):
        for hours, day in ((0, 0), (23, 0), (24, 1), (25, 1), (30 * 24, 9)):
            if (n + day) % 2 == 0:
                expected[list_at(s, hours)].add(f"m-{n}")
    assert found == expected


async def test_only_the_index_is_read(own_database: Settings, valkey: Redis) -> None:
    """A database of its own: what autovacuum finds in the tables of other tests changes plans."""
    values = members.parameters({list_at(1, 0): [f"m-{n}" for n in range(100)]})
    statement = text(f"EXPLAIN {members._READ._statement.text}")
    async with services_with_activities(own_database) as services:
        async with services.db.begin() as conn:
            small = "\n".join((await conn.execute(statement, values)).scalars())
        await _fill(services)
        async with services.db.execution_options(isolation_level="AUTOCOMMIT").connect() as vacuuming:
            await vacuuming.execute(text("VACUUM ANALYZE segment_members"))
        async with services.db.begin() as conn:
            large = "\n".join((await conn.execute(statement, values)).scalars())
    assert "Index Only Scan Backward using segment_members_pkey" in small, small
    assert "Index Only Scan Backward using segment_members_pkey" in large, large
    assert "Seq Scan" not in small + large
