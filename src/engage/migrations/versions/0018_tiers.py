"""Units and boosts of credits, boosts of orders, and what reactions store of members' levels."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

CREDITS = """
ALTER TABLE credits
    ADD COLUMN unit   text NOT NULL DEFAULT 'points',
    ADD COLUMN boost  text,
    ADD COLUMN beside text,
    ADD CONSTRAINT credits_unit_check CHECK (unit IN ('points', 'status')),
    ADD CONSTRAINT credits_status_check CHECK (unit = 'points' OR (taken_back = 0 AND beside IS NULL)),
    ADD CONSTRAINT credits_boost_check CHECK ((boost IS NULL) = (beside IS NULL))
"""

# A boosted credit has the rule and the reference of its base.
REFERENCES = """
CREATE UNIQUE INDEX credits_reference
ON credits (program_id, member_id, reference, rule_id, beside) NULLS NOT DISTINCT
WHERE reference IS NOT NULL
"""
REFERENCES_BEFORE = """
CREATE UNIQUE INDEX credits_reference ON credits (program_id, member_id, reference, rule_id)
WHERE reference IS NOT NULL
"""

STATUS_DUE = """
CREATE INDEX credits_status_due ON credits (due_at) WHERE state = 'pending' AND unit = 'status'
"""

TIERS = """
CREATE TABLE tiers (
    program_id  text COLLATE "C" NOT NULL,
    member_id   text COLLATE "C" NOT NULL,
    group_id    text NOT NULL,
    level       text,
    since       timestamptz,
    value       bigint NOT NULL,
    keeps_until timestamptz,
    PRIMARY KEY (program_id, member_id, group_id)
)
"""
LEVEL_CHANGES = """
CREATE TABLE level_changes (
    program_id text COLLATE "C" NOT NULL,
    member_id  text COLLATE "C" NOT NULL,
    group_id   text NOT NULL,
    number     integer NOT NULL CHECK (number > 0),
    at         timestamptz NOT NULL,
    before     text,
    level      text,
    cause      jsonb NOT NULL,
    PRIMARY KEY (program_id, member_id, group_id, number),
    CONSTRAINT level_changes_check CHECK (before IS DISTINCT FROM level)
)
"""


def upgrade() -> None:
    op.execute(CREDITS)
    op.execute("DROP INDEX credits_reference")
    op.execute(REFERENCES)
    op.execute(STATUS_DUE)
    op.execute("ALTER TABLE orders ADD COLUMN boosts jsonb")
    op.execute(TIERS)
    op.execute("CREATE INDEX tiers_kept_until ON tiers (keeps_until) WHERE keeps_until IS NOT NULL")
    op.execute(LEVEL_CHANGES)


def downgrade() -> None:
    op.execute("DROP TABLE level_changes")
    op.execute("DROP TABLE tiers")
    op.execute("ALTER TABLE orders DROP COLUMN boosts")
    # An earlier release knows neither, and would pay them like points of their rule.
    op.execute("DELETE FROM credits WHERE unit = 'status'")
    op.execute("DROP INDEX credits_status_due")
    op.execute("DROP INDEX credits_reference")
    op.execute("UPDATE credits SET reference = NULL WHERE beside IS NOT NULL")
    op.execute(REFERENCES_BEFORE)
    op.execute("ALTER TABLE credits DROP COLUMN unit, DROP COLUMN boost, DROP COLUMN beside")
