"""Holds: points set aside for a checkout, a redemption or a withdrawal, and what became of them.

Holds are written only while the member's balance is locked (`engage.ledger.accounts`), and what was read of
them before is read again then. Which lots a hold took its points from, the moves of its entries tell.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import OrderKey

HoldPurpose = Literal["checkout", "redemption", "withdrawal"]
HoldState = Literal["open", "captured", "released", "expired"]


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """`discount_minor` is what its points and coupons take off the order together, in `currency`.

    `reinstated` are those of its points that went back to the member after they had been captured. `request`
    is what was asked for, to know the same request again. A state other than `open` is final.
    """

    program_id: str
    member_id: str
    id: UUID
    purpose: HoldPurpose
    state: HoldState
    points: int
    order_id: str | None = None
    discount_minor: int = 0
    currency: str | None = None
    request: dict[str, Any] | None = None
    reinstated: int = 0
    created_at: datetime
    expires_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.program_id, self.member_id


_COLUMNS = """h.program_id, h.member_id, h.id, h.purpose, h.state, h.points, h.order_id, h.discount_minor,
       h.currency, h.request, h.reinstated, h.created_at, h.expires_at, h.closed_at"""

_OF_ORDERS = text(f"""
SELECT {_COLUMNS}
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:order_ids AS text[]))
    AS k (program_id, member_id, order_id)
JOIN holds h USING (program_id, member_id, order_id)
ORDER BY h.created_at, h.id
""")  # noqa: S608  # Nothing but columns.

_BY_ID = text(f"""
SELECT {_COLUMNS}
FROM unnest(CAST(:ids AS uuid[])) AS k (id) JOIN holds h USING (id)
""")  # noqa: S608  # As above.

_ADD = text("""
INSERT INTO holds (program_id, member_id, id, purpose, state, points, order_id, discount_minor, currency,
                   request, created_at, expires_at, closed_at)
SELECT a.program_id, a.member_id, a.id, a.purpose, a.state, a.points, a.order_id, a.discount_minor,
       a.currency, CAST(a.request AS jsonb), a.created_at, a.expires_at, a.closed_at
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:ids AS uuid[]),
    CAST(:purposes AS text[]), CAST(:states AS text[]), CAST(:points AS bigint[]), CAST(:order_ids AS text[]),
    CAST(:discounts AS bigint[]), CAST(:currencies AS text[]), CAST(:requests AS text[]),
    CAST(:created_ats AS timestamptz[]), CAST(:expires_ats AS timestamptz[]),
    CAST(:closed_ats AS timestamptz[])
) AS a (program_id, member_id, id, purpose, state, points, order_id, discount_minor, currency, request,
        created_at, expires_at, closed_at)
""")

_WRITE = text("""
UPDATE holds h
SET state = u.state, reinstated = u.reinstated, closed_at = coalesce(h.closed_at, u.closed_at)
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:ids AS uuid[]), CAST(:states AS text[]),
    CAST(:reinstated AS bigint[]), CAST(:closed_ats AS timestamptz[])
) AS u (program_id, member_id, id, state, reinstated, closed_at)
WHERE h.program_id = u.program_id AND h.member_id = u.member_id AND h.id = u.id
""")

_OVERDUE = text(f"""
SELECT {_COLUMNS} FROM holds h
WHERE h.state = 'open' AND h.purpose = 'checkout' AND h.expires_at <= :at
  AND (h.program_id, h.member_id) IN (
      SELECT * FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[]))
  )
