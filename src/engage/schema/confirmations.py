"""Confirmations: the shop's word about activities that wait for it."""

from sqlalchemy import PrimaryKeyConstraint, Table

from engage.schema.columns import IDENTIFIER, INSTANT, member_key, metadata, optional, required
from engage.schema.member_rows import Delete, Statement, member_rows

# A row is where an activity and its confirmation meet: both write it, whichever comes first. `confirmed_at`
# is null while only the activity has come.
confirmations = Table(
    "confirmations",
    metadata,
    *member_key(),
    required("reference", IDENTIFIER),
    optional("confirmed_at", INSTANT),
    PrimaryKeyConstraint("program_id", "member_id", "reference"),
    info=member_rows(
        merge=Statement("""
            WITH moved AS (
                DELETE FROM confirmations WHERE program_id = :program_id AND member_id = :member_id
                RETURNING reference, confirmed_at
            )
            INSERT INTO confirmations AS c (program_id, member_id, reference, confirmed_at)
            SELECT :program_id, :into, reference, confirmed_at FROM moved
            ON CONFLICT (program_id, member_id, reference)
                DO UPDATE SET confirmed_at = least(c.confirmed_at, excluded.confirmed_at)
        """),
        erase=Delete(),
    ),
)
