"""Lots, which are columns of their credits, and which of them an entry moved."""

from sqlalchemy import BigInteger, PrimaryKeyConstraint, Table, Uuid

from engage.schema.columns import INSTANT, member_key, metadata, optional, required
from engage.schema.member_rows import Keep, member_rows
from engage.schema.views import view

_ANONYMOUS = Keep("Amounts and times are not personal.")

# The lots of credits (`stored_credits`), as they are read.
lots = view(
    "lots",
    """
    SELECT b.program_id, b.member_id, c.id AS credit_id, c.lot_seq AS entry_seq,
           coalesce(c.lot_points, c.points) AS points, c.remaining, c.active_at,
           coalesce(c.lot_ends_at, c.expires_at) AS expires_at, coalesce(c.expired, 0) AS expired, c.account
    FROM stored_credits c LEFT JOIN balances b ON b.account = c.account
    WHERE c.remaining IS NOT NULL
    """,
    *member_key(),
    required("credit_id", Uuid),
    required("entry_seq", BigInteger),
    required("points", BigInteger),
    required("remaining", BigInteger),
    required("active_at", INSTANT),
    optional("expires_at", INSTANT),
    required("expired", BigInteger),
    required("account", BigInteger),
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
