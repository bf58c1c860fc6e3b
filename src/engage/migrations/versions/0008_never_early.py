"""No credit is active from before it was accepted: the database sees to it."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Machines whose clocks differed wrote such rows: a credit was accepted no later than it became active.
    op.execute("UPDATE credits SET accepted_at = active_at WHERE active_at < accepted_at")
    op.execute("ALTER TABLE credits DROP CONSTRAINT IF EXISTS credits_check4")
    op.execute("ALTER TABLE credits ADD CONSTRAINT credits_check4 CHECK (active_at >= accepted_at)")


def downgrade() -> None:
    op.execute("ALTER TABLE credits DROP CONSTRAINT credits_check4")
