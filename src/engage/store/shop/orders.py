"""Orders: a row for each, from the first event that names it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.activity import Order
from engage.domain.earning.boost import Boost
from engage.domain.earning.order_facts import OrderFacts, OrderPayment, Return
from engage.domain.keys import MemberKey, OrderId, OrderKey
from engage.schema.orders import order_owners, orders
from engage.schema.rows import Batch

_KEYS = Batch("k", orders, "program_id", "member_id", "order_id")
_FACTS = Batch(
    "u",
    orders,
    *("program_id", "member_id", "order_id"),
    *(
        "paid_at",
        "paid",
        "hold_id",
        "program_version",
        "zone",
        "delivered_at",
        "cancelled_at",
        "returns",
        "boosts",
    ),
)

_LATER = Batch("u", orders, "program_id", "member_id", "order_id", "delivered_at", "cancelled_at", "returns")

_FACTS_OF = f"""
SELECT o.program_id, o.member_id, o.order_id, o.paid_at, CAST(o.paid AS text), o.hold_id, o.program_version,
       o.zone, o.delivered_at, o.cancelled_at, CAST(o.returns AS text), CAST(o.boosts AS text)
FROM {_KEYS} JOIN orders o USING (program_id, member_id, order_id)
ORDER BY o.program_id, o.member_id, o.order_id
"""  # noqa: S608  # Names of the schema, here and below.

_READ = text(_FACTS_OF)
_LOCK = text(_FACTS_OF + "FOR UPDATE OF o")

_ADD = text(f"""
INSERT INTO orders ({_FACTS.columns})
SELECT {_FACTS.columns} FROM {_FACTS}
ORDER BY program_id COLLATE "C", member_id COLLATE "C", order_id COLLATE "C"
ON CONFLICT DO NOTHING
""")  # noqa: S608

_WRITE = text(f"""
UPDATE orders o
SET paid_at = u.paid_at, paid = u.paid, hold_id = u.hold_id, program_version = u.program_version,
    zone = u.zone, delivered_at = u.delivered_at, cancelled_at = u.cancelled_at, returns = u.returns,
    boosts = u.boosts
FROM {_FACTS}
WHERE o.program_id = u.program_id AND o.member_id = u.member_id AND o.order_id = u.order_id
""")  # noqa: S608

# Of most orders the payment is known, and is the largest part of the row.
_WRITE_LATER = text(f"""
UPDATE orders o SET delivered_at = u.delivered_at, cancelled_at = u.cancelled_at, returns = u.returns
FROM {_LATER}
WHERE o.program_id = u.program_id AND o.member_id = u.member_id AND o.order_id = u.order_id
""")  # noqa: S608

_OWNERS = Batch("k", order_owners, "program_id", "order_id", "member_id")

# The update changes nothing: it waits for whoever claims the order at the same time, and returns the owner.
_CLAIM = text(f"""
INSERT INTO order_owners AS w ({_OWNERS.columns})
SELECT {_OWNERS.columns} FROM {_OWNERS}
ORDER BY program_id COLLATE "C", order_id COLLATE "C"
ON CONFLICT (program_id, order_id) DO UPDATE SET member_id = w.member_id
RETURNING program_id, order_id, member_id
""")  # noqa: S608

_READ_SHARED = text("""
WITH known AS (
    SELECT member_id, order_id FROM orders WHERE program_id = :program_id AND member_id = ANY(:members)
    UNION ALL
    SELECT member_id, order_id FROM holds
    WHERE program_id = :program_id AND member_id = ANY(:members) AND order_id IS NOT NULL
)
SELECT order_id FROM known GROUP BY order_id HAVING count(DISTINCT member_id) > 1 ORDER BY order_id
""")

_READ_ENDED = text(f"""
SELECT k.program_id, k.member_id, k.order_id, w.member_id AS owner, o.paid_at, CAST(o.paid AS text),
       o.hold_id, o.program_version, o.zone, o.delivered_at, o.cancelled_at,
       coalesce(CAST(o.returns AS text), '[]'), CAST(o.boosts AS text)
