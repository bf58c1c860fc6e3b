"""Segments, their versions and their members."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

SEGMENTS = """
CREATE TABLE segments (
    program_id text COLLATE "C" NOT NULL,
    segment_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (program_id, segment_id)
)
"""

VERSIONS = """
CREATE TABLE segment_versions (
    program_id text COLLATE "C" NOT NULL,
    segment_id text COLLATE "C" NOT NULL,
    version    integer NOT NULL CONSTRAINT segment_versions_version_check CHECK (version > 0),
    since      timestamptz NOT NULL,
    title      jsonb,
    computed   jsonb,
    changed_at timestamptz NOT NULL,
    operator   text NOT NULL,
    PRIMARY KEY (program_id, segment_id, version),
    CONSTRAINT segment_versions_since_check CHECK (since > changed_at)
)
"""

MEMBERS = """
CREATE TABLE segment_members (
    program_id text COLLATE "C" NOT NULL,
    member_id  text COLLATE "C" NOT NULL,
    segment_id text COLLATE "C" NOT NULL,
    since      timestamptz NOT NULL,
    until      timestamptz,
    PRIMARY KEY (program_id, member_id, segment_id, since) INCLUDE (until),
    CONSTRAINT segment_members_check CHECK (until > since)
)
"""

LISTED = """
CREATE UNIQUE INDEX segment_members_listed ON segment_members (program_id, segment_id, member_id)
WHERE until IS NULL
"""


def upgrade() -> None:
    for statement in (SEGMENTS, VERSIONS, MEMBERS, LISTED):
        op.execute(statement)


def downgrade() -> None:
    for table in ("segment_members", "segment_versions", "segments"):
        op.execute(f"DROP TABLE {table}")
