"""The statements of challenges go through indexes, member by member, however small the tables are."""

from datetime import timedelta

import pytest
from redis.asyncio import Redis
from sqlalchemy import TextClause, text

from engage.settings import Settings
from engage.store.challenges import facts, paid
from tests.support.challenges import services_with_challenges
from tests.support.clock import NOON
from tests.support.orders import PROGRAM

MEMBERS = [(PROGRAM, f"m-{n}", NOON - timedelta(days=30)) for n in range(200)]

_MANY = text("""
INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                     activity_at, accepted_at, due_at, why)
SELECT 'corner-shop', 'm-' || n % 1000, uuidv7(), 'k-' || n, 'fuel', '1', 2, 'pending', :at, :at, :at, '{}'
FROM generate_series(1, 20000) n
""")


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        (facts._READ, {"balances", "stored_credits", "orders", "members"}),
        (paid._CREDITS, {"balances", "stored_credits"}),
        (paid._GIFTS, {"challenge_gifts"}),
    ],
)
async def test_they_scan_no_table(
    own_database: Settings, valkey: Redis, statement: TextClause, tables: set[str]
) -> None:
    """A database of its own: what autovacuum finds in the tables of other tests changes plans."""
    values = facts._MEMBERS.of(MEMBERS) | {"activities": ["fuel_tap", "order"], "points": True}
    wanted = {name: value for name, value in values.items() if f":{name}" in statement.text}
    async with services_with_challenges(own_database) as services, services.db.begin() as conn:
        await conn.execute(_MANY, {"at": NOON})
        await conn.execute(text("ANALYZE stored_credits, balances"))
        plan = "\n".join((await conn.execute(text(f"EXPLAIN {statement.text}"), wanted)).scalars())
        assert not any(f"Seq Scan on {table} " in plan for table in tables), plan
        assert all(f" on {table} " in plan for table in tables), plan
