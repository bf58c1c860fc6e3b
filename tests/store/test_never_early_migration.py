"""Credits that machines with different clocks activated before they were accepted are mended once."""

from alembic import command
from sqlalchemy import text

from engage.runtime.database import open_database
from engage.runtime.ids import new_id
from engage.settings import Settings
from tests.support.database import rows
from tests.support.migrations import move

ADD = text(
    "INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,"
    " activity_at, accepted_at, due_at, active_at, why) VALUES ('p', 'm', :id, :key, 'r', '1', 5, 'active',"
    " '2026-11-21Z', CAST('2026-11-21Z' AS timestamptz) + CAST(CAST(:late AS text) AS interval),"
    " '2026-11-20Z', '2026-11-21Z', '{}')"
)
FOUND = "SELECT source_key, accepted_at = '2026-11-21Z' FROM credits ORDER BY 1"


async def test_a_credit_is_accepted_no_later_than_it_became_active(own_database: Settings) -> None:
    db = open_database(own_database.database_url, pool_size=1, any_schema=True)
    try:
        await move(db, command.downgrade, "0007")
        async with db.begin() as conn:
            for key, late in (("early", "3 ms"), ("right", "0")):
                await conn.execute(ADD, {"id": new_id(), "key": key, "late": late})
        await move(db, command.upgrade, "0008")
        assert await rows(db, FOUND) == [("early", True), ("right", True)]
    finally:
        await db.dispose()
