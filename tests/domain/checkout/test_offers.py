"""Offers of the checkout: the limits of the presets, and properties of any order."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.domain.activity import Channel, Line, Payment
from engage.domain.checkout.definition import Checkout
from engage.domain.checkout.offers import (
    Basket,
    CheckoutCoupon,
    CheckoutTerms,
    Plan,
    PointsOffer,
    offer_coupon,
    offer_points,
    plan,
    worth_minor,
)
from engage.domain.document.order_scope import OrderScope
from engage.domain.document.worth import Worth
from engage.domain.market import Market
from engage.domain.refusals import Refusal
from engage.domain.rewards.definition import CouponReward, Coupons

MARKET = Market(zone="Europe/Madrid", currency="EUR")
COUPON = CouponReward(id="five", title="5 EUR", points=500, value_minor=500)


def terms(
    checkout: Checkout | None = None, worth: Worth | None = None, coupons: Coupons | None = None
) -> CheckoutTerms:
    return CheckoutTerms(checkout, worth or Worth(points=1, minor=1), coupons or Coupons(), MARKET)


def line(paid: int, product: str = "band", *, promotion: bool = False) -> Line:
    return Line(line_id=f"l-{product}-{paid}", product_id=product, paid=paid, promotion=promotion)


def basket(
    *lines: Line,
    shipping: int = 0,
    method: str = "card",
    at_pickup: bool | None = None,
    channel: Channel | None = "web",
) -> Basket:
    payment = Payment(method=method, at_pickup=at_pickup)
    return Basket(lines=lines, payment=payment, currency="EUR", shipping=shipping, channel=channel)


def coupon(code: str = "A", value: int = 500, **changes: Any) -> CheckoutCoupon:
    fields: dict[str, Any] = {"state": "issued", "currency": "EUR", "reward": COUPON} | changes
    return CheckoutCoupon(code=code, value_minor=value, **fields)


def offered(checkout: Checkout, *lines: Line, active: int, **changes: Any) -> PointsOffer:
    return offer_points(terms(checkout), basket(*lines, **changes), active=active)


def refusal(
    of: CheckoutTerms,
    order: Basket,
    *,
    active: int,
    points: Any = "max",
    coupons: Sequence[CheckoutCoupon] = (),
) -> Refusal:
    with pytest.raises(Refusal) as caught:
        plan(of, order, active=active, points=points, coupons=coupons)
    return caught.value


# The rules of the five presets.


def test_points_pay_all_of_an_order_from_the_minimum_balance_on() -> None:
    rules = Checkout(min_balance=1_000)
    below = offered(rules, line(50_00), active=999)
    assert (below.max_points, below.reasons) == (0, ["below_minimum"])
    assert offered(rules, line(50_00), active=1_000) == PointsOffer(1_000, 1_000, 1_000, [])
    assert offered(rules, line(5_00), active=1_000) == PointsOffer(500, 500, 500, ["order_total"])


def test_a_point_is_worth_a_hundred_francs_which_have_no_minor_unit() -> None:
    rules = terms(Checkout(min_balance=10), Worth(points=1, minor=100))
    found = offer_points(rules, basket(line(12_345)), active=1_000)
    assert found == PointsOffer(123, 12_300, 123, ["order_total"])


def test_thirty_percent_of_the_payable_lines_rounded_down_to_whole_points() -> None:
    rules = terms(
        Checkout(
            max_percent=30,
            orders=OrderScope(
                promotion_lines=False, refused_methods=["credit", "instalments"], online_at_pickup=True
            ),
        ),
        Worth(points=1, minor=100),
    )
    lines = [line(99_99), line(50_00, "mouse", promotion=True)]
    found = offer_points(rules, basket(*lines, shipping=10_00, at_pickup=True), active=500)
    # 29.997 BYN of 99.99; neither the promotion nor the shipping counts.
    assert found == PointsOffer(29, 29_00, 29, ["promotion_lines", "max_percent"])


@pytest.mark.parametrize(
    ("scope", "changes", "reason"),
    [
        ({"channels": ["web", "app"]}, {"channel": "store"}, "channel"),
        ({"refused_methods": ["credit"]}, {"method": "credit"}, "payment_method"),
        ({"online_at_pickup": True}, {"channel": "app"}, "not_at_pickup"),
        ({"online_at_pickup": True}, {"channel": None, "at_pickup": False}, "not_at_pickup"),
    ],
)
def test_an_order_that_is_out_of_scope_says_why(
    scope: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    rules = Checkout(orders=OrderScope(**scope))
    found = offered(rules, line(10_00), active=100, **changes)
    assert (found.max_points, found.cap, found.reasons) == (0, 0, [reason])
    refused = refusal(terms(rules), basket(line(10_00), **changes), active=100, points=1)
    assert (refused.code, refused.facts["reasons"]) == ("not_payable_with_points", [reason])


@pytest.mark.parametrize("scope", [{"channels": ["web", "app"]}, {"online_at_pickup": True}])
def test_a_missing_channel_or_pickup_refuses_no_order(scope: dict[str, Any]) -> None:
    rules = Checkout(orders=OrderScope(**scope))
    assert offered(rules, line(10_00), active=100, channel=None).max_points == 100


def test_an_order_of_promotions_only_cannot_be_paid_with_points() -> None:
    rules = Checkout(orders=OrderScope(promotion_lines=False))
    found = offered(rules, line(10_00, promotion=True), active=100)
    assert (found.max_points, found.reasons) == (0, ["promotion_lines", "order_total"])


def test_a_program_without_a_checkout_offers_none() -> None:
    refused = refusal(terms(), basket(line(10_00)), active=100)
    assert (refused.code, refused.facts) == (
        "not_payable_with_points",
        {"max_points": 0, "reasons": ["not_offered"]},
    )


def test_another_currency_is_refused() -> None:
    pounds = msgspec.structs.replace(basket(line(10_00)), currency="GBP")
    assert offer_points(terms(Checkout()), pounds, active=5).reasons == ["currency"]
    assert offer_coupon(terms(), pounds, coupon()).reasons == ["currency"]


@pytest.mark.parametrize(
    ("points", "active", "code"),
    [
        (101, 100, "insufficient_points"),
        (5, 9, "below_minimum"),
        ("max", 9, "below_minimum"),
        (51, 100, "not_payable_with_points"),
    ],
)
def test_each_reason_to_refuse_a_payment_has_its_code(points: Any, active: int, code: str) -> None:
    rules = terms(Checkout(min_balance=10, max_percent=50))
    assert refusal(rules, basket(line(100)), active=active, points=points).code == code


def test_points_that_add_no_value_stay_with_the_member() -> None:
    rules = terms(Checkout(), Worth(points=3, minor=1))
    found = offer_points(rules, basket(line(100)), active=10)
    assert (found.max_points, found.value_minor, found.cap) == (9, 3, 10)
    assert plan(rules, basket(line(100)), active=10, points="max").points == 9
    assert plan(rules, basket(line(100)), active=10, points=10).points_minor == 3


# Coupons.


def test_a_coupon_reduces_the_lines_that_it_applies_to() -> None:
    only_mouse = msgspec.structs.replace(COUPON, excluded_products=["band"])
    lines = basket(line(3_00, "mouse"), line(20_00))
    found = offer_coupon(terms(), lines, coupon(reward=only_mouse))
    assert (found.discount_minor, found.by_line) == (300, {0: 300})
    assert offer_coupon(terms(), basket(line(20_00)), coupon(reward=only_mouse)).reasons == [
        "excluded_products"
    ]
    for_all = terms(coupons=Coupons(excluded_products=["band", "mouse"]))
    assert offer_coupon(for_all, lines, coupon()).reasons == ["excluded_products"]


@pytest.mark.parametrize(
    ("rules", "changes", "reason"),
    [
        ({"suspended": True}, {}, "suspended"),
        ({}, {"reward": msgspec.structs.replace(COUPON, min_order_minor=20_01)}, "minimum_order"),
        ({}, {"state": "applied"}, "applied"),
        ({}, {"state": "used"}, "used"),
        ({}, {"state": "void"}, "void"),
        ({}, {"state": "expired"}, "expired"),
        ({}, {"kind": "f_code"}, "f_code"),
    ],
)
def test_a_coupon_that_cannot_be_used_has_a_reason(
    rules: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    found = offer_coupon(terms(coupons=Coupons(**rules)), basket(line(20_00)), coupon(**changes))
    assert (found.discount_minor, found.reasons) == (0, [reason])
    refused = refusal(
        terms(coupons=Coupons(**rules)),
        basket(line(20_00)),
        active=0,
        points=0,
        coupons=[coupon(**changes)],
    )
    assert (refused.code, refused.facts["reasons"]) == ("coupon_not_applicable", [reason])


def test_coupons_per_order_are_limited_and_each_needs_something_to_reduce() -> None:
    two = [coupon("A"), coupon("B")]
    refused = refusal(terms(), basket(line(20_00)), active=0, points=0, coupons=two)
    assert (refused.facts["coupon_code"], refused.facts["reasons"]) == ("B", ["per_order"])
    many = terms(coupons=Coupons(per_order=2))
    assert plan(many, basket(line(7_00)), active=0, points=0, coupons=two).coupons == {
        "A": 500,
        "B": 200,
    }
    assert refusal(many, basket(line(5_00)), active=0, points=0, coupons=two).facts["reasons"] == [
        "order_total"
    ]


def test_a_coupon_leaves_to_points_what_only_points_can_pay() -> None:
    rules = terms(Checkout(orders=OrderScope(promotion_lines=False)))
    lines = basket(line(10_00), line(6_00, "mouse", promotion=True))
    found = plan(rules, lines, active=5_000, points="max", coupons=[coupon()])
    assert (found.points_minor, found.coupons) == (10_00, {"A": 5_00})


# Properties of any order.

lines = st.lists(
    st.builds(
        line,
        st.integers(0, 300_00),
        st.sampled_from(["band", "mouse", "phone"]),
        promotion=st.booleans(),
    ),
    min_size=1,
    max_size=6,
)
checkouts = st.builds(
    Checkout,
    min_balance=st.sampled_from([1, 10, 1_000]),
    max_percent=st.integers(1, 100),
    shipping=st.booleans(),
    orders=st.builds(OrderScope, promotion_lines=st.booleans()),
)
worths = st.builds(Worth, points=st.sampled_from([1, 3, 100]), minor=st.sampled_from([1, 7, 100]))
coupon_rules = st.builds(Coupons, per_order=st.just(3), excluded_products=st.sampled_from([[], ["band"]]))
coupon_lists = st.lists(st.integers(1, 100_00), max_size=3).map(
    lambda values: [coupon(f"C{n}", value) for n, value in enumerate(values)]
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[CheckoutTerms, Basket, int, list[CheckoutCoupon]]:
    rules = terms(draw(checkouts), draw(worths), draw(coupon_rules))
    order = basket(*draw(lines), shipping=draw(st.integers(0, 20_00)))
    return rules, order, draw(st.integers(0, 50_000)), draw(coupon_lists)


@given(cases(), st.integers(1, 50_000) | st.just("max"))
def test_points_and_coupons_never_pay_more_than_the_order(
    case: tuple[CheckoutTerms, Basket, int, list[CheckoutCoupon]], points: Any
) -> None:
    rules, order, active, coupons = case
    try:
        found = plan(rules, order, active=active, points=points, coupons=coupons)
    except Refusal:
        return
    assert rules.checkout is not None
    assert rules.worth is not None
    payable = [line for line in order.lines if rules.checkout.orders.promotion_lines or not line.promotion]
    base = sum(line.paid for line in payable) + (order.shipping if rules.checkout.shipping else 0)
    assert 0 <= found.discount_minor <= order.total
    assert found.points_minor == worth_minor(rules.worth, found.points)
    assert found.points <= active
    # The exact worth of the points, before rounding, is within the share.
    assert found.points * rules.worth.minor * 100 <= base * rules.checkout.max_percent * rules.worth.points
    assert sum(found.coupons.values()) <= sum(line.paid for line in order.lines)
    assert all(found.coupons.values()), "no coupon is used without a discount"


@given(cases(), st.data())
def test_every_offer_can_be_taken(
    case: tuple[CheckoutTerms, Basket, int, list[CheckoutCoupon]], picking: st.DataObject
) -> None:
    rules, order, active, _ = case
    offer = offer_points(rules, order, active=active)
    assert (offer.max_points == 0) <= bool(offer.reasons)
    if not offer.max_points:
        return
    most = plan(rules, order, active=active, points=offer.max_points)
    assert most == Plan(offer.max_points, offer.value_minor)
    assert plan(rules, order, active=active, points="max") == most
    fewer = picking.draw(st.integers(1, offer.max_points))
    assert plan(rules, order, active=active, points=fewer).points == fewer
    if offer.max_points < active:
        more = offer_points(rules, order, active=active * 2)
        assert more.max_points >= offer.max_points
