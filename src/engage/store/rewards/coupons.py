"""Coupons and F-codes, by their codes.

A member's coupons are written only while the member's balance is locked, so a coupon is applied at one
checkout, however many requests there are.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import CouponKey, HoldKey, MemberKey
from engage.schema.rewards import coupons as table
from engage.schema.rows import Batch, columns, from_row, of_member, select_list
from engage.schema.time import NOW, is_due

CouponState = Literal["issued", "applied", "used", "void", "expired"]
CouponKind = Literal["coupon", "f_code"]


class Coupon(msgspec.Struct, frozen=True, kw_only=True):
    """`value_minor` in `currency` for a coupon, `product_id` for an F-code. `campaign` had it at its
    price.

    `member_id` is who redeemed it. `redemption_id` is the hold that paid for it; `hold_id` and `order_id` are
    those of the checkout that it is applied or used at.
    """

    program_id: str
    member_id: str
    id: UUID
    kind: CouponKind
    reward_id: str
    program_version: str
    code: str
    points: int
    campaign: str | None = None
    value_minor: int | None
    currency: str | None
    product_id: str | None
    state: CouponState
    redemption_id: UUID
    hold_id: UUID | None = None
    order_id: str | None = None
    issued_at: datetime
    expires_at: datetime | None
    closed_at: datetime | None = None
    passed_to: str | None = None
    passed_at: datetime | None = None

    @property
    def holder_id(self) -> str:
        """The member who can use it: of an F-code that was passed on, its receiver."""
        return self.passed_to or self.member_id


_CODES = Batch("k", table, "program_id", "code")
_HOLDS = Batch("u", table, "program_id", "member_id", "hold_id")
_RETURNED = Batch("r", table, "program_id", "member_id", "hold_id", at="timestamptz", grace="interval")
_REWARDS = Batch("k", table, "program_id", "member_id", "reward_id", since="timestamptz")
_NEW = Batch(
    "a",
    table,
    *(
        "program_id",
        "member_id",
        "id",
        "kind",
        "reward_id",
        "program_version",
        "code",
        "points",
        "campaign",
        "value_minor",
    ),
    *("currency", "product_id", "state", "redemption_id", "issued_at", "expires_at"),
)
_CHANGED = Batch("u", table, "program_id", "member_id", "id", "state", "hold_id", "order_id", "closed_at")
_PASSED = Batch("u", table, "program_id", "member_id", "id", "passed_to", "passed_at")
_COLUMNS = select_list(Coupon, "c")

_BY_CODE = text(f"""
SELECT {_COLUMNS} FROM {_CODES} JOIN coupons c USING (program_id, code)
""")  # noqa: S608  # Names of the schema, here and below.

# A coupon whose time has ended is expired, whether or not the sweep has reached it.
_STATE = "CASE WHEN c.state = 'issued' AND c.expires_at <= :now THEN 'expired' ELSE c.state END"

_LIST = text(f"""
SELECT {_COLUMNS.replace("c.state", _STATE)} FROM coupons c
WHERE c.program_id = :program_id AND (c.member_id = :member_id OR c.passed_to = :member_id)
  AND (CAST(:state AS text) IS NULL OR {_STATE} = :state)
  AND (CAST(:before AS uuid) IS NULL OR c.id < :before)
ORDER BY c.id DESC LIMIT :limit
""")  # noqa: S608

_COUNT = text(f"""
SELECT k.program_id, k.member_id, k.reward_id, count(c.id)
FROM {_REWARDS}
LEFT JOIN coupons c
    ON c.program_id = k.program_id AND c.member_id = k.member_id AND c.reward_id = k.reward_id
   AND (k.since IS NULL OR c.issued_at >= k.since)
