"""Corrections of points that wait for a second operator."""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

CORRECTIONS = """
CREATE TABLE corrections (
    id                uuid NOT NULL PRIMARY KEY,
    program_id        text COLLATE "C" NOT NULL,
    member_id         text COLLATE "C" NOT NULL,
    points            bigint NOT NULL,
    reason            text NOT NULL,
    state             text NOT NULL,
    requested_by      text NOT NULL,
    requested_by_name text NOT NULL,
    requested_at      timestamptz NOT NULL,
    decided_by        text,
    decided_by_name   text,
    decided_at        timestamptz,
    note              text,
    CONSTRAINT corrections_state_check CHECK (state IN ('requested', 'made', 'rejected')),
    CONSTRAINT corrections_points_check CHECK (points <> 0),
    CONSTRAINT corrections_four_eyes_check
        CHECK (state <> 'made' OR decided_by IS NULL OR decided_by <> requested_by)
)
"""

INDEXES = (
    "CREATE INDEX corrections_of_member ON corrections (member_id, program_id)",
    "CREATE INDEX corrections_requested ON corrections (id) WHERE state = 'requested'",
)


def upgrade() -> None:
    for statement in (CORRECTIONS, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE corrections")
