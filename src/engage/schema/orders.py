"""Orders, and the ids of the shop's events."""

from sqlalchemy import Index, LargeBinary, PrimaryKeyConstraint, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from engage.schema.columns import IDENTIFIER, INSTANT, check, member_key, metadata, optional, required
from engage.schema.member_rows import OF_MEMBERS, Delete, Keep, Statement, member_rows

# Owners are found through their orders, by key: an index by member would be written with each paid order.
_MERGE_OWNERS = """
UPDATE order_owners w SET member_id = :into
FROM orders o
WHERE o.program_id = :program_id AND o.member_id = :member_id
  AND w.program_id = o.program_id AND w.order_id = o.order_id AND w.member_id = o.member_id
"""
_OWNED = f"{OF_MEMBERS} AND order_id IN (SELECT order_id FROM orders WHERE {OF_MEMBERS})"  # noqa: S608

# The member whom a paid order belongs to: the first one whose payment of it was accepted. The key has no
# member, so the database refuses the same order to everybody else.
order_owners = Table(
    "order_owners",
    metadata,
    required("program_id", IDENTIFIER),
    required("order_id", IDENTIFIER),
    required("member_id", IDENTIFIER),
    PrimaryKeyConstraint("program_id", "order_id"),
    info=member_rows(merge=Statement(_MERGE_OWNERS), erase=Delete(_OWNED)),
)

# Of an order that both members know the survivor's row stays: the merger joins the facts of both, and
# writes them.
_MERGE = """
WITH moved AS (
    DELETE FROM orders WHERE program_id = :program_id AND member_id = :member_id
    RETURNING program_id, order_id, paid_at, paid, hold_id, program_version, zone, delivered_at,
              cancelled_at, returns, boosts
)
INSERT INTO orders (program_id, member_id, order_id, paid_at, paid, hold_id, program_version, zone,
                    delivered_at, cancelled_at, returns, boosts)
SELECT program_id, :into, order_id, paid_at, paid, hold_id, program_version, zone, delivered_at,
       cancelled_at, returns, boosts
FROM moved
ON CONFLICT DO NOTHING
"""

# The facts of an order, whichever event came first: the payment as it was sent, the rules that decide, what
# boosted it, and what was returned.
orders = Table(
    "orders",
    metadata,
    *member_key(),
    required("order_id", IDENTIFIER),
    optional("paid_at", INSTANT),
    optional("paid", JSONB),
    optional("hold_id", Uuid),
    optional("program_version", Text),
    optional("zone", Text),
    optional("delivered_at", INSTANT),
    optional("cancelled_at", INSTANT),
    required("returns", JSONB, "'[]'"),
    optional("boosts", JSONB),
    PrimaryKeyConstraint("program_id", "member_id", "order_id"),
    check("orders_check", "(paid IS NULL) = (paid_at IS NULL OR program_version IS NULL OR zone IS NULL)"),
    info=member_rows(merge=Statement(_MERGE), erase=Delete()),
)

# `content` is a digest of the whole event; it is missing from events of before it was stored.
shop_events = Table(
    "shop_events",
    metadata,
    required("program_id", IDENTIFIER),
    required("event_id", IDENTIFIER),
    required("type", Text),
    required("member_id", IDENTIFIER),
    required("time", INSTANT),
    required("received_at", INSTANT),
    optional("content", LargeBinary),
    PrimaryKeyConstraint("program_id", "event_id"),
    Index("shop_events_of_member", "member_id", "program_id"),
    info=member_rows(merge=Keep("An event names the member that the shop named."), erase=Delete()),
)
