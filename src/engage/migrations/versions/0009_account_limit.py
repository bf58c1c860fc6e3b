"""The most points that an account can have."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

LIMIT = """
ALTER TABLE balances ADD CONSTRAINT balances_limit_check
CHECK (active + pending + held <= 1000000000000000) NOT VALID
"""

# An account with more stays as it is, and gets no more.
VALIDATE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM balances WHERE active + pending + held > 1000000000000000) THEN
        ALTER TABLE balances VALIDATE CONSTRAINT balances_limit_check;
    END IF;
END $$
"""


def upgrade() -> None:
    op.execute(LIMIT)
    op.execute(VALIDATE)


def downgrade() -> None:
    op.execute("ALTER TABLE balances DROP CONSTRAINT balances_limit_check")
