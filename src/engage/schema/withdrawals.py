"""Withdrawals: points taken out as money."""

from sqlalchemy import BigInteger, Index, Integer, PrimaryKeyConstraint, Table, Text, Uuid, text

from engage.schema.columns import INSTANT, check, member_key, metadata, one_of, optional, required
from engage.schema.member_rows import Move, Rewrite, member_rows

# The provider knows it by `id`, which is stored before the provider is called.
withdrawals = Table(
    "withdrawals",
    metadata,
    *member_key(),
    required("id", Uuid),
    required("hold_id", Uuid),
    required("state", Text),
    required("method", Text),
    required("points", BigInteger),
    required("amount_minor", BigInteger),
    required("currency", Text),
    optional("phone", Text),
    optional("provider", Text),
    optional("provider_id", Text),
    optional("failure", Text),
    required("requested_at", INSTANT),
    optional("submitted_at", INSTANT),
    optional("accepted_at", INSTANT),  # When the provider first said that it has it.
    optional("ask_at", INSTANT),  # When to send it, or to ask the provider next; null for a counter's payout.
    required("asked", Integer, "0"),
    optional("closed_at", INSTANT),
    optional("compared_at", INSTANT),  # When it was last reconciled,
    optional("difference", Text),  # and what the provider had otherwise.
    PrimaryKeyConstraint("program_id", "member_id", "id"),
    one_of("withdrawals_state_check", "state", "requested", "submitted", "unknown", "settled", "failed"),
    check("withdrawals_points_check", "points > 0"),
    Index("withdrawals_by_id", "id"),
    Index(
        "withdrawals_to_number",
        *("phone", "program_id", "requested_at"),
        postgresql_where=text("phone IS NOT NULL"),
    ),
    Index(
        "withdrawals_open",
        "ask_at",
        postgresql_where=text("state IN ('requested', 'submitted', 'unknown')"),
    ),
    Index(
        "withdrawals_uncompared",
        "closed_at",
        postgresql_where=text(
            "provider IS NOT NULL"
            " AND (compared_at IS NULL OR difference IS NOT NULL OR failure = 'never_heard')"
        ),
    ),
    # Amounts and the provider's reference stay: the law of accounts wants them.
    info=member_rows(merge=Move(), erase=Rewrite({"phone": "NULL", "failure": "NULL"})),
)
