"""The instants at which facts of members became known: credits, and payments of orders."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement

_CREDITS = DirectStatement(
    text("""
SELECT CAST(c.id AS text), c.accepted_at FROM credits c
WHERE c.program_id = :program_id AND c.member_id = ANY(CAST(:member_ids AS text[]))
  AND c.accepted_at >= :since
""")
)

# When an order `o` was reported as paid. `least` leaves out what is not there.
_REPORTED = """least(
    (SELECT min(e.received_at) FROM shop_events e
     WHERE e.program_id = o.program_id AND e.member_id = o.member_id AND e.type = 'order.paid'
       AND e.time = o.paid_at),
    (SELECT min(c.accepted_at) FROM credits c
     WHERE c.program_id = o.program_id AND c.member_id = o.member_id
       AND c.reference = 'order:' || o.order_id)
)"""

_ORDERS = DirectStatement(
    text(f"""
SELECT o.order_id, r.at FROM orders o CROSS JOIN LATERAL (SELECT {_REPORTED} AS at OFFSET 0) r
WHERE o.program_id = :program_id AND o.member_id = ANY(CAST(:member_ids AS text[])) AND r.at >= :since
""")  # noqa: S608  # Constants.
)

_PAYMENTS = DirectStatement(
    text(f"""
SELECT k.n, o.paid_at
FROM unnest(
    CAST(:member_ids AS text[]), CAST(:instants AS timestamptz[]), CAST(:known AS timestamptz[])
) WITH ORDINALITY AS k (member_id, at, known, n)
CROSS JOIN LATERAL (
    SELECT max(o.paid_at) AS paid_at FROM orders o
    WHERE o.program_id = :program_id AND o.member_id = k.member_id AND o.paid_at < k.at
      AND coalesce({_REPORTED}, o.paid_at) <= k.known
    OFFSET 0
) o
WHERE o.paid_at IS NOT NULL
""")  # noqa: S608
)


class Decision(Struct, frozen=True):
    """A decision about a member's activity of an instant, by what was `known` at another one."""

    member_id: str
    at: datetime
    known: datetime


class KnownSince(Struct, frozen=True):
    """The instants at which orders and credits became known, those before a time left out."""

    orders: Mapping[str, datetime]
    credits: Mapping[str, datetime]


async def read_known(
    conn: AsyncConnection, program_id: str, member_ids: Sequence[str], *, since: datetime
) -> KnownSince:
    """Read which facts of members became known since a time, and when."""
    values = {"program_id": program_id, "member_ids": list(member_ids), "since": since}
    orders = {row[0]: row[1] for row in await _ORDERS.fetch(conn, values)}
    credits = {row[0]: row[1] for row in await _CREDITS.fetch(conn, values)}
    return KnownSince(orders, credits)


async def read_last_payments(
    conn: AsyncConnection, program_id: str, asked: Collection[Decision]
) -> dict[Decision, datetime]:
    """Read the newest payments before the activities of decisions, of those that were known."""
    wanted = list(asked)
    if not wanted:
        return {}
    values = {
        "program_id": program_id,
        "member_ids": [each.member_id for each in wanted],
        "instants": [each.at for each in wanted],
        "known": [each.known for each in wanted],
    }
    return {wanted[n - 1]: paid_at for n, paid_at in await _PAYMENTS.fetch(conn, values)}
