"""Referrals, the codes that members invite friends by, and what members have in common."""

from sqlalchemy import ARRAY, Boolean, Index, LargeBinary, PrimaryKeyConstraint, Table, Text, Uuid, text

from engage.schema.columns import IDENTIFIER, INSTANT, check, member_key, metadata, one_of, optional, required
from engage.schema.member_rows import Delete, Statement, member_rows

# The codes of both lead to the survivor, who goes on with their own, if they have one.
_MERGE_CODES = """
UPDATE referral_codes c
SET member_id = :into, is_current = c.is_current AND NOT EXISTS (
    SELECT FROM referral_codes k
    WHERE k.program_id = c.program_id AND k.member_id = :into AND k.is_current
)
WHERE c.program_id = :program_id AND c.member_id = :member_id
"""

# A member has one code, and those of merged accounts.
referral_codes = Table(
    "referral_codes",
    metadata,
    *member_key(),
    required("code", IDENTIFIER),
    required("made_at", INSTANT),
    required("is_current", Boolean, "true"),
    PrimaryKeyConstraint("program_id", "code"),
    Index(
        "referral_codes_current",
        *("program_id", "member_id"),
        unique=True,
        postgresql_where=text("is_current"),
    ),
    Index("referral_codes_of_member", "member_id", "program_id"),
    info=member_rows(merge=Statement(_MERGE_CODES), erase=Delete()),
)

_MERGE_TRAITS = """
WITH moved AS (
    DELETE FROM member_traits WHERE program_id = :program_id AND member_id = :member_id
    RETURNING program_id, kind, hash, seen_at
)
INSERT INTO member_traits AS t (program_id, member_id, kind, hash, seen_at)
SELECT program_id, :into, kind, hash, seen_at FROM moved
ON CONFLICT (program_id, member_id, kind, hash)
    DO UPDATE SET seen_at = greatest(t.seen_at, excluded.seen_at)
"""

# Keyed hashes of what tells whether two members are one person: enough to compare, and no more.
member_traits = Table(
    "member_traits",
    metadata,
    *member_key(),
    required("kind", Text),
    required("hash", LargeBinary),
    required("seen_at", INSTANT),
    PrimaryKeyConstraint("program_id", "member_id", "kind", "hash"),
    one_of("member_traits_kind_check", "kind", "person", "phone", "card", "device", "address"),
    info=member_rows(merge=Statement(_MERGE_TRAITS), erase=Delete()),
)

_MERGE = """
UPDATE referrals
SET member_id = CASE WHEN member_id = :member_id THEN :into ELSE member_id END,
    advocate_id = CASE WHEN advocate_id = :member_id THEN :into ELSE advocate_id END
WHERE program_id = :program_id AND (member_id = :member_id OR advocate_id = :member_id)
"""

# What an operator wrote may be about either of them. The orders are the friend's.
_ERASE = """
UPDATE referrals
SET reason = CASE WHEN decided_by IS NULL THEN reason END,
    advocate_order = CASE WHEN member_id = ANY(:member_ids) THEN NULL ELSE advocate_order END,
    friend_order = CASE WHEN member_id = ANY(:member_ids) THEN NULL ELSE friend_order END
WHERE program_id = :program_id AND (member_id = ANY(:member_ids) OR advocate_id = ANY(:member_ids))
"""

# A friend (`member_id`) who used the code of an advocate. Of each side: since when its condition is met and
# by which order, when its points were granted, and when they were lost.
referrals = Table(
    "referrals",
    metadata,
    *member_key(),
    required("id", Uuid),
    required("advocate_id", IDENTIFIER),
    required("program_version", Text),
    required("state", Text),
    required("claimed_at", INSTANT),
    required("flags", ARRAY(Text), "'{}'"),
    optional("decided_at", INSTANT),
    optional("decided_by", Text),
    optional("reason", Text),
    optional("due_at", INSTANT),
    optional("advocate_met_at", INSTANT),
    optional("advocate_order", IDENTIFIER),
    optional("advocate_paid_at", INSTANT),
    optional("advocate_lost_at", INSTANT),
    optional("friend_met_at", INSTANT),
    optional("friend_order", IDENTIFIER),
    optional("friend_paid_at", INSTANT),
    optional("friend_lost_at", INSTANT),
    PrimaryKeyConstraint("id"),
    one_of("referrals_state_check", "state", "pending", "flagged", "approved", "rejected"),
    check("referrals_decided_check", "(state IN ('approved', 'rejected')) = (decided_at IS NOT NULL)"),
    check(
        "referrals_paid_check",
        "state = 'approved' OR (advocate_paid_at IS NULL AND friend_paid_at IS NULL)",
    ),
    check("referrals_due_check", "due_at IS NULL OR state IN ('pending', 'approved')"),
    Index("referrals_of_friend", "program_id", "member_id"),
    Index("referrals_of_advocate", "advocate_id", "program_id", "claimed_at"),
    Index("referrals_queue", "state", "program_id", "id"),
    Index("referrals_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    info=member_rows(merge=Statement(_MERGE), erase=Statement(_ERASE)),
)
