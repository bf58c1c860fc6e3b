"""Numbers that were known before they had ages keep those that can be told from the rows."""

from alembic import command
from sqlalchemy import text

from engage.runtime.database import open_database
from engage.settings import Settings
from tests.support.database import rows
from tests.support.migrations import move

MEMBERS = """
INSERT INTO members (program_id, member_id, country, kind, joined_at, phone, phone_changed_at, closed_at)
VALUES ('p', 'joined-with', 'BF', 'person', '2026-01-01Z', '+22670000001', NULL, NULL),
       ('p', 'changed', 'BF', 'person', '2026-01-01Z', '+22670000002', '2026-02-01Z', NULL),
       ('p', 'without', 'BF', 'person', '2026-01-01Z', NULL, NULL, NULL),
       ('p', 'former', 'BF', 'person', '2026-01-01Z', NULL, NULL, '2026-03-01Z')
"""

# Each to a number and at a day of May 2026.
WITHDRAWALS = """
INSERT INTO withdrawals (program_id, member_id, id, hold_id, state, method, points, amount_minor, currency,
                         phone, requested_at)
SELECT 'p', member_id, gen_random_uuid(), gen_random_uuid(), 'settled', method, 1, 1, 'XOF', phone,
       CAST('2026-05-01Z' AS timestamptz) + days * interval '1 day'
FROM (VALUES ('changed', 'mobile_money', '+22670000002', 1), ('changed', 'mobile_money', '+22670000009', 2),
             ('changed', 'mobile_money', '+22670000009', 3), ('without', 'cash', '+22670000008', 4),
             ('former', 'mobile_money', '+22670000007', 5)) v (member_id, method, phone, days)
"""


async def test_numbers_of_before_get_their_ages(own_database: Settings) -> None:
    db = open_database(own_database.database_url, pool_size=1)
    try:
        await move(db, command.downgrade, "0005")
        async with db.begin() as conn:
            await conn.execute(text(MEMBERS))
            await conn.execute(text(WITHDRAWALS))
        await move(db, command.upgrade, "head")
        ages = await rows(
            db, "SELECT member_id, phone, CAST(since AS date)::text FROM payee_numbers ORDER BY 1, 2"
        )
        assert ages == [
            ("changed", "+22670000002", "2026-02-01"),
            ("changed", "+22670000009", "2026-05-03"),
            ("joined-with", "+22670000001", None),
        ]
    finally:
        await db.dispose()
