"""Coupons name the campaign at whose price they were redeemed."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE coupons ADD COLUMN campaign text")


def downgrade() -> None:
    op.execute("ALTER TABLE coupons DROP COLUMN campaign")
