"""Definitions of operators, and members whose facts have changed."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

DEFINITIONS = """
CREATE TABLE definitions (
    program_id text COLLATE "C" NOT NULL,
    kind       text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    version    integer NOT NULL CHECK (version > 0),
    document   jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    operator   text NOT NULL,
    PRIMARY KEY (program_id, kind, id, version)
)
"""

MEMBER_CHANGES = """
CREATE TABLE member_changes (
    id         uuid PRIMARY KEY,
    at         timestamptz NOT NULL,
    program_id text COLLATE "C" NOT NULL,
    member_ids text[] NOT NULL,
    tries      smallint NOT NULL DEFAULT 0
)
"""


def upgrade() -> None:
    op.execute(DEFINITIONS)
    op.execute(MEMBER_CHANGES)
    op.execute("CREATE INDEX member_changes_at ON member_changes (at)")


def downgrade() -> None:
    op.execute("DROP TABLE member_changes")
    op.execute("DROP TABLE definitions")
