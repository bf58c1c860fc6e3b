"""Offers of the checkout: how much of an order points and coupons can pay, and the reasons why not more.

Coupons come first. A coupon reduces the lines that it applies to, starting with those that points cannot pay.
Points then pay the rest of the lines that they can pay. `max_percent` is a share of these lines as the shop
sent them, before coupons.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from engage.domain.activity import Channel, Line, Payment
from engage.domain.checkout.definition import Checkout
from engage.domain.document.order_scope import OrderScope
from engage.domain.document.worth import Worth
from engage.domain.market import Market
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards.definition import CouponReward, Coupons

# Reasons for no points, or not more. `order_total`: nothing more is left to pay.
PointsReason = Literal[
    "not_offered",
    "currency",
    "channel",
    "payment_method",
    "not_at_pickup",
    "promotion_lines",
    "order_total",
    "max_percent",
    "below_minimum",
]

# Reasons for no discount. The first four are states of the coupon.
CouponReason = Literal[
    "applied",
    "used",
    "void",
    "expired",
    "f_code",
    "suspended",
    "currency",
    "excluded_products",
    "minimum_order",
    "order_total",
    "per_order",
]


class Basket(Struct, frozen=True, kw_only=True):
    """An order to pay: lines after the shop's own discounts, and shipping, in minor units."""

    lines: Sequence[Line]
    payment: Payment
    currency: str
    shipping: int = 0
    channel: Channel | None = None

    @property
    def total(self) -> int:
        return sum(line.paid for line in self.lines) + self.shipping


class CheckoutCoupon(Struct, frozen=True, kw_only=True):
    """A coupon or F-code, presented at the checkout. `state` is its state now. `reward` is the definition
    that it was issued by; without it, only the value limits the discount.
    """

    code: str
    state: str
    kind: str = "coupon"
    value_minor: int | None
    currency: str | None
    reward: CouponReward | None = None


class CheckoutTerms(Struct, frozen=True):
    """The terms of a program version about checkouts, for members of one market."""

    checkout: Checkout | None
    worth: Worth | None
    coupons: Coupons
    market: Market


class PointsOffer(Struct, frozen=True):
    """`max_points` is the result of "max", worth `value_minor`. A request may have up to `cap` points; those
    beyond `max_points` add no value.
    """

    max_points: int
    value_minor: int
    cap: int
    reasons: list[PointsReason]


class CouponOffer(Struct, frozen=True):
    """The discount of a coupon, in all and by the index of a line; or the reasons why there is none."""

    discount_minor: int
    by_line: Mapping[int, int]
    reasons: list[CouponReason]


class Plan(Struct, frozen=True):
    """The part of an order that points and coupons pay."""

    points: int = 0
    points_minor: int = 0
    coupons: dict[str, int] = field(default_factory=dict)  # Discounts by code.

    @property
    def discount_minor(self) -> int:
        return self.points_minor + sum(self.coupons.values())


def plan(
    terms: CheckoutTerms,
    basket: Basket,
    *,
    active: int,
    points: int | Literal["max"],
    coupons: Sequence[CheckoutCoupon] = (),
) -> Plan:
    """Pay with `points` of the `active` ones, and with coupons.

    Raises Refusal coupon_not_applicable, below_minimum, insufficient_points or not_payable_with_points.
    """
    left = [line.paid for line in basket.lines]
    discounts: dict[str, int] = {}
    for coupon in coupons:
        discount = offer_coupon(terms, basket, coupon, left=left, before=len(discounts))
        if discount.reasons:
            raise Refusal(Code.COUPON_NOT_APPLICABLE, coupon_code=coupon.code, reasons=discount.reasons)
        discounts[coupon.code] = discount.discount_minor
        left = [minor - discount.by_line.get(n, 0) for n, minor in enumerate(left)]
    if points == 0:
        return Plan(coupons=discounts)
    offer = offer_points(terms, basket, active=active, left=left)
    if points == "max" and (offer.max_points or discounts):
        return Plan(offer.max_points, offer.value_minor, discounts)
    _check(terms.checkout, offer, points, active=active)
    assert points != "max"
    assert terms.worth is not None
    return Plan(points, worth_minor(terms.worth, points), discounts)


