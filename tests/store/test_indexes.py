"""Indexes serve batches: a plan made for a small table stays fast when the table grows."""

from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import services_with_activities
from tests.support.database import rows

# The columns of each index that a query over a whole table may use, in order.
INDEXES = """
SELECT i.indrelid::regclass::text, x.relname::text,
       array(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place)
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
  AND NOT i.indisprimary AND i.indpred IS NULL
"""


async def test_indexes_begin_with_the_program_only_before_the_member(settings: Settings) -> None:
    """In a small table the planner may choose an index that begins with the program instead of the primary
    key. In a large one, each lookup of a batch would then read all rows of the program.
    """
    services: Services
    async with services_with_activities(settings) as services:
        indexes = await rows(services.db, INDEXES)
    assert indexes
    wrong = [
        index
        for _, index, columns in indexes
        if isinstance(columns, list) and columns[0] == "program_id" and columns[1:2] != ["member_id"]
    ]
    assert wrong == []
