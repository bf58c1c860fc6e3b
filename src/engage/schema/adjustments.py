"""Corrections by operators, each once by its reference. `operator` is the id of their key."""

from sqlalchemy import BigInteger, PrimaryKeyConstraint, Table, Text

from engage.schema.columns import IDENTIFIER, INSTANT, check, member_key, metadata, required
from engage.schema.member_rows import Keep, Rewrite, digest, member_rows

adjustments = Table(
    "adjustments",
    metadata,
    *member_key(),
    required("reference", IDENTIFIER),
    required("points", BigInteger),
    required("reason", Text),
    required("operator", Text),
    required("at", INSTANT),
    required("entry_seq", BigInteger),
    PrimaryKeyConstraint("program_id", "member_id", "reference"),
    check("adjustments_points_check", "points <> 0"),
    info=member_rows(
        merge=Keep("An adjustment belongs to its entry; the survivor's references include these."),
        erase=Rewrite({"reason": "''", "reference": digest("reference")}),
    ),
)
