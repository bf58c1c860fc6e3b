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
        {
            "program_ids": [program for program, _, _ in asked],
            "member_ids": [member for _, member, _ in asked],
            "hold_ids": [hold for _, _, hold in asked],
            "ats": [now[hold] if isinstance(now, dict) else now for _, _, hold in asked],
            "graces": [
                grace.get((program, member), timedelta()) if isinstance(grace, dict) else grace
                for program, member, _ in asked
            ],
        },
    )
    return [_coupon(row) for row in rows]


def _coupon(row: Sequence[Any]) -> Coupon:
    return Coupon(**dict(zip(Coupon.__struct_fields__, row, strict=True)))