FROM {_KEYS}
LEFT JOIN orders o USING (program_id, member_id, order_id)
LEFT JOIN order_owners w USING (program_id, order_id)
WHERE w.member_id <> k.member_id OR o.cancelled_at IS NOT NULL OR o.returns <> '[]'
""")  # noqa: S608

# A member of many years has more than anybody wants to know of.
_READ_DELIVERED = text("""
SELECT o.program_id, o.member_id, o.order_id, o.paid_at, CAST(o.paid AS text), o.hold_id, o.program_version,
       o.zone, o.delivered_at, o.cancelled_at, CAST(o.returns AS text), CAST(o.boosts AS text)
FROM orders o
WHERE o.program_id = :program_id AND o.member_id = :member_id AND o.paid IS NOT NULL
  AND o.delivered_at IS NOT NULL
ORDER BY o.delivered_at, o.order_id COLLATE "C" LIMIT :limit
""")

# The newest first. Of an order whose payment has not come yet only a later event is known.
_AT = "coalesce(o.paid_at, o.delivered_at, o.cancelled_at, 'epoch')"
_LIST = text(f"""
SELECT {_AT} AS at, o.order_id, o.paid_at, CAST(o.paid AS text), o.hold_id, o.program_version, o.zone,
       o.delivered_at, o.cancelled_at, CAST(o.returns AS text), CAST(o.boosts AS text)
FROM orders o
WHERE o.program_id = :program_id AND o.member_id = :member_id
  AND (CAST(:at AS timestamptz) IS NULL OR ({_AT}, o.order_id COLLATE "C") < (:at, :order_id))
ORDER BY at DESC, o.order_id COLLATE "C" DESC LIMIT :limit
""")  # noqa: S608

_encode = msgspec.json.Encoder().encode
_order = msgspec.json.Decoder(Order)
_boosts = msgspec.json.Decoder(tuple[Boost, ...])
_returns = msgspec.json.Decoder(tuple[Return, ...])


class OrdersAdded(Exception):
    """Another transaction has added one of these orders since they were read; this one must end."""


async def lock_orders(conn: AsyncConnection, keys: Iterable[OrderKey]) -> dict[OrderKey, OrderFacts]:
    """Lock those of these orders that have a row, and read their facts; new orders are absent."""
    rows = await conn.execute(_LOCK, _KEYS.of(sorted(set(keys))))
    return {(row[0], row[1], row[2]): facts_of_row(row[3:]) for row in rows}


async def claim_orders(conn: AsyncConnection, payers: Iterable[OrderKey]) -> dict[OrderId, str]:
    """Make each member the owner of an order that they paid, unless it belongs to another one; the owners.

    Of two members in one call the first gets the order. Comes after orders are locked, and before new ones
    are added.
    """
    first: dict[OrderId, str] = {}
    for program_id, member_id, order_id in payers:
        first.setdefault((program_id, order_id), member_id)
    rows = await conn.execute(_CLAIM, _OWNERS.of((*order, member) for order, member in first.items()))
    return {(row[0], row[1]): row[2] for row in rows}


async def read_shared_orders(conn: AsyncConnection, key: MemberKey, other: str) -> list[str]:
    """Read the ids of orders that both members have facts of, or a hold for."""
    values = {"program_id": key[0], "members": [key[1], other]}
    return list((await conn.execute(_READ_SHARED, values)).scalars())


async def read_orders(conn: AsyncConnection, keys: Iterable[OrderKey]) -> dict[OrderKey, OrderFacts]:
    """Read the facts of those of these orders that have a row, without a lock."""
    rows = await conn.execute(_READ, _KEYS.of(sorted(set(keys))))
    return {(row[0], row[1], row[2]): facts_of_row(row[3:]) for row in rows}


async def read_delivered_orders(
    conn: AsyncConnection, key: MemberKey, *, limit: int
) -> dict[OrderKey, OrderFacts]:
    """Read a member's paid and delivered orders, the first deliveries, without a lock; those that were
    cancelled too.
    """
    values = {"program_id": key[0], "member_id": key[1], "limit": limit}
    rows = await conn.execute(_READ_DELIVERED, values)
    return {(row[0], row[1], row[2]): facts_of_row(row[3:]) for row in rows}


async def list_orders(
    conn: AsyncConnection, key: MemberKey, *, before: tuple[datetime, str] | None, limit: int
) -> list[tuple[datetime, str, OrderFacts]]:
    """List a member's orders before (time, id), newest first, each with the time that it stands at."""
    at, order_id = before or (None, "")
    values = {"program_id": key[0], "member_id": key[1], "at": at, "order_id": order_id, "limit": limit}
    return [(row[0], row[1], facts_of_row(row[2:])) for row in await conn.execute(_LIST, values)]


