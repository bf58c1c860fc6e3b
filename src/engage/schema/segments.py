"""Segments, their versions, and who was in the lists when."""

from sqlalchemy import Index, Integer, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from engage.schema.columns import IDENTIFIER, INSTANT, check, member_key, metadata, optional, required
from engage.schema.member_rows import Delete, Statement, member_rows

# Whoever writes a list adds a row here, or tries to. So a merger or an erasure waits for lists under way, and
# new lists for it: none names a member by an account that is being closed.
_NO_LIST_IS_WRITTEN = Statement("LOCK TABLE segments IN SHARE MODE")

segments = Table(
    "segments",
    metadata,
    required("program_id", IDENTIFIER),
    required("segment_id", IDENTIFIER),
    PrimaryKeyConstraint("program_id", "segment_id"),
    info=member_rows(merge=_NO_LIST_IS_WRITTEN, erase=_NO_LIST_IS_WRITTEN),
)

# A version is added and never changed. It is in force `since` an instant after its commit, until the next one
# is. Without `computed` it is a list.
segment_versions = Table(
    "segment_versions",
    metadata,
    required("program_id", IDENTIFIER),
    required("segment_id", IDENTIFIER),
    required("version", Integer),
    required("since", INSTANT),
    optional("title", JSONB(none_as_null=True)),
    optional("computed", JSONB(none_as_null=True)),
    required("changed_at", INSTANT),
    required("operator", Text),
    PrimaryKeyConstraint("program_id", "segment_id", "version"),
    check("segment_versions_version_check", "version > 0"),
    check("segment_versions_since_check", "since > changed_at"),
)

# The survivor was in a segment whenever one of the two was.
_MERGE = """
WITH joined AS (
    DELETE FROM segment_members
    WHERE program_id = :program_id AND member_id IN (:member_id, :into)
      AND segment_id IN (
          SELECT segment_id FROM segment_members WHERE program_id = :program_id AND member_id = :member_id
      )
    RETURNING segment_id, since, until
)
INSERT INTO segment_members (program_id, member_id, segment_id, since, until)
SELECT :program_id, :into, segment_id, lower(during), upper(during)
FROM (
    SELECT segment_id, unnest(range_agg(tstzrange(since, until))) AS during FROM joined GROUP BY segment_id
) u
"""

# A stay in a list: from one version of its segment, until a later one.
segment_members = Table(
    "segment_members",
    metadata,
    *member_key(),
    required("segment_id", IDENTIFIER),
    required("since", INSTANT),
    optional("until", INSTANT),
    PrimaryKeyConstraint("program_id", "member_id", "segment_id", "since", postgresql_include=["until"]),
    check("segment_members_check", "until > since"),
    Index(
        "segment_members_listed",
        *("program_id", "segment_id", "member_id"),
        unique=True,
        postgresql_where=text("until IS NULL"),
    ),
    info=member_rows(merge=Statement(_MERGE), erase=Delete()),
)
