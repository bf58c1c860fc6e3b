"""What is known of orders: a row an order, from the first event that names it."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.activity import Order
from engage.domain.earning.order_facts import Facts, Paid, Return
from engage.domain.keys import OrderKey
from engage.domain.refusals import AccountClosed

# Who is being merged is waited for, and then is no member: their orders are somebody else's.
_OPEN = text("""
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(
        CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:order_ids AS text[])
    ) AS k (program_id, member_id, order_id)
), there AS MATERIALIZED (
    SELECT m.program_id, m.member_id
    FROM (SELECT DISTINCT program_id, member_id FROM asked) k JOIN members m USING (program_id, member_id)
    WHERE m.closed_at IS NULL
    ORDER BY m.program_id, m.member_id
    FOR KEY SHARE OF m
)
INSERT INTO orders (program_id, member_id, order_id)
SELECT program_id, member_id, order_id FROM asked JOIN there USING (program_id, member_id)
ORDER BY program_id COLLATE "C", member_id COLLATE "C", order_id COLLATE "C"
ON CONFLICT DO NOTHING
""")

# A statement of its own, so that it sees what whoever had the order before has made of it.
_LOCK = text("""
SELECT o.program_id, o.member_id, o.order_id, o.paid_at, CAST(o.paid AS text), o.hold_id, o.program_version,
       o.zone, o.delivered_at, o.cancelled_at, CAST(o.returns AS text)
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:order_ids AS text[]))
    AS k (program_id, member_id, order_id)
JOIN orders o USING (program_id, member_id, order_id)
ORDER BY o.program_id, o.member_id, o.order_id
FOR UPDATE OF o
""")

_WRITE = text("""
UPDATE orders o
SET paid_at = u.paid_at, paid = CAST(u.paid AS jsonb), hold_id = u.hold_id,
    program_version = u.program_version, zone = u.zone, delivered_at = u.delivered_at,
    cancelled_at = u.cancelled_at, returns = CAST(u.returns AS jsonb)
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:order_ids AS text[]),
    CAST(:paid_ats AS timestamptz[]), CAST(:paid AS text[]), CAST(:hold_ids AS uuid[]),
    CAST(:versions AS text[]), CAST(:zones AS text[]), CAST(:delivered_ats AS timestamptz[]),
    CAST(:cancelled_ats AS timestamptz[]), CAST(:returns AS text[])
) AS u (program_id, member_id, order_id, paid_at, paid, hold_id, program_version, zone, delivered_at,
        cancelled_at, returns)
WHERE o.program_id = u.program_id AND o.member_id = u.member_id AND o.order_id = u.order_id
""")

_COME_BACK = text("""
SELECT o.program_id, o.member_id, o.order_id
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:order_ids AS text[]))
    AS k (program_id, member_id, order_id)
JOIN orders o USING (program_id, member_id, order_id)
WHERE o.returns <> '[]' OR o.cancelled_at IS NOT NULL
""")

_encode = msgspec.json.Encoder().encode
_order = msgspec.json.Decoder(Order)
_returns = msgspec.json.Decoder(tuple[Return, ...])


async def open_orders(conn: AsyncConnection, keys: Iterable[OrderKey]) -> dict[OrderKey, Facts]:
    """Locks these orders until the transaction ends, and reads what is known of them; of one that was never
    heard of, nothing is.

    Raises AccountClosed where one of the members was merged or erased.
    """
    asked = sorted(set(keys))
    await conn.execute(_OPEN, _keys(asked))
    found = await lock_orders(conn, asked)
    if len(found) < len(asked):
        raise AccountClosed
    return found


async def lock_orders(conn: AsyncConnection, keys: Iterable[OrderKey]) -> dict[OrderKey, Facts]:
    """The same of those that were heard of; the others are missing."""
    rows = await conn.execute(_LOCK, _keys(sorted(set(keys))))
    return {(row[0], row[1], row[2]): _facts(row[3:]) for row in rows}


async def read_returned_orders(conn: AsyncConnection, keys: Iterable[OrderKey]) -> list[OrderKey]:
    """Those of these orders that were cancelled or of which something came back, without a lock."""
    rows = await conn.execute(_COME_BACK, _keys(sorted(set(keys))))
    return [(row[0], row[1], row[2]) for row in rows]


async def write_orders(conn: AsyncConnection, orders: dict[OrderKey, Facts]) -> None:
    """Keeps what is known now of orders that are open."""
    facts = list(orders.values())
    paid = [one.paid for one in facts]
    await conn.execute(
        _WRITE,
        _keys(list(orders))
        | {
            "paid_ats": [None if one is None else one.at for one in paid],
            "paid": [None if one is None else _encode(one.order).decode() for one in paid],
            "hold_ids": [None if one is None else one.hold_id for one in paid],
            "versions": [None if one is None else one.version for one in paid],
            "zones": [None if one is None else one.zone for one in paid],
            "delivered_ats": [one.delivered_at for one in facts],
            "cancelled_ats": [one.cancelled_at for one in facts],
            "returns": [_encode(one.returns).decode() for one in facts],
        },
    )


def _keys(keys: Sequence[OrderKey]) -> dict[str, object]:
    return {
        "program_ids": [program for program, _, _ in keys],
        "member_ids": [member for _, member, _ in keys],
        "order_ids": [order for _, _, order in keys],
    }


def _facts(row: Sequence[Any]) -> Facts:
    paid_at, paid, hold_id, version, zone, delivered_at, cancelled_at, returns = row
    return Facts(
        None if paid is None else Paid(_order.decode(paid), paid_at, hold_id, version, zone),
        delivered_at,
        cancelled_at,
        _returns.decode(returns),
    )
