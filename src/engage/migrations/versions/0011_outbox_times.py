"""Name the time of a row of the outbox so that the releases before 0004 are kept out.

Their processes compare no versions, and go on over newer tables. Every statement of theirs that changes a
balance names this column, so from now on it fails as a whole, and changes nothing.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

CONSTRAINT = "ALTER TABLE outbox RENAME CONSTRAINT"


def upgrade() -> None:
    op.alter_column("outbox", "created_at", new_column_name="written_at")
    op.execute(f"{CONSTRAINT} outbox_created_at_not_null TO outbox_written_at_not_null")


def downgrade() -> None:
    op.alter_column("outbox", "written_at", new_column_name="created_at")
    op.execute(f"{CONSTRAINT} outbox_written_at_not_null TO outbox_created_at_not_null")