""")  # noqa: S608  # As above.

# Members whose balance somebody else holds are left to the next round.
_LOCK_OVERDUE = text("""
SELECT h.id FROM holds h JOIN balances b USING (program_id, member_id)
WHERE h.state = 'open' AND h.purpose = 'checkout' AND h.expires_at <= :at
ORDER BY h.expires_at LIMIT :limit
FOR UPDATE OF b SKIP LOCKED
""")

_NEXT_END = text("""
SELECT min(expires_at) FROM holds WHERE state = 'open' AND purpose = 'checkout' AND expires_at > :after
""")


async def read_holds_of_orders(
    conn: AsyncConnection, orders: Iterable[OrderKey]
) -> dict[OrderKey, list[Hold]]:
    """All holds for these (program, member, order), whatever their state, oldest first. An order without a
    hold is missing.
    """
    asked = sorted(set(orders))
    rows = await conn.execute(
        _OF_ORDERS,
        {
            "program_ids": [p for p, _, _ in asked],
            "member_ids": [m for _, m, _ in asked],
            "order_ids": [o for _, _, o in asked],
        },
    )
    found: dict[OrderKey, list[Hold]] = {}
    for row in rows:
        hold = _hold(row)
        assert hold.order_id is not None
        found.setdefault((hold.program_id, hold.member_id, hold.order_id), []).append(hold)
    return found


async def read_holds(conn: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, Hold]:
    """By id, without a lock; an id that is missing is no hold."""
    rows = await conn.execute(_BY_ID, {"ids": sorted(set(ids))})
    return {hold.id: hold for hold in map(_hold, rows)}


async def read_hold(conn: AsyncConnection, id_: UUID) -> Hold | None:
    """Without a lock."""
    return (await read_holds(conn, [id_])).get(id_)


async def add_holds(conn: AsyncConnection, holds: Sequence[Hold]) -> None:
    """New holds; a redemption's are captured from the start."""
    await conn.execute(
        _ADD,
        {
            "program_ids": [h.program_id for h in holds],
            "member_ids": [h.member_id for h in holds],
            "ids": [h.id for h in holds],
            "purposes": [h.purpose for h in holds],
            "states": [h.state for h in holds],
            "points": [h.points for h in holds],
            "order_ids": [h.order_id for h in holds],
            "discounts": [h.discount_minor for h in holds],
            "currencies": [h.currency for h in holds],
            "requests": [
                None if h.request is None else msgspec.json.encode(h.request).decode() for h in holds
            ],
            "created_ats": [h.created_at for h in holds],
            "expires_ats": [h.expires_at for h in holds],
            "closed_ats": [h.closed_at for h in holds],
        },
    )


async def add_hold(conn: AsyncConnection, hold: Hold) -> None:
    await add_holds(conn, [hold])


async def write_holds(
    conn: AsyncConnection, holds: Sequence[Hold], *, closed_at: datetime | None = None
) -> None:
    """Writes the state and what was reinstated of these holds. Those that end by this have ended at their own
    `closed_at`, or else at the one given; one that had ended before keeps its time.
    """
    await conn.execute(
        _WRITE,
        {
            "program_ids": [h.program_id for h in holds],
            "member_ids": [h.member_id for h in holds],
            "ids": [h.id for h in holds],
            "states": [h.state for h in holds],
            "reinstated": [h.reinstated for h in holds],
            "closed_ats": [None if h.state == "open" else h.closed_at or closed_at for h in holds],
        },
    )


async def read_overdue_holds(
    conn: AsyncConnection, members: Iterable[tuple[str, str]], *, at: datetime
) -> list[Hold]:
    """Open holds of these members' checkouts whose time has ended by `at`, without a lock: whoever ends them
    locks the balances and reads them again.
    """
    keys = sorted(set(members))
    values = {"program_ids": [p for p, _ in keys], "member_ids": [m for _, m in keys], "at": at}
    return [_hold(row) for row in await conn.execute(_OVERDUE, values)]


async def lock_overdue_holds(conn: AsyncConnection, *, at: datetime, limit: int) -> list[UUID]:
    """Checkouts' holds, up to `limit`, whose time has ended by `at`, with their members' balances locked.
    They may have ended otherwise just before, so they are read again.
    """
    return [row[0] for row in await conn.execute(_LOCK_OVERDUE, {"at": at, "limit": limit})]


async def next_hold_end(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """The first instant later than `after` at which the time of a checkout's open hold ends."""
    found: datetime | None = (await conn.execute(_NEXT_END, {"after": after})).scalar()
    return found


def _hold(row: Sequence[Any]) -> Hold:
    return Hold(**dict(zip(Hold.__struct_fields__, row, strict=True)))
