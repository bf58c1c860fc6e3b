"""The prizes of a campaign's draw are taken from its budget when the draw begins, and withheld from winners
who may get no more of it.
"""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

UNPAID = """
CREATE INDEX draw_entries_unpaid ON draw_entries (prize_at) WHERE prize_at IS NOT NULL AND paid_at IS NULL
"""


def upgrade() -> None:
    op.execute("ALTER TABLE draws ADD COLUMN reserved boolean NOT NULL DEFAULT false")
    op.execute(
        "ALTER TABLE draw_entries ADD COLUMN withheld boolean NOT NULL DEFAULT false,"
        " ADD CONSTRAINT draw_entries_withheld_check CHECK (NOT withheld OR paid_at IS NULL)"
    )
    op.execute("DROP INDEX draw_entries_unpaid")
    op.execute(f"{UNPAID} AND NOT withheld")


def downgrade() -> None:
    op.execute("DROP INDEX draw_entries_unpaid")
    op.execute("ALTER TABLE draw_entries DROP COLUMN withheld")
    op.execute(UNPAID)
    op.execute("ALTER TABLE draws DROP COLUMN reserved")
