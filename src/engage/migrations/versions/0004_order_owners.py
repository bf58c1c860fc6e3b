"""The member whom each paid order belongs to, and the content of each event."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Owners are found by the order alone, so that one order is paid by one member.
TABLE = """
CREATE TABLE order_owners (
    program_id      text COLLATE "C" NOT NULL,
    order_id        text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    PRIMARY KEY (program_id, order_id)
)
"""

# One order may have been paid by several members: the first keeps it, and the audit names the
# others.
OWNERS = """
INSERT INTO order_owners (program_id, order_id, member_id)
SELECT DISTINCT ON (program_id, order_id) program_id, order_id, member_id
FROM orders WHERE paid IS NOT NULL
ORDER BY program_id, order_id, paid_at, member_id
"""

CONTENT = "ALTER TABLE shop_events ADD COLUMN content bytea"


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(OWNERS)
    op.execute(CONTENT)


def downgrade() -> None:
    op.execute("ALTER TABLE shop_events DROP COLUMN content")
    op.execute("DROP TABLE order_owners")
