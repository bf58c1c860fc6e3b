"""Lots, and which of them an entry moved."""

from sqlalchemy import BigInteger, Index, PrimaryKeyConstraint, Table, Uuid, text

from engage.schema.columns import INSTANT, check, member_key, metadata, optional, required
from engage.schema.member_rows import Keep, member_rows
from engage.schema.views import view

_ANONYMOUS = Keep("Amounts and times are not personal.")

lots = Table(
    "lots",
    metadata,
    *member_key(),
    required("credit_id", Uuid),
    required("entry_seq", BigInteger),
    required("points", BigInteger),
    required("remaining", BigInteger),
    required("active_at", INSTANT),
    optional("expires_at", INSTANT),
    required("expired", BigInteger, "0"),
    PrimaryKeyConstraint("program_id", "member_id", "credit_id"),
    check("lots_points_check", "points > 0"),
    check("lots_check", "remaining BETWEEN 0 AND points"),
    check("lots_expired_check", "expired BETWEEN 0 AND points - remaining"),
    Index("lots_expiring", "expires_at", postgresql_where=text("remaining > 0")),
    postgresql_with={"fillfactor": 90},
    info=member_rows(
        merge=Keep("Lots go on in the survivor's account by postings; these are empty."), erase=_ANONYMOUS
    ),
)

# An entry that names a credit and is no clawback moved the lot of that credit, and has no row here.
# `expires_at` is set where the entry gave the lot a new end: its end at a past instant is computed from this.
lot_moves = Table(
    "lot_moves",
    metadata,
    *member_key(),
    required("entry_seq", BigInteger),
    required("credit_id", Uuid),
    required("at", INSTANT),
    required("active_delta", BigInteger, "0"),
    required("held_delta", BigInteger, "0"),
    optional("expires_at", INSTANT),
    PrimaryKeyConstraint("program_id", "member_id", "entry_seq", "credit_id"),
    info=member_rows(merge=Keep("Moves belong to their entries."), erase=_ANONYMOUS),
)

# Every movement of every lot.
view(
    "lot_movements",
    """
    SELECT program_id, member_id, credit_id, seq AS entry_seq, at, active_delta,
           CAST(0 AS bigint) AS held_delta
        FROM entries WHERE credit_id IS NOT NULL AND kind <> 'clawback'
    UNION ALL
    SELECT program_id, member_id, credit_id, entry_seq, at, active_delta, held_delta FROM lot_moves
    """,
)
