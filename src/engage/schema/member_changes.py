"""Members whose facts have changed, for what follows from them: challenges, tiers and the like.

A row is written with the change and deleted when all reactions are done.
"""

from sqlalchemy import ARRAY, Index, PrimaryKeyConstraint, Table, Text, Uuid

from engage.schema.columns import IDENTIFIER, INSTANT, metadata, required

member_changes = Table(
    "member_changes",
    metadata,
    required("id", Uuid),
    required("at", INSTANT),
    required("program_id", IDENTIFIER),
    required("member_ids", ARRAY(Text)),
    PrimaryKeyConstraint("id"),
    Index("member_changes_at", "at"),
)
