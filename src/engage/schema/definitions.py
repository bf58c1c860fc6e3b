"""Definitions that operators added to a program. A version is added and never changed."""

from sqlalchemy import Integer, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from engage.schema.columns import IDENTIFIER, INSTANT, check, metadata, required
from engage.schema.triggers import append_only

definitions = Table(
    "definitions",
    metadata,
    required("program_id", IDENTIFIER),
    required("kind", IDENTIFIER),
    required("id", IDENTIFIER),
    required("version", Integer),
    required("document", JSONB),
    required("created_at", INSTANT),
    required("operator", Text),
    PrimaryKeyConstraint("program_id", "kind", "id", "version"),
    check("definitions_version_check", "version > 0"),
)
append_only(definitions)
