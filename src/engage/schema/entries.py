"""Entries: a row for each movement of a balance. An entry is never changed."""

from sqlalchemy import BigInteger, Index, PrimaryKeyConstraint, Table, Text, Uuid, text

from engage.domain.keys import ERASURE
from engage.schema.columns import INSTANT, check, member_key, metadata, optional, required
from engage.schema.member_rows import Keep, Rewrite, member_rows
from engage.schema.views import view

# The legs are the columns that end in _delta: the member's accounts and one account of the house, so an entry
# that does not balance cannot be stored. A debt is owed by the member, so its leg is the negative of its
# change. Between accounts of one member no house account moves.
entries = Table(
    "entries",
    metadata,
    *member_key(),
    required("seq", BigInteger),
    required("kind", Text),
    required("at", INSTANT),
    required("active_delta", BigInteger, "0"),
    required("held_delta", BigInteger, "0"),
    required("debt_delta", BigInteger, "0"),
    optional("house_account", Text),
    required("house_delta", BigInteger, "0"),
    required("balance_after", BigInteger),
    optional("credit_id", Uuid),
    optional("corrects", BigInteger),
    optional("hold_id", Uuid),
    optional("reference", Text),
    PrimaryKeyConstraint("program_id", "member_id", "seq"),
    check("entries_balance_after_check", "balance_after >= 0"),
    check("entries_check", "active_delta + held_delta - debt_delta + house_delta = 0"),
    check("entries_house_check", "(house_account IS NULL) = (house_delta = 0)"),
    Index(
        "entries_of_hold",
        *("program_id", "member_id", "hold_id"),
        postgresql_where=text("hold_id IS NOT NULL"),
    ),
    info=member_rows(
        merge=Keep("An entry belongs to the account that it moved."),
        # References of mergers and of the erasure itself name members, whose ids stay.
        erase=Rewrite({"reference": "NULL"}, where=f"kind <> 'transfer' AND reference <> '{ERASURE}'"),
    ),
)

view(
    "legs",
    """
    SELECT program_id, member_id, seq, at, 'member:active' AS account, active_delta AS points
        FROM entries WHERE active_delta <> 0
    UNION ALL
    SELECT program_id, member_id, seq, at, 'member:held', held_delta FROM entries WHERE held_delta <> 0
    UNION ALL
    SELECT program_id, member_id, seq, at, 'member:debt', -debt_delta FROM entries WHERE debt_delta <> 0
    UNION ALL
    SELECT program_id, member_id, seq, at, 'house:' || house_account, house_delta
        FROM entries WHERE house_delta <> 0
    """,
)