GROUP BY 1, 2, 3
""")  # noqa: S608

_ADD = text(f"INSERT INTO coupons ({_NEW.columns}) SELECT {_NEW.columns} FROM {_NEW}")  # noqa: S608

_WRITE = text(f"""
UPDATE coupons c
SET state = u.state, hold_id = u.hold_id, order_id = u.order_id, closed_at = u.closed_at
FROM {_CHANGED} WHERE c.program_id = u.program_id AND c.member_id = u.member_id AND c.id = u.id
""")  # noqa: S608

_PASS = text(f"""
UPDATE coupons c SET passed_to = u.passed_to, passed_at = u.passed_at
FROM {_PASSED} WHERE c.program_id = u.program_id AND c.member_id = u.member_id AND c.id = u.id
""")  # noqa: S608

_USE = text(f"""
UPDATE coupons c SET state = 'used', closed_at = :at
FROM {_HOLDS}
WHERE c.program_id = u.program_id AND c.member_id = u.member_id AND c.hold_id = u.hold_id
  AND c.state = 'applied'
""")  # noqa: S608

# Members whose balance another transaction holds are left to the next batch.
_EXPIRE = text(f"""
WITH ended AS MATERIALIZED (
    SELECT c.program_id, c.member_id, c.id
    FROM coupons c JOIN balances b USING (program_id, member_id)
    WHERE c.state = 'issued' AND {is_due("c.expires_at")}
    ORDER BY c.expires_at LIMIT :limit
    FOR UPDATE OF b, c SKIP LOCKED
)
UPDATE coupons c SET state = 'expired', closed_at = CASE WHEN :on_time THEN c.expires_at ELSE {NOW} END
FROM ended e
WHERE c.program_id = e.program_id AND c.member_id = e.member_id AND c.id = e.id
""")  # noqa: S608

_NEXT_END = text("SELECT min(expires_at) FROM coupons WHERE state = 'issued' AND expires_at > :after")

# A coupon whose time has ended gets the grace when it had been used, and expires when it was only applied.
_RETURN = text(f"""
WITH back AS MATERIALIZED (
    SELECT c.program_id, c.member_id, c.id,
           CASE WHEN c.expires_at > r.at OR c.expires_at IS NULL THEN c.expires_at
                WHEN c.state = 'used' AND r.grace > interval '0' THEN r.at + r.grace END AS expires_at,
           NOT (c.expires_at IS NULL OR c.expires_at > r.at
                OR (c.state = 'used' AND r.grace > interval '0')) AS ended,
           c.expires_at AS ended_at, r.at
    FROM {_RETURNED} JOIN coupons c USING (program_id, member_id, hold_id)
    WHERE c.state IN ('applied', 'used')
)
UPDATE coupons c
SET state = CASE WHEN b.ended THEN 'expired' ELSE 'issued' END,
    expires_at = CASE WHEN b.ended THEN b.ended_at ELSE b.expires_at END,
    closed_at = CASE WHEN b.ended THEN b.at END,
    hold_id = NULL, order_id = NULL
