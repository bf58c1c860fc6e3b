"""Corrections of points that operators asked for in the console, and who decided about them."""

from sqlalchemy import BigInteger, Index, PrimaryKeyConstraint, Table, Text, Uuid, text

from engage.schema.columns import INSTANT, check, member_key, metadata, one_of, optional, required
from engage.schema.member_rows import Delete, Move, member_rows

# `requested_by` and `decided_by` are ids of operators: one id is one pair of eyes. Their names are for
# readers. The reference of the adjustment is the id.
corrections = Table(
    "corrections",
    metadata,
    required("id", Uuid),
    *member_key(),
    required("points", BigInteger),
    required("reason", Text),
    required("state", Text),
    required("requested_by", Text),
    required("requested_by_name", Text),
    required("requested_at", INSTANT),
    optional("decided_by", Text),
    optional("decided_by_name", Text),
    optional("decided_at", INSTANT),
    optional("note", Text),
    PrimaryKeyConstraint("id"),
    one_of("corrections_state_check", "state", "requested", "made", "rejected"),
    check("corrections_points_check", "points <> 0"),
    check(
        "corrections_four_eyes_check", "state <> 'made' OR decided_by IS NULL OR decided_by <> requested_by"
    ),
    Index("corrections_of_member", "member_id", "program_id"),
    Index("corrections_requested", "id", postgresql_where=text("state = 'requested'")),
    # The adjustment stays with the ledger, and the audit log has the deeds.
    info=member_rows(merge=Move(), erase=Delete()),
)
