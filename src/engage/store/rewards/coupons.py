"""Coupons and F-codes: what rewards gave to members, by their codes.

A member's coupons are written only while the member's balance is locked, so one coupon is applied at one
checkout, however many ask.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

CouponState = Literal["issued", "applied", "used", "void", "expired"]
CouponKind = Literal["coupon", "f_code"]


class Coupon(msgspec.Struct, frozen=True, kw_only=True):
    """`value_minor` in `currency` for a coupon, `product_id` for an F-code.

    `redemption_id` is the hold that paid for it; `hold_id` and `order_id` are those of the checkout that it
    is applied or used at.
    """

    program_id: str
    member_id: str
    id: UUID
    kind: CouponKind
    reward_id: str
    program_version: str
    code: str
    points: int
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


_COLUMNS = """c.program_id, c.member_id, c.id, c.kind, c.reward_id, c.program_version, c.code, c.points,
       c.value_minor, c.currency, c.product_id, c.state, c.redemption_id, c.hold_id, c.order_id, c.issued_at,
       c.expires_at, c.closed_at"""

_BY_CODE = text(f"""
SELECT {_COLUMNS}
FROM unnest(CAST(:program_ids AS text[]), CAST(:codes AS text[])) AS k (program_id, code)
JOIN coupons c USING (program_id, code)
""")  # noqa: S608  # Nothing but columns.

_ISSUED = text(f"""
SELECT {_COLUMNS} FROM coupons c
WHERE c.program_id = :program_id AND c.member_id = :member_id AND c.kind = 'coupon' AND c.state = 'issued'
  AND (c.expires_at IS NULL OR c.expires_at > :now)
ORDER BY c.expires_at, c.id LIMIT :limit
""")  # noqa: S608  # As above.

# One whose time has ended is expired, whether or not somebody has come round to noting it.
_STATE = "CASE WHEN c.state = 'issued' AND c.expires_at <= :now THEN 'expired' ELSE c.state END"

_LIST = text(f"""
SELECT {_COLUMNS.replace("c.state", _STATE)} FROM coupons c
WHERE c.program_id = :program_id AND c.member_id = :member_id
  AND (CAST(:state AS text) IS NULL OR {_STATE} = :state)
  AND (CAST(:before AS uuid) IS NULL OR c.id < :before)
ORDER BY c.id DESC LIMIT :limit
""")  # noqa: S608  # As above.

_GIVEN = text("""
SELECT k.program_id, k.member_id, k.reward_id, count(c.id)
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:reward_ids AS text[]),
    CAST(:sinces AS timestamptz[])
) AS k (program_id, member_id, reward_id, since)
LEFT JOIN coupons c
    ON c.program_id = k.program_id AND c.member_id = k.member_id AND c.reward_id = k.reward_id
   AND (k.since IS NULL OR c.issued_at >= k.since)
GROUP BY 1, 2, 3
""")

_ADD = text("""
INSERT INTO coupons (program_id, member_id, id, kind, reward_id, program_version, code, points, value_minor,
                     currency, product_id, state, redemption_id, issued_at, expires_at)
SELECT a.program_id, a.member_id, a.id, a.kind, a.reward_id, a.program_version, a.code, a.points,
       a.value_minor, a.currency, a.product_id, 'issued', a.redemption_id, a.issued_at, a.expires_at
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:ids AS uuid[]), CAST(:kinds AS text[]),
    CAST(:reward_ids AS text[]), CAST(:versions AS text[]), CAST(:codes AS text[]), CAST(:points AS bigint[]),
    CAST(:values AS bigint[]), CAST(:currencies AS text[]), CAST(:product_ids AS text[]),
    CAST(:redemption_ids AS uuid[]), CAST(:issued_ats AS timestamptz[]), CAST(:expires_ats AS timestamptz[])
) AS a (program_id, member_id, id, kind, reward_id, program_version, code, points, value_minor, currency,
        product_id, redemption_id, issued_at, expires_at)
