"""Members whose facts have changed, for what follows from them: challenges, tiers and the like.

A row is written with the change and deleted when all reactions are done. `at` is the time to take it: that of
the change, or later after `tries` that failed.
"""

from sqlalchemy import ARRAY, Index, PrimaryKeyConstraint, SmallInteger, Table, Text, Uuid

from engage.schema.columns import IDENTIFIER, INSTANT, metadata, required

member_changes = Table(
    "member_changes",
    metadata,
    required("id", Uuid),
    required("at", INSTANT),
    required("program_id", IDENTIFIER),
    required("member_ids", ARRAY(Text)),
    required("tries", SmallInteger, "0"),
    PrimaryKeyConstraint("id"),
    Index("member_changes_at", "at"),
)
