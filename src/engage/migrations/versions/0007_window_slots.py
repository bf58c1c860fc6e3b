"""Slots of windows as columns of their credit, unique for a member, a rule and a window."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE credits
    ADD COLUMN IF NOT EXISTS of_day date,
    ADD COLUMN IF NOT EXISTS day_slot smallint,
    ADD COLUMN IF NOT EXISTS of_month date,
    ADD COLUMN IF NOT EXISTS month_slot smallint
"""

# A credit names its window and its slot in `why`. That its source key is made of them leaves out credits that
# go on under another key after a merger.
FILL = """
UPDATE credits c
SET of_day = CASE WHEN length(i.label) = 10 THEN CAST(i.label AS date) END,
    day_slot = CASE WHEN length(i.label) = 10 THEN CAST(i.slot AS smallint) END,
    of_month = CASE WHEN length(i.label) = 7 THEN CAST(i.label || '-01' AS date) END,
    month_slot = CASE WHEN length(i.label) = 7 THEN CAST(i.slot AS smallint) END
FROM (
    SELECT program_id, member_id, id, why -> 'inputs' ->> 'window' AS label,
           why -> 'inputs' ->> 'slot' AS slot
    FROM credits WHERE why -> 'inputs' -> 'window' IS NOT NULL AND of_day IS NULL AND of_month IS NULL
) i
WHERE c.program_id = i.program_id AND c.member_id = i.member_id AND c.id = i.id
  AND c.source_key = c.rule_id || ':' || i.label || ':' || i.slot
"""

# Until now an erasure kept keys that look like those of a day or a month. They may be products of the shop's.
# What is a day of a streak or a slot of a window says so in `why`; all others become digests, as every
# identifier of an erased member.
FORGET = """
WITH salt AS MATERIALIZED (SELECT CAST(gen_random_uuid() AS text) AS salt)
UPDATE credits SET source_key = rule_id || ':' || left(encode(sha256(convert_to(
    salt || substr(source_key, length(rule_id) + 1), 'UTF8')), 'hex'), 32)
FROM salt
WHERE why -> 'trace' -> 0 ->> 0 = 'erased' AND why -> 'inputs' -> 'day' IS NULL
  AND why -> 'inputs' -> 'window' IS NULL
  AND rule_id NOT IN ('transfer', 'opening_balance')
  AND source_key ~ '^[a-z][a-z0-9_]*:[0-9]{4}-[0-9]{2}(-[0-9]{2})?(:[0-9]{1,9})?$'
"""

CHECKS = """
ALTER TABLE credits
    ADD CONSTRAINT credits_day_check CHECK ((of_day IS NULL) = (day_slot IS NULL)),
    ADD CONSTRAINT credits_month_check CHECK ((of_month IS NULL) = (month_slot IS NULL))
"""

INDEXES = (
    """
    CREATE UNIQUE INDEX credits_day_slot ON credits (program_id, member_id, of_day, rule_id, day_slot)
    WHERE of_day IS NOT NULL
    """,
    """
    CREATE UNIQUE INDEX credits_month_slot ON credits (program_id, member_id, of_month, rule_id, month_slot)
    WHERE of_month IS NOT NULL
    """,
)


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(FILL)
    op.execute(FORGET)
    op.execute(CHECKS)
    for index in INDEXES:
        op.execute(index)


def downgrade() -> None:
    op.execute(
        "ALTER TABLE credits DROP COLUMN of_day, DROP COLUMN day_slot,"
        " DROP COLUMN of_month, DROP COLUMN month_slot"
    )
