"""Events of streaks are counted, so that none is decided without the one before it."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

SEQS = """
CREATE UNIQUE INDEX credits_streak_seq ON credits (program_id, member_id, rule_id, streak_seq)
WHERE streak_seq IS NOT NULL
"""


def upgrade() -> None:
    op.execute("ALTER TABLE credits ADD COLUMN streak_seq integer")
    op.execute(SEQS)
    _change_purposes("'checkout', 'redemption', 'withdrawal', 'freeze'")


def downgrade() -> None:
    _change_purposes("'checkout', 'redemption', 'withdrawal'")
    op.execute("ALTER TABLE credits DROP COLUMN streak_seq")


def _change_purposes(purposes: str) -> None:
    op.execute("ALTER TABLE holds DROP CONSTRAINT holds_purpose_check")
    op.execute(f"ALTER TABLE holds ADD CONSTRAINT holds_purpose_check CHECK (purpose IN ({purposes}))")