FROM back b
WHERE c.program_id = b.program_id AND c.member_id = b.member_id AND c.id = b.id
RETURNING {_COLUMNS}
""")  # noqa: S608


async def read_by_codes(conn: AsyncConnection, codes: Iterable[CouponKey]) -> dict[CouponKey, Coupon]:
    """Read coupons of any member by (program, code); unknown codes are absent."""
    rows = await conn.execute(_BY_CODE, _CODES.of(sorted(set(codes))))
    return {(row.program_id, row.code): from_row(Coupon, row) for row in rows}


async def read_issued(
    conn: AsyncConnection, program_id: str, member_id: str, *, now: datetime, limit: int
) -> list[Coupon]:
    """Read the coupons, not F-codes, that a member can use now; those that end first stand first."""
    rows = await conn.execute(
        select(*columns(table, Coupon))
        .where(
            of_member(table, (program_id, member_id)),
            table.c.kind == "coupon",
            table.c.state == "issued",
            table.c.expires_at.is_(None) | (table.c.expires_at > now),
        )
        .order_by(table.c.expires_at, table.c.id)
        .limit(limit)
    )
    return [from_row(Coupon, row) for row in rows]


async def list_coupons(
    conn: AsyncConnection,
    program_id: str,
    member_id: str,
    *,
    state: CouponState | None,
    before: UUID | None,
    limit: int,
    now: datetime,
) -> list[Coupon]:
    """List the coupons that a member redeemed, and the F-codes passed on to them, with an id below `before`,
    newest first, in the state that they have at `now`.
    """
    values = {
        "program_id": program_id,
        "member_id": member_id,
        "state": state,
        "before": before,
        "limit": limit,
        "now": now,
    }
    return [from_row(Coupon, row) for row in await conn.execute(_LIST, values)]


async def count_issued(
    conn: AsyncConnection, queries: Iterable[tuple[str, str, str, datetime | None]]
) -> dict[tuple[str, str, str], int]:
    """Count coupons of a reward issued to a member since an instant, or ever: (program, member, reward,
    since).

    The counts are by (program, member, reward), each of which is queried once.
    """
    by_reward = sorted({query[:3]: query for query in queries}.items())
    rows = await conn.execute(_COUNT, _REWARDS.of(query for _, query in by_reward))
    return {(program_id, member_id, reward_id): count for program_id, member_id, reward_id, count in rows}


async def add_coupons(conn: AsyncConnection, coupons: Sequence[Coupon]) -> None:
    await conn.execute(_ADD, _NEW.of_structs(coupons))


async def write_coupons(conn: AsyncConnection, coupons: Sequence[Coupon]) -> None:
    """Write the state of these coupons, when they closed, and the checkout that they are applied at."""
    await conn.execute(_WRITE, _CHANGED.of_structs(coupons))


async def pass_coupon(conn: AsyncConnection, coupon: Coupon) -> None:
    """Write to whom an F-code was passed on, and when."""
    await conn.execute(_PASS, _PASSED.of_structs([coupon]))


async def use_coupons(conn: AsyncConnection, holds: Iterable[HoldKey], *, at: datetime) -> None:
    """Mark the coupons that are applied at these holds as used."""
    await conn.execute(_USE, _HOLDS.of(sorted(set(holds))) | {"at": at})


async def return_coupons(
    conn: AsyncConnection,
    holds: Iterable[HoldKey],
    *,
    now: datetime | dict[UUID, datetime],
    grace: timedelta | dict[MemberKey, timedelta] = timedelta(),
) -> list[Coupon]:
    """Give the coupons that are applied or used at these holds back to their members, as `issued`.

    A coupon whose time has ended meanwhile can be used for `grace` from now when it was used; when it was
    only applied, it is `expired`. `now` may differ between holds, `grace` between members. Coupons that were
    given back before are not among the result.
    """
    returned = []
    for program_id, member_id, hold_id in sorted(set(holds)):
        at = now[hold_id] if isinstance(now, dict) else now
        allowed = grace.get((program_id, member_id), timedelta()) if isinstance(grace, dict) else grace
        returned.append((program_id, member_id, hold_id, at, allowed))
    rows = await conn.execute(_RETURN, _RETURNED.of(returned))
    return [from_row(Coupon, row) for row in rows]


async def expire_batch(
    conn: AsyncConnection, *, now: datetime, ahead: timedelta, on_time: bool, limit: int
) -> int:
    """Expire up to `limit` coupons whose time ended by `now`; the number of them. `on_time`: each at its
    time.

    Without it they have ended by the database's own clock plus `ahead` too. A coupon that is applied at a
    checkout waits for the checkout's end.
    """
    values = {"now": now, "ahead": ahead, "on_time": on_time, "limit": limit}
    return (await conn.execute(_EXPIRE, values)).rowcount


async def next_coupon_end(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first instant later than `after` at which the time of an issued coupon ends."""
    end: datetime | None = (await conn.execute(_NEXT_END, {"after": after})).scalar()
    return end
