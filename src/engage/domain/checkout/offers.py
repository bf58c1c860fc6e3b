"""Paying an order with points and coupons: how much of it may be, and why no more. Pure.

Coupons come first: they are taken off the lines that they may be used for, and of these first off those that
cannot be paid with points. Points then pay what is left of the lines that can. The greatest share of
points is reckoned of these lines as the shop sent them, before any coupon.
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

# Why no points, or no more. `order_total`: there is no more to pay.
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

# Why a coupon is not to be used. The first are states of it.
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
    """What is to be paid: lines after the shop's own discounts, in minor units, shipping besides them."""

    lines: Sequence[Line]
    payment: Payment
    currency: str
    shipping: int = 0
    channel: Channel | None = None

    @property
    def total(self) -> int:
        return sum(line.paid for line in self.lines) + self.shipping


class Voucher(Struct, frozen=True, kw_only=True):
    """A coupon as a checkout sees it. `state` is how it stands now, `reward` what it was issued as; where
    that is not known any more, nothing but the value bounds it.
    """

    code: str
    state: str
    kind: str = "coupon"
    value_minor: int | None
    currency: str | None
    reward: CouponReward | None = None


class CheckoutTerms(Struct, frozen=True):
    """The terms that one version of a program has for checkouts of a market's members."""

    checkout: Checkout | None
    worth: Worth | None
    coupons: Coupons
    market: Market


class PointsOffer(Struct, frozen=True):
    """`max_points` are what "max" comes to, worth `value_minor`. At most `cap` may be asked for; beyond
    `max_points` they buy nothing more.
    """

    max_points: int
    value_minor: int
    cap: int
    reasons: list[PointsReason]


class CouponOffer(Struct, frozen=True):
    """What a coupon takes off, and off which lines, by their places; or why it takes off nothing."""

    discount_minor: int
    off: Mapping[int, int]
    reasons: list[CouponReason]


class Plan(Struct, frozen=True):
    """What points and coupons pay of an order."""

    points: int = 0
    points_minor: int = 0
    coupons: dict[str, int] = field(default_factory=dict)  # What each takes off, by code.

    @property
    def discount_minor(self) -> int:
        return self.points_minor + sum(self.coupons.values())


def plan(
    terms: CheckoutTerms,
    basket: Basket,
    *,
    active: int,
    points: int | Literal["max"],
    vouchers: Sequence[Voucher] = (),
) -> Plan:
    """What `points` of the `active` ones and these coupons pay together.

    Raises Refusal coupon_not_applicable, below_minimum, insufficient_points or not_payable_with_points.
    """
    left = [line.paid for line in basket.lines]
    coupons: dict[str, int] = {}
    for voucher in vouchers:
        offered = offer_coupon(terms, basket, voucher, left=left, before=len(coupons))
        if offered.reasons:
            raise Refusal(Code.COUPON_NOT_APPLICABLE, coupon_code=voucher.code, reasons=offered.reasons)
        coupons[voucher.code] = offered.discount_minor
        left = [minor - offered.off.get(n, 0) for n, minor in enumerate(left)]
    if points == 0:
        return Plan(coupons=coupons)
    offer = offer_points(terms, basket, active=active, left=left)
    if points == "max" and (offer.max_points or coupons):
        return Plan(offer.max_points, offer.value_minor, coupons)
    _check(terms.checkout, offer, points, active=active)
    assert points != "max"
    assert terms.worth is not None
    return Plan(points, worth_minor(terms.worth, points), coupons)


def offer_points(
    terms: CheckoutTerms, basket: Basket, *, active: int, left: Sequence[int] | None = None
) -> PointsOffer:
    """The most points that the order may be paid with. `left` is what coupons leave to pay of each line."""
    checkout, worth = terms.checkout, terms.worth
    if checkout is None or worth is None:
        return _no_points("not_offered")
    if basket.currency != terms.market.currency:
        return _no_points("currency")
    reason = _refused(checkout.orders, basket)
    if reason is not None:
        return _no_points(reason)
    reasons: list[PointsReason] = []
    places = _places(checkout, basket)
    if len(places) < len(basket.lines):
        reasons.append("promotion_lines")
    shipping = basket.shipping if checkout.shipping else 0
    base = sum(basket.lines[n].paid for n in places) + shipping
    to_pay = sum(basket.lines[n].paid if left is None else left[n] for n in places) + shipping
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
    # Points that buy not even one minor unit more are better kept.
    return PointsOffer(-(-value * worth.points // worth.minor), value, cap, reasons)


def offer_coupon(
    terms: CheckoutTerms,
    basket: Basket,
    voucher: Voucher,
    *,
    left: Sequence[int] | None = None,
    before: int = 0,
) -> CouponOffer:
    """What a coupon takes off. `left` is what is still to pay of each line, with `before` coupons in use."""
    left = left if left is not None else [line.paid for line in basket.lines]
    reason = _not_usable(terms.coupons, basket, voucher, before)
    if reason is not None:
        return _no_coupon(reason)
    places = _coupon_places(terms, basket, voucher)
    if not places:
        return _no_coupon("excluded_products")
    if voucher.reward and sum(basket.lines[n].paid for n in places) < voucher.reward.min_order_minor:
        return _no_coupon("minimum_order")
    assert voucher.value_minor is not None
    off: dict[int, int] = {}
    rest = voucher.value_minor
    for n in places:
        part = min(rest, left[n])
        if part:
            off[n] = part
            rest -= part
    if not off:
        return _no_coupon("order_total")
    return CouponOffer(voucher.value_minor - rest, off, [])


def worth_minor(worth: Worth, points: int) -> int:
    """What points are worth in minor units, rounded down."""
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
    """Why no line of an order may be paid with points."""
    if scope.channels is not None and basket.channel is not None and basket.channel not in scope.channels:
        return "channel"
    if basket.payment.method in scope.refused_methods:
        return "payment_method"
    if scope.online_at_pickup and _is_online(basket) and not basket.payment.at_pickup:
        return "not_at_pickup"
    return None


def _is_online(basket: Basket) -> bool:
    """Whether an order is one of the web shop or the app. Where it is not told, one that says it is not paid
    at pick-up is.
    """
    if basket.channel is None:
        return basket.payment.at_pickup is False
    return basket.channel != "store"


def _places(checkout: Checkout, basket: Basket) -> list[int]:
    """The lines, by their places, that may be paid with points."""
    return [n for n, line in enumerate(basket.lines) if checkout.orders.lines_of([line])]


def _not_usable(coupons: Coupons, basket: Basket, voucher: Voucher, before: int) -> CouponReason | None:
    match voucher.state:
        case "applied" | "used" | "void" | "expired" as state:
            return state
    if voucher.kind != "coupon" or voucher.value_minor is None:
        return "f_code"
    if coupons.suspended:
        return "suspended"
    if voucher.currency != basket.currency:
        return "currency"
    if before >= coupons.per_order:
        return "per_order"
    return None


def _coupon_places(terms: CheckoutTerms, basket: Basket, voucher: Voucher) -> list[int]:
    """The lines, by their places, that a coupon may be used for; those that points cannot pay come first."""
    excluded = {
        *terms.coupons.excluded_products,
        *(voucher.reward.excluded_products if voucher.reward else ()),
    }
    places = [n for n, line in enumerate(basket.lines) if line.product_id not in excluded]
    by_points = set() if terms.checkout is None else set(_places(terms.checkout, basket))
    return sorted(places, key=lambda n: n in by_points)
