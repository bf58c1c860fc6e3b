"""Stored levels say by which group and zone they were counted. Those of before are counted anew, in time."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE tiers ADD COLUMN counted_by text")


def downgrade() -> None:
    op.execute("ALTER TABLE tiers DROP COLUMN counted_by")
