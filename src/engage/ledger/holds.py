"""Holds: points set aside for a checkout, a redemption, a withdrawal or a freeze.

Holds are written only while the member's balance is locked (`engage.ledger.accounts`), and what was read
before is read again then. The moves of a hold's entries say which lots its points are from.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey, OrderKey
from engage.schema.holds import holds as table
from engage.schema.rows import Batch, from_row, select_list
from engage.schema.time import is_due

HoldPurpose = Literal["checkout", "redemption", "withdrawal", "freeze"]
HoldState = Literal["open", "captured", "released", "expired"]


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """`discount_minor` is what its points and coupons take off the order together, in `currency`.

    `reinstated` points went back to the member after they had been captured. `request` identifies a repeated
    request. A state other than `open` is final.
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
    def key(self) -> MemberKey:
        return self.program_id, self.member_id


_COLUMNS = select_list(Hold, "h")
_ORDERS = Batch("k", table, "program_id", "member_id", "order_id")
_IDS = Batch("k", table, "id")
_MEMBERS = Batch("k", table, "program_id", "member_id")
_NEW = Batch("a", table, *Hold.__struct_fields__)
_CHANGED = Batch("u", table, "program_id", "member_id", "id", "state", "reinstated", "closed_at")

_OF_ORDERS = text(f"""
SELECT {_COLUMNS} FROM {_ORDERS} JOIN holds h USING (program_id, member_id, order_id)
ORDER BY h.created_at, h.id
""")  # noqa: S608  # Names of the schema, here and below.

_BY_ID = text(f"SELECT {_COLUMNS} FROM {_IDS} JOIN holds h USING (id)")  # noqa: S608

_ADD = text(f"INSERT INTO holds ({_NEW.columns}) SELECT {_NEW.columns} FROM {_NEW}")  # noqa: S608

_WRITE = text(f"""
UPDATE holds h
SET state = u.state, reinstated = u.reinstated, closed_at = coalesce(h.closed_at, u.closed_at)
FROM {_CHANGED} WHERE h.program_id = u.program_id AND h.member_id = u.member_id AND h.id = u.id
""")  # noqa: S608

_OVERDUE = text(f"""
SELECT {_COLUMNS} FROM holds h
WHERE h.state = 'open' AND h.purpose = 'checkout' AND h.expires_at <= :at
  AND (h.program_id, h.member_id) IN (SELECT * FROM {_MEMBERS})
""")  # noqa: S608

_OPEN = text(f"""
SELECT {_COLUMNS} FROM holds h
WHERE h.program_id = :program_id AND h.member_id = :member_id AND h.state = 'open'
ORDER BY h.created_at, h.id LIMIT :limit
""")  # noqa: S608

# Members whose balance another transaction holds are left to the next batch.
_LOCK_OVERDUE = text(f"""
SELECT h.id FROM holds h JOIN balances b USING (program_id, member_id)
WHERE h.state = 'open' AND h.purpose = 'checkout' AND {is_due("h.expires_at")}
ORDER BY h.expires_at LIMIT :limit
FOR UPDATE OF b SKIP LOCKED
""")  # noqa: S608

_NEXT_END = text("""
SELECT min(expires_at) FROM holds WHERE state = 'open' AND purpose = 'checkout' AND expires_at > :after
""")


async def read_holds_of_orders(
    conn: AsyncConnection, orders: Iterable[OrderKey]
) -> dict[OrderKey, list[Hold]]:
    """Read all holds of these orders, in any state, oldest first. Orders without a hold are absent."""
    found: dict[OrderKey, list[Hold]] = {}
    for row in await conn.execute(_OF_ORDERS, _ORDERS.of(sorted(set(orders)))):
        key = (row.program_id, row.member_id, row.order_id)
        found.setdefault(key, []).append(from_row(Hold, row))
    return found


async def read_holds(conn: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, Hold]:
    """Read holds by id, without a lock; unknown ids are absent."""
    rows = await conn.execute(_BY_ID, _IDS.of((id_,) for id_ in sorted(set(ids))))
    return {row.id: from_row(Hold, row) for row in rows}


async def read_hold(conn: AsyncConnection, id_: UUID) -> Hold | None:
    """Read a hold without a lock."""
    return (await read_holds(conn, [id_])).get(id_)


async def add_holds(conn: AsyncConnection, holds: Sequence[Hold]) -> None:
    """Add holds; those of redemptions and freezes are captured from the start."""
    rows = [
        msgspec.structs.replace(hold, request=hold.request and msgspec.json.encode(hold.request).decode())
        for hold in holds
    ]
    await conn.execute(_ADD, _NEW.of_structs(rows))


async def add_hold(conn: AsyncConnection, hold: Hold) -> None:
    await add_holds(conn, [hold])


async def write_holds(
    conn: AsyncConnection, holds: Sequence[Hold], *, closed_at: datetime | None = None
) -> None:
    """Write the state and the reinstated points of these holds.

    A hold that ends gets its own `closed_at`, or else the one given; one that had ended before keeps its
    time.
    """
    rows = [(*hold.key, hold.id, hold.state, hold.reinstated, _closed_at(hold, closed_at)) for hold in holds]
    await conn.execute(_WRITE, _CHANGED.of(rows))


async def read_open_holds(conn: AsyncConnection, key: MemberKey, *, limit: int) -> list[Hold]:
    """Read a member's open holds, oldest first, without a lock."""
    values = {"program_id": key[0], "member_id": key[1], "limit": limit}
    return [from_row(Hold, row) for row in await conn.execute(_OPEN, values)]


async def read_overdue_holds(
    conn: AsyncConnection, members: Iterable[MemberKey], *, at: datetime
) -> list[Hold]:
    """Read open holds of these members' checkouts whose time has ended by `at`, without a lock.

    To end them, lock the balances and read them again.
    """
    rows = await conn.execute(_OVERDUE, _MEMBERS.of(sorted(set(members))) | {"at": at})
    return [from_row(Hold, row) for row in rows]


async def lock_overdue_holds(
    conn: AsyncConnection, *, now: datetime, ahead: timedelta, on_time: bool, limit: int
) -> list[UUID]:
    """Lock the balances of checkouts' holds whose time has ended by `now`; up to `limit` ids. Without
    `on_time` it has ended by the database's own clock plus `ahead` too.

    They may have ended otherwise just before, so read them again.
    """
    values = {"now": now, "ahead": ahead, "on_time": on_time, "limit": limit}
    return list((await conn.execute(_LOCK_OVERDUE, values)).scalars())


async def next_hold_end(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first instant later than `after` at which the time of a checkout's open hold ends."""
    end: datetime | None = (await conn.execute(_NEXT_END, {"after": after})).scalar()
    return end


def _closed_at(hold: Hold, otherwise: datetime | None) -> datetime | None:
    return None if hold.state == "open" else hold.closed_at or otherwise
