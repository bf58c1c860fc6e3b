"""Coupons and F-codes, and how many of a limited reward were issued."""

from sqlalchemy import BigInteger, Column, Identity, Index, PrimaryKeyConstraint, Table, Text, Uuid, text

from engage.schema.columns import IDENTIFIER, INSTANT, member_key, metadata, one_of, optional, required
from engage.schema.member_rows import Delete, Statement, member_rows

_MERGE = """
UPDATE coupons
SET member_id = CASE WHEN member_id = :member_id THEN :into ELSE member_id END,
    passed_to = CASE WHEN passed_to = :member_id THEN :into ELSE passed_to END
WHERE program_id = :program_id AND (member_id = :member_id OR passed_to = :member_id)
"""

# Nobody can use a code that nobody knows. One that was passed on goes with the account that has it now.
_ERASE = """
UPDATE coupons
SET code = CAST(id AS text), order_id = NULL, passed_to = NULL, closed_at = coalesce(closed_at, :now),
    state = CASE WHEN state IN ('issued', 'applied') THEN 'void' ELSE state END
WHERE program_id = :program_id AND (member_id = ANY(:member_ids) OR passed_to = ANY(:member_ids))
  AND coalesce(passed_to, member_id) = ANY(:member_ids)
"""

# `campaign` offered it at its price in `points`. `redemption_id` is the hold that paid for it, `hold_id` the
# checkout that it is applied at. A row is that of the member who redeemed it; an F-code that was passed on is
# used by `passed_to`.
coupons = Table(
    "coupons",
    metadata,
    *member_key(),
    required("id", Uuid),
    required("kind", Text),
    required("reward_id", Text),
    required("program_version", Text),
    required("code", IDENTIFIER),
    required("points", BigInteger),
    optional("campaign", Text),
    optional("value_minor", BigInteger),
    optional("currency", Text),
    optional("product_id", Text),
    required("state", Text),
    required("redemption_id", Uuid),
    optional("hold_id", Uuid),
    optional("order_id", Text),
    required("issued_at", INSTANT),
    optional("expires_at", INSTANT),
    optional("closed_at", INSTANT),
    optional("passed_to", IDENTIFIER),
    optional("passed_at", INSTANT),
    PrimaryKeyConstraint("program_id", "member_id", "id"),
    one_of("coupons_kind_check", "kind", "coupon", "f_code"),
    one_of("coupons_state_check", "state", "issued", "applied", "used", "void", "expired"),
    Index("coupons_code", "code", "program_id", unique=True),
    Index("coupons_ending", "expires_at", postgresql_where=text("state = 'issued'")),
    Index(
        "coupons_of_hold",
        *("program_id", "member_id", "hold_id"),
        postgresql_where=text("hold_id IS NOT NULL"),
    ),
    Index(
        "coupons_passed",
        *("program_id", "passed_to", "id"),
        postgresql_where=text("passed_to IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": 90},
    info=member_rows(merge=Statement(_MERGE), erase=Statement(_ERASE)),
)

# Counts of rewards, and of rewards at the price of a campaign (`reward@campaign`).
reward_stock = Table(
    "reward_stock",
    metadata,
    required("program_id", IDENTIFIER),
    required("reward_id", IDENTIFIER),
    required("issued", BigInteger, "0"),
    PrimaryKeyConstraint("program_id", "reward_id"),
)

# The survivor waits at the better of two places.
_MERGE_WAITING = """
WITH moved AS (
    DELETE FROM reward_waiting WHERE program_id = :program_id AND member_id = :member_id
    RETURNING program_id, reward_id, number, since, turn_until
)
INSERT INTO reward_waiting AS w (program_id, member_id, reward_id, number, since, turn_until)
SELECT program_id, :into, reward_id, number, since, turn_until FROM moved
ON CONFLICT (program_id, reward_id, member_id) DO UPDATE SET
    number = least(w.number, excluded.number), since = least(w.since, excluded.since),
    turn_until = greatest(w.turn_until, excluded.turn_until)
"""

# Members who wait for a scarce reward, by their number. Until `turn_until` a piece is kept for the member.
reward_waiting = Table(
    "reward_waiting",
    metadata,
    *member_key(),
    required("reward_id", IDENTIFIER),
    Column("number", BigInteger, Identity(always=False), nullable=False),
    required("since", INSTANT),
    optional("turn_until", INSTANT),
    PrimaryKeyConstraint("program_id", "reward_id", "member_id"),
    Index("reward_waiting_number", "reward_id", "program_id", "number"),
    Index("reward_waiting_turn", "turn_until", postgresql_where=text("turn_until IS NOT NULL")),
    info=member_rows(merge=Statement(_MERGE_WAITING), erase=Delete()),
)
