"""Coupons and F-codes, and how many of a limited reward were issued."""

from sqlalchemy import BigInteger, Index, PrimaryKeyConstraint, Table, Text, Uuid, text

from engage.schema.columns import IDENTIFIER, INSTANT, member_key, metadata, one_of, optional, required
from engage.schema.member_rows import Move, Rewrite, member_rows

# `redemption_id` is the hold that paid for it, `hold_id` the checkout that it is applied at.
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
    postgresql_with={"fillfactor": 90},
    info=member_rows(
        merge=Move(),
        # Nobody can use a code that nobody knows.
        erase=Rewrite(
            {
                "code": "CAST(id AS text)",
                "order_id": "NULL",
                "closed_at": "coalesce(closed_at, :now)",
                "state": "CASE WHEN state IN ('issued', 'applied') THEN 'void' ELSE state END",
            }
        ),
    ),
)

reward_stock = Table(
    "reward_stock",
    metadata,
    required("program_id", IDENTIFIER),
    required("reward_id", IDENTIFIER),
    required("issued", BigInteger, "0"),
    PrimaryKeyConstraint("program_id", "reward_id"),
)
