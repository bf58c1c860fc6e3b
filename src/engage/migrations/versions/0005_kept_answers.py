"""Keep an answer with its action: there are no rows of requests that are still being answered."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM idempotency_keys WHERE status IS NULL")
    for column in ("status", "headers", "body"):
        op.alter_column("idempotency_keys", column, nullable=False)


def downgrade() -> None:
    for column in ("status", "headers", "body"):
        op.alter_column("idempotency_keys", column, nullable=True)
