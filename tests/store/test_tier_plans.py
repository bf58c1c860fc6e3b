"""Statements that read levels for taps go through indexes, member by member, however small the tables are."""

import pytest
from redis.asyncio import Redis
from sqlalchemy import TextClause, text

from engage.settings import Settings
from engage.store.campaigns import member_facts
from engage.store.segments import members as segment_members
from engage.store.segments.members import ListAt
from engage.store.shop import payments
from engage.store.shop.payments import PaidBefore
from engage.store.tiers import known_levels, movements
from tests.support.clock import NOON
from tests.support.tiers import PROGRAM, services_with_tiers

_MANY = text("""
INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                     activity_at, accepted_at, due_at, why)
SELECT 'club', 'm-' || n % 1000, uuidv7(), 'k-' || n, 'fuel', '1', 2, 'pending', :at, :at, :at, '{}'
FROM generate_series(1, 20000) n
""")


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        (
            member_facts._READ._statement,
            {"balances", "stored_credits", "orders", "members", "tiers", "segment_members"},
        ),
        (
            movements._READ._statement,
            {"balances", "stored_credits", "orders", "members", "reductions", "stored_entries"},
        ),
    ],
)
async def test_they_scan_no_table(
    own_database: Settings, valkey: Redis, statement: TextClause, tables: set[str]
) -> None:
    """A database of its own: what autovacuum finds in the tables of other tests changes plans."""
    members = [f"m-{n}" for n in range(200)]
    of_movements = {"program_ids": [PROGRAM] * len(members), "member_ids": members}
    values = (
        movements.parameters({"spend_minor", "points_earned"}, earned_from=NOON)
        | of_movements
        | known_levels.parameters([(PROGRAM, member) for member in members])
        | payments.parameters({PaidBefore(PROGRAM, NOON): members})
        | segment_members.parameters({ListAt(PROGRAM, "vip", NOON): members})
    )
    wanted = {name: value for name, value in values.items() if f":{name}" in statement.text}
    async with services_with_tiers(own_database) as services, services.db.begin() as conn:
        await conn.execute(_MANY, {"at": NOON})
        await conn.execute(text("ANALYZE stored_credits, balances"))
        plan = "\n".join((await conn.execute(text(f"EXPLAIN {statement.text}"), wanted)).scalars())
        assert not any(f"Seq Scan on {table} " in plan for table in tables), plan
        assert all(f" on {table} " in plan for table in tables), plan