async def read_ended_orders(
    conn: AsyncConnection, keys: Iterable[OrderKey]
) -> dict[OrderKey, tuple[str | None, OrderFacts]]:
    """Read, without a lock, the owner and the facts of those orders that belong to another member, were
    cancelled, or had returns.
    """
    rows = await conn.execute(_READ_ENDED, _KEYS.of(sorted(set(keys))))
    return {(row[0], row[1], row[2]): (row[3], facts_of_row(row[4:])) for row in rows}


async def add_orders(conn: AsyncConnection, orders: Mapping[OrderKey, OrderFacts]) -> None:
    """Add orders that had no row, of members who are locked. They are locked from then on.

    Comes after owners are claimed, and before credits are locked. A transaction that adds one of them at the
    same time is waited for. Raises OrdersAdded if it commits.
    """
    rows = _FACTS.of(_row(key, facts) for key, facts in orders.items())
    if (await conn.execute(_ADD, _without_nulls(rows))).rowcount < len(orders):
        raise OrdersAdded


async def write_orders(conn: AsyncConnection, orders: Mapping[OrderKey, OrderFacts]) -> None:
    """Write all facts of orders that this transaction has locked."""
    await conn.execute(_WRITE, _FACTS.of(_row(key, facts) for key, facts in orders.items()))


async def write_later_facts(conn: AsyncConnection, orders: Mapping[OrderKey, OrderFacts]) -> None:
    """Write what came after the payment of orders that this transaction has locked."""
    rows = [
        (*key, facts.delivered_at, facts.cancelled_at, _returns_text(facts)) for key, facts in orders.items()
    ]
    await conn.execute(_WRITE_LATER, _without_nulls(_LATER.of(rows)))


def _without_nulls(columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Leave out the values of columns that are null in all rows: `unnest` fills shorter arrays with nulls.

    The driver looks at each value of an array, and most orders of a batch have no more than their payment.
    """
    return {
        name: values if any(value is not None for value in values) else [] for name, values in columns.items()
    }


def _returns_text(facts: OrderFacts) -> str:
    return _encode(facts.returns).decode() if facts.returns else "[]"


def _row(key: OrderKey, facts: OrderFacts) -> tuple[Any, ...]:
    paid = facts.paid
    payment: tuple[Any, ...] = (None,) * 5
    boosts = _encode(paid.boosts).decode() if paid is not None and paid.boosts else None
    if paid is not None:
        payment = (paid.at, _encode(paid.order).decode(), paid.hold_id, paid.version, paid.zone)
    return (*key, *payment, facts.delivered_at, facts.cancelled_at, _returns_text(facts), boosts)


def facts_of_row(row: Sequence[Any]) -> OrderFacts:
    """The facts of an order, from the columns after its key, with `paid`, `returns` and `boosts` as text."""
    paid_at, paid, hold_id, version, zone, delivered_at, cancelled_at, returns, boosted = row
    boosts = () if boosted is None else _boosts.decode(boosted)
    return OrderFacts(
        None if paid is None else OrderPayment(_order.decode(paid), paid_at, hold_id, version, zone, boosts),
        delivered_at,
        cancelled_at,
        _returns.decode(returns),
    )
