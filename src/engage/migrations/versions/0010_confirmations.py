"""Credits that wait for the shop's confirmation of their activity, and lapse without it."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

CONFIRMATIONS = """
CREATE TABLE confirmations (
    program_id   text COLLATE "C" NOT NULL,
    member_id    text COLLATE "C" NOT NULL,
    reference    text COLLATE "C" NOT NULL,
    confirmed_at timestamptz,
    PRIMARY KEY (program_id, member_id, reference)
)
"""

INDEXES = (
    """
    CREATE INDEX credits_lapse ON credits (lapses_at)
    WHERE state = 'pending' AND due_at IS NULL AND lapses_at IS NOT NULL
    """,
    """
    CREATE INDEX credits_waiting ON credits (program_id, member_id, lapses_at)
    WHERE state = 'pending' AND due_at IS NULL AND lapses_at IS NOT NULL
    """,
)


def upgrade() -> None:
    op.execute(CONFIRMATIONS)
    op.execute("ALTER TABLE credits ADD COLUMN lapses_at timestamptz")
    for index in INDEXES:
        op.execute(index)


def downgrade() -> None:
    op.execute("ALTER TABLE credits DROP COLUMN lapses_at")
    op.execute("DROP TABLE confirmations")
