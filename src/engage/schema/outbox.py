"""Balance changes that may not have been published yet.

A row is written with its change and deleted after publishing. The newest balance is what is published, so
publishing twice does no harm.
"""

from sqlalchemy import ARRAY, PrimaryKeyConstraint, Table, Text, Uuid

from engage.schema.columns import INSTANT, metadata, required

outbox = Table(
    "outbox",
    metadata,
    required("id", Uuid),
    required("written_at", INSTANT),
    required("cause", Text),
    required("program_ids", ARRAY(Text)),
    required("member_ids", ARRAY(Text)),
    PrimaryKeyConstraint("id"),
)
