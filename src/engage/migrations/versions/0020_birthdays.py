"""Birthdays: the next one of each member."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

DUE = """
CREATE INDEX members_birthday ON members (birthday_at) WHERE birthday_at IS NOT NULL AND closed_at IS NULL
"""

UNKNOWN = """
CREATE INDEX members_without_birthday ON members (program_id)
WHERE birth_date IS NOT NULL AND birthday_at IS NULL AND closed_at IS NULL
"""


def upgrade() -> None:
    op.execute("ALTER TABLE members ADD COLUMN birthday_at timestamptz")
    op.execute(DUE)
    op.execute(UNKNOWN)


def downgrade() -> None:
    op.execute("ALTER TABLE members DROP COLUMN birthday_at")
