"""Entries: a row for each movement of a balance. An entry is never changed."""

from sqlalchemy import BigInteger, Index, Integer, PrimaryKeyConstraint, Table, Text, Uuid, text

from engage.domain.keys import ERASURE
from engage.schema.columns import INSTANT, check, member_key, metadata, optional, required
from engage.schema.member_rows import Keep, Rewrite, member_rows
from engage.schema.views import view

# The legs are the columns that end in _delta: the member's accounts and one account of the house, so an entry
# that does not balance cannot be stored. A debt is owed by the member, so its leg is the negative of its
# change. Between accounts of one member no house account moves.
#
# Most entries are earnings. What is null in them takes no bytes: null is 'earning' in `kind`, 'issued' in
# `house_account` where that moves, and 0 in what is held and owed.
stored_entries = Table(
    "stored_entries",
    metadata,
    required("account", BigInteger),
    required("at", INSTANT),
    required("active_delta", BigInteger),
    required("house_delta", BigInteger, "0"),
    required("balance_after", BigInteger),
    required("seq", Integer),
    optional("kind", Text),
    optional("house_account", Text),
    optional("credit_id", Uuid),
    optional("held_delta", BigInteger),
    optional("debt_delta", BigInteger),
    optional("corrects", Integer),
    optional("hold_id", Uuid),
    optional("reference", Text),
    PrimaryKeyConstraint("account", "seq"),
    check("entries_balance_after_check", "balance_after >= 0"),
    check(
        "entries_check",
        "active_delta + coalesce(held_delta, 0) - coalesce(debt_delta, 0) + house_delta = 0",
    ),
    check("entries_house_check", "house_account IS NULL OR house_delta <> 0"),
    Index("entries_of_hold", "account", "hold_id", postgresql_where=text("hold_id IS NOT NULL")),
    info=member_rows(
        merge=Keep("An entry belongs to the account that it moved."),
        # References of mergers and of the erasure itself name members, whose ids stay.
        erase=Rewrite(
            {"reference": "NULL"}, where=f"kind IS DISTINCT FROM 'transfer' AND reference <> '{ERASURE}'"
        ),
    ),
)

# Entries as they are read.
entries = view(
    "entries",
    """
    SELECT b.program_id, b.member_id, e.seq, coalesce(e.kind, 'earning') AS kind, e.at, e.active_delta,
           coalesce(e.held_delta, 0) AS held_delta, coalesce(e.debt_delta, 0) AS debt_delta,
           coalesce(e.house_account, CASE WHEN e.house_delta <> 0 THEN 'issued' END) AS house_account,
           e.house_delta, e.balance_after, e.credit_id, e.corrects, e.hold_id, e.reference, e.account
    FROM stored_entries e LEFT JOIN balances b ON b.account = e.account
    """,
    *member_key(),
    required("seq", BigInteger),
    required("kind", Text),
    required("at", INSTANT),
    required("active_delta", BigInteger),
    required("held_delta", BigInteger),
    required("debt_delta", BigInteger),
    optional("house_account", Text),
    required("house_delta", BigInteger),
    required("balance_after", BigInteger),
    optional("credit_id", Uuid),
    optional("corrects", BigInteger),
    optional("hold_id", Uuid),
    optional("reference", Text),
    required("account", BigInteger),
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