def offer_points(
    terms: CheckoutTerms, basket: Basket, *, active: int, left: Sequence[int] | None = None
) -> PointsOffer:
    """The most points that can pay an order. `left`: what coupons leave to pay of each line."""
    checkout, worth = terms.checkout, terms.worth
    if checkout is None or worth is None:
        return _no_points("not_offered")
    if basket.currency != terms.market.currency:
        return _no_points("currency")
    reason = _refused(checkout.orders, basket)
    if reason is not None:
        return _no_points(reason)
    reasons: list[PointsReason] = []
    payable = _payable_lines(checkout, basket)
    if len(payable) < len(basket.lines):
        reasons.append("promotion_lines")
    shipping = basket.shipping if checkout.shipping else 0
    base = sum(basket.lines[n].paid for n in payable) + shipping
    to_pay = sum(basket.lines[n].paid if left is None else left[n] for n in payable) + shipping
    by_percent = base * checkout.max_percent * worth.points // (100 * worth.minor)
    by_total = to_pay * worth.points // worth.minor
    if not worth_minor(worth, min(by_percent, by_total)):
        return PointsOffer(0, 0, 0, [*reasons, "max_percent" if by_percent < by_total else "order_total"])
    if active < checkout.min_balance:
        return PointsOffer(0, 0, min(by_percent, by_total), [*reasons, "below_minimum"])
    if min(by_percent, by_total) < active:
        reasons.append("max_percent" if by_percent < by_total else "order_total")
    cap = min(by_percent, by_total, active)
    value = worth_minor(worth, cap)
    if not value:
        return PointsOffer(0, 0, cap, [*reasons, "below_minimum"])
    # Round up from the value: points that add less than one minor unit stay with the member.
    return PointsOffer(-(-value * worth.points // worth.minor), value, cap, reasons)


def offer_coupon(
    terms: CheckoutTerms,
    basket: Basket,
    coupon: CheckoutCoupon,
    *,
    left: Sequence[int] | None = None,
    before: int = 0,
) -> CouponOffer:
    """The discount of a coupon. `left`: the minor units of each line still to pay, after `before` other
    coupons.
    """
    left = left if left is not None else [line.paid for line in basket.lines]
    reason = _not_usable(terms.coupons, basket, coupon, before)
    if reason is not None:
        return _no_coupon(reason)
    lines = _coupon_lines(terms, basket, coupon)
    if not lines:
        return _no_coupon("excluded_products")
    if coupon.reward and sum(basket.lines[n].paid for n in lines) < coupon.reward.min_order_minor:
        return _no_coupon("minimum_order")
    assert coupon.value_minor is not None
    by_line: dict[int, int] = {}
    rest = coupon.value_minor
    for n in lines:
        discount = min(rest, left[n])
        if discount:
            by_line[n] = discount
            rest -= discount
    if not by_line:
        return _no_coupon("order_total")
    return CouponOffer(coupon.value_minor - rest, by_line, [])


def worth_minor(worth: Worth, points: int) -> int:
    """The worth of points in minor units, rounded down."""
    return points * worth.minor // worth.points


def _check(
    checkout: Checkout | None, offer: PointsOffer, points: int | Literal["max"], *, active: int
) -> None:
    """Raises Refusal below_minimum, insufficient_points or not_payable_with_points."""
    minimum = 1 if checkout is None else checkout.min_balance
    if not offer.cap:
        raise _not_payable(offer)
    if points != "max" and points > active:
        raise Refusal(Code.INSUFFICIENT_POINTS, active=active, points=points)
    if active < minimum or (points == "max" and not offer.max_points):
        raise Refusal(Code.BELOW_MINIMUM, active=active, minimum=minimum)
    if points != "max" and points > offer.cap:
        raise _not_payable(offer)


def _not_payable(offer: PointsOffer) -> Refusal:
    return Refusal(Code.NOT_PAYABLE_WITH_POINTS, max_points=offer.max_points, reasons=offer.reasons)


def _no_points(reason: PointsReason) -> PointsOffer:
    return PointsOffer(0, 0, 0, [reason])


def _no_coupon(reason: CouponReason) -> CouponOffer:
    return CouponOffer(0, {}, [reason])


def _refused(scope: OrderScope, basket: Basket) -> PointsReason | None:
    """The reason why points can pay no line of an order."""
    if scope.channels is not None and basket.channel is not None and basket.channel not in scope.channels:
        return "channel"
    if basket.payment.method in scope.refused_methods:
        return "payment_method"
    if scope.online_at_pickup and _is_online(basket) and not basket.payment.at_pickup:
        return "not_at_pickup"
    return None


def _is_online(basket: Basket) -> bool:
    """Tell orders of the web shop and the app. Without a channel, an order with `at_pickup` false is one."""
    if basket.channel is None:
        return basket.payment.at_pickup is False
    return basket.channel != "store"


def _payable_lines(checkout: Checkout, basket: Basket) -> list[int]:
    """The indexes of the lines that points can pay."""
    return [n for n, line in enumerate(basket.lines) if checkout.orders.lines_of([line])]


def _not_usable(terms: Coupons, basket: Basket, coupon: CheckoutCoupon, before: int) -> CouponReason | None:
    match coupon.state:
        case "applied" | "used" | "void" | "expired" as state:
            return state
    if coupon.kind != "coupon" or coupon.value_minor is None:
        return "f_code"
    if terms.suspended:
        return "suspended"
    if coupon.currency != basket.currency:
        return "currency"
    if before >= terms.per_order:
        return "per_order"
    return None


def _coupon_lines(terms: CheckoutTerms, basket: Basket, coupon: CheckoutCoupon) -> list[int]:
    """The indexes of the lines that a coupon applies to, those that points cannot pay first."""
    excluded = {
        *terms.coupons.excluded_products,
        *(coupon.reward.excluded_products if coupon.reward else ()),
    }
    lines = [n for n, line in enumerate(basket.lines) if line.product_id not in excluded]
    payable = set() if terms.checkout is None else set(_payable_lines(terms.checkout, basket))
    return sorted(lines, key=lambda n: n in payable)