""")

_WRITE = text("""
UPDATE coupons c
SET state = u.state, hold_id = u.hold_id, order_id = u.order_id, closed_at = u.closed_at
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:ids AS uuid[]), CAST(:states AS text[]),
    CAST(:hold_ids AS uuid[]), CAST(:order_ids AS text[]), CAST(:closed_ats AS timestamptz[])
) AS u (program_id, member_id, id, state, hold_id, order_id, closed_at)
WHERE c.program_id = u.program_id AND c.member_id = u.member_id AND c.id = u.id
""")

_USE = text("""
UPDATE coupons c SET state = 'used', closed_at = :at
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:hold_ids AS uuid[]))
    AS u (program_id, member_id, hold_id)
WHERE c.program_id = u.program_id AND c.member_id = u.member_id AND c.hold_id = u.hold_id
  AND c.state = 'applied'
""")

# Members whose balance somebody else holds are left to the next round.
_EXPIRE = text("""
WITH ended AS MATERIALIZED (
    SELECT c.program_id, c.member_id, c.id
    FROM coupons c JOIN balances b USING (program_id, member_id)
    WHERE c.state = 'issued' AND c.expires_at <= :now
    ORDER BY c.expires_at LIMIT :limit
    FOR UPDATE OF b, c SKIP LOCKED
)
UPDATE coupons c SET state = 'expired', closed_at = CASE WHEN :on_time THEN c.expires_at ELSE :now END
FROM ended e
WHERE c.program_id = e.program_id AND c.member_id = e.member_id AND c.id = e.id
""")

_NEXT_END = text("SELECT min(expires_at) FROM coupons WHERE state = 'issued' AND expires_at > :after")

# A coupon whose time has ended gets the grace where it had been used, and ends where it was only set aside.
_RETURN = text(f"""
WITH back AS MATERIALIZED (
    SELECT c.program_id, c.member_id, c.id,
           CASE WHEN c.expires_at > r.at OR c.expires_at IS NULL THEN c.expires_at
                WHEN c.state = 'used' AND r.grace > interval '0' THEN r.at + r.grace END AS expires_at,
           NOT (c.expires_at IS NULL OR c.expires_at > r.at
                OR (c.state = 'used' AND r.grace > interval '0')) AS ended,
           c.expires_at AS ended_at, r.at
    FROM unnest(
        CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:hold_ids AS uuid[]),
        CAST(:ats AS timestamptz[]), CAST(:graces AS interval[])
    ) AS r (program_id, member_id, hold_id, at, grace)
    JOIN coupons c USING (program_id, member_id, hold_id)
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
""")  # noqa: S608  # Nothing but columns.


async def read_by_codes(
    conn: AsyncConnection, codes: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Coupon]:
    """By (program, code), whoever has it; what is missing is no code of ours."""
    asked = sorted(set(codes))
    rows = await conn.execute(
        _BY_CODE, {"program_ids": [program for program, _ in asked], "codes": [code for _, code in asked]}
    )
    return {(coupon.program_id, coupon.code): coupon for coupon in map(_coupon, rows)}


async def read_issued(
    conn: AsyncConnection, program_id: str, member_id: str, *, now: datetime, limit: int
) -> list[Coupon]:
    """The coupons, not F-codes, that a member can use now, those that end first at the front."""
    values = {"program_id": program_id, "member_id": member_id, "now": now, "limit": limit}
    return [_coupon(row) for row in await conn.execute(_ISSUED, values)]


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
    """Newest first, those with an id below `before`; in the state that they are in at `now`."""
    values = {
        "program_id": program_id,
        "member_id": member_id,
        "state": state,
        "before": before,
        "limit": limit,
        "now": now,
    }
    return [_coupon(row) for row in await conn.execute(_LIST, values)]


async def count_issued(
    conn: AsyncConnection, asked: Iterable[tuple[str, str, str, datetime | None]]
) -> dict[tuple[str, str, str], int]:
    """How often each (program, member, reward, since) was given, by the first three."""
    each = sorted({one[:3]: one for one in asked}.values(), key=lambda one: one[:3])
    rows = await conn.execute(
        _GIVEN,
        {
            "program_ids": [one[0] for one in each],
            "member_ids": [one[1] for one in each],
            "reward_ids": [one[2] for one in each],
            "sinces": [one[3] for one in each],
        },
    )
    return {(program_id, member_id, reward_id): count for program_id, member_id, reward_id, count in rows}


async def add_coupons(conn: AsyncConnection, coupons: Sequence[Coupon]) -> None:
    """New ones, all `issued`."""
    await conn.execute(
        _ADD,
        {
            "program_ids": [c.program_id for c in coupons],
            "member_ids": [c.member_id for c in coupons],
            "ids": [c.id for c in coupons],
            "kinds": [c.kind for c in coupons],
            "reward_ids": [c.reward_id for c in coupons],
            "versions": [c.program_version for c in coupons],
            "codes": [c.code for c in coupons],
            "points": [c.points for c in coupons],
            "values": [c.value_minor for c in coupons],
            "currencies": [c.currency for c in coupons],
            "product_ids": [c.product_id for c in coupons],
            "redemption_ids": [c.redemption_id for c in coupons],
            "issued_ats": [c.issued_at for c in coupons],
            "expires_ats": [c.expires_at for c in coupons],
        },
    )


async def write_coupons(conn: AsyncConnection, coupons: Sequence[Coupon]) -> None:
    """Writes the state of these coupons, when they closed, and the checkout that they are at."""
    await conn.execute(
        _WRITE,
        {
            "program_ids": [c.program_id for c in coupons],
            "member_ids": [c.member_id for c in coupons],
            "ids": [c.id for c in coupons],
            "states": [c.state for c in coupons],
            "hold_ids": [c.hold_id for c in coupons],
            "order_ids": [c.order_id for c in coupons],
            "closed_ats": [c.closed_at for c in coupons],
        },
    )


async def use_coupons(conn: AsyncConnection, holds: Iterable[tuple[str, str, UUID]], *, at: datetime) -> None:
    """The coupons that these (program, member, hold) applied are used."""
    await conn.execute(_USE, _of_holds(sorted(set(holds))) | {"at": at})


async def return_coupons(
    conn: AsyncConnection,
    holds: Iterable[tuple[str, str, UUID]],
    *,
    now: datetime | dict[UUID, datetime],
    grace: timedelta | dict[tuple[str, str], timedelta] = timedelta(),
) -> list[Coupon]:
    """The coupons that these (program, member, hold) applied or used go back to their members, as `issued`;
    as they are then. One that went back before is not among them.

    One whose time has ended meanwhile: had the order been captured, it can be used for `grace` from now (by
    the program's `grace`, one for all or by (program, member)); where it was only applied, at a hold that is
    released or times out, it is `expired`. `now` may differ between holds.
    """
    asked = sorted(set(holds))
    rows = await conn.execute(
        _RETURN,
        _of_holds(asked)
        | {
            "ats": [now[hold] if isinstance(now, dict) else now for _, _, hold in asked],
            "graces": [
                grace.get((program, member), timedelta()) if isinstance(grace, dict) else grace
                for program, member, _ in asked
            ],
        },
    )
    return [_coupon(row) for row in rows]


async def expire_batch(conn: AsyncConnection, *, now: datetime, on_time: bool, limit: int) -> int:
    """Ends up to `limit` coupons whose time has come by `now`; how many. `on_time`: each at its own time.

    One that is applied at a checkout waits for what becomes of that.
    """
    return (await conn.execute(_EXPIRE, {"now": now, "on_time": on_time, "limit": limit})).rowcount


async def next_coupon_end(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """The first instant later than `after` at which the time of an issued coupon ends."""
    found: datetime | None = (await conn.execute(_NEXT_END, {"after": after})).scalar()
    return found


def _of_holds(holds: Sequence[tuple[str, str, UUID]]) -> dict[str, Any]:
    return {
        "program_ids": [program for program, _, _ in holds],
        "member_ids": [member for _, member, _ in holds],
        "hold_ids": [hold for _, _, hold in holds],
    }


def _coupon(row: Sequence[Any]) -> Coupon:
    return Coupon(**dict(zip(Coupon.__struct_fields__, row, strict=True)))
