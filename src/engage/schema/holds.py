"""Holds. The moves of a hold's entries say which lots its points are from."""

from sqlalchemy import BigInteger, Index, PrimaryKeyConstraint, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from engage.schema.columns import IDENTIFIER, INSTANT, check, member_key, metadata, one_of, optional, required
from engage.schema.member_rows import Move, Rewrite, member_rows

# Of what was captured, `reinstated` went back to the member.
holds = Table(
    "holds",
    metadata,
    *member_key(),
    required("id", Uuid),
    required("purpose", Text),
    required("state", Text),
    required("points", BigInteger),
    optional("order_id", IDENTIFIER),
    required("discount_minor", BigInteger, "0"),
    optional("currency", Text),
    optional("request", JSONB),
    required("reinstated", BigInteger, "0"),
    required("created_at", INSTANT),
    optional("expires_at", INSTANT),
    optional("closed_at", INSTANT),
    PrimaryKeyConstraint("program_id", "member_id", "id"),
    one_of("holds_purpose_check", "purpose", "checkout", "redemption", "withdrawal", "freeze"),
    one_of("holds_state_check", "state", "open", "captured", "released", "expired"),
    check("holds_points_check", "points >= 0"),
    check("holds_discount_minor_check", "discount_minor >= 0"),
    check("holds_check", "reinstated BETWEEN 0 AND points"),
    Index("holds_by_id", "id"),
    Index(
        "holds_of_order",
        *("program_id", "member_id", "order_id"),
        postgresql_where=text("order_id IS NOT NULL"),
    ),
    Index("holds_open", "expires_at", postgresql_where=text("state = 'open'")),
    postgresql_with={"fillfactor": 90},
    info=member_rows(merge=Move(), erase=Rewrite({"order_id": "NULL", "request": "NULL"})),
)
