"""Published versions of programs. They are added and never changed."""

from sqlalchemy import Date, PrimaryKeyConstraint, Table, Text

from engage.schema.columns import IDENTIFIER, INSTANT, metadata, required
from engage.schema.triggers import append_only

program_versions = Table(
    "program_versions",
    metadata,
    required("program_id", IDENTIFIER),
    required("version", IDENTIFIER),
    required("in_force_from", Date),
    required("document", Text),
    required("published_at", INSTANT),
    PrimaryKeyConstraint("program_id", "version"),
)
append_only(program_versions)
