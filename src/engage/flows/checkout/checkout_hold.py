"""A hold of a checkout, as the shop sees it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from engage.domain.money import Money
from engage.ledger.holds import Hold


class AppliedCoupon(Struct, frozen=True):
    code: str
    discount: Money


class CheckoutHold(Struct, frozen=True):
    """Points and coupons set aside for an order until `expires_at`. `discount` is the whole reduction,
    coupons included.
    """

    hold_id: UUID
    order_id: str
    points: int
    discount: Money
    coupons: list[AppliedCoupon]
    expires_at: datetime | None


def view_of(made: Hold) -> CheckoutHold:
    assert made.order_id is not None
    assert made.currency is not None
    discounts = stored_request(made)["coupons"].items()
    coupons = [AppliedCoupon(code, Money(minor, made.currency)) for code, minor in discounts]
    discount = Money(made.discount_minor, made.currency)
    return CheckoutHold(made.id, made.order_id, made.points, discount, coupons, made.expires_at)


def stored_request(known: Hold) -> dict[str, Any]:
    assert known.request is not None
    return known.request
