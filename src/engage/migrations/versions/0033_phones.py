"""Members are found by their phone numbers."""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX members_phone ON members (phone, program_id) WHERE phone IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX members_phone")
