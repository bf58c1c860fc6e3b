"""Orders, and the ids of the shop's events."""

from sqlalchemy import Index, PrimaryKeyConstraint, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from engage.schema.columns import IDENTIFIER, INSTANT, check, member_key, metadata, optional, required
from engage.schema.member_rows import Delete, Keep, Statement, member_rows

# An order belongs to one member. Should both have a row of it, the rows are joined.
_MERGE = """
WITH moved AS (
    DELETE FROM orders WHERE program_id = :program_id AND member_id = :member_id
    RETURNING program_id, order_id, paid_at, paid, hold_id, program_version, zone, delivered_at,
              cancelled_at, returns
)
INSERT INTO orders AS o (program_id, member_id, order_id, paid_at, paid, hold_id, program_version, zone,
                         delivered_at, cancelled_at, returns)
SELECT program_id, :into, order_id, paid_at, paid, hold_id, program_version, zone, delivered_at,
       cancelled_at, returns
FROM moved
ON CONFLICT (program_id, member_id, order_id) DO UPDATE
SET paid_at = CASE WHEN o.paid IS NULL THEN excluded.paid_at ELSE o.paid_at END,
    paid = coalesce(o.paid, excluded.paid),
    hold_id = CASE WHEN o.paid IS NULL THEN excluded.hold_id ELSE o.hold_id END,
    program_version = CASE WHEN o.paid IS NULL THEN excluded.program_version ELSE o.program_version END,
    zone = CASE WHEN o.paid IS NULL THEN excluded.zone ELSE o.zone END,
    delivered_at = least(o.delivered_at, excluded.delivered_at),
    cancelled_at = least(o.cancelled_at, excluded.cancelled_at),
    returns = o.returns || excluded.returns
"""

# The facts of an order, whichever event came first: the payment as it was sent, the rules that decide, and
# what was returned.
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
    PrimaryKeyConstraint("program_id", "member_id", "order_id"),
    check("orders_check", "(paid IS NULL) = (paid_at IS NULL OR program_version IS NULL OR zone IS NULL)"),
    info=member_rows(merge=Statement(_MERGE), erase=Delete()),
)

shop_events = Table(
    "shop_events",
    metadata,
    required("program_id", IDENTIFIER),
    required("event_id", IDENTIFIER),
    required("type", Text),
    required("member_id", IDENTIFIER),
    required("time", INSTANT),
    required("received_at", INSTANT),
    PrimaryKeyConstraint("program_id", "event_id"),
    Index("shop_events_of_member", "member_id", "program_id"),
    info=member_rows(merge=Keep("An event names the member that the shop named."), erase=Delete()),
)
