"""Points of orders, and of their returns: any split of returns adds up to the whole."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.domain.activity import Line, Order, Payment
from engage.domain.earning.awards import TagPoints
from engage.domain.earning.order_returns import ordered_quantities, reinstated, taken_back
from engage.domain.earning.orders import decide_order, standing
from engage.domain.earning.trace import TraceCode, step
from engage.domain.program.program import Program

MADRID = "Europe/Madrid"
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)

PER_EURO = {"type": "per_spend", "points": 1, "step_minor": 100}


def program(
    award: dict[str, Any] | None = None,
    *,
    orders: dict[str, Any] | None = None,
    due: dict[str, Any] | None = None,
    checkout: dict[str, Any] | None = None,
    more: list[dict[str, Any]] | None = None,
) -> Program:
    rule = {
        "id": "purchase",
        "title": "Buy",
        "on": {"activity": "order"},
        "limit": {"type": "once_per", "field": "order_id"},
        "award": award or PER_EURO,
        "due": due or {"type": "on_delivery"},
        "orders": orders or {},
    }
    document = {
        "id": "shop",
        "version": "1",
        "title": "Orders",
        "in_force_from": "2020-01-01",
        "countries": {"ES": {"zone": MADRID, "currency": "EUR"}},
        "eligibility": {},
        "expiry": {"type": "rolling", "months": 12},
        "checkout": checkout,
        "rules": [rule, *(rule | changes for changes in more or [])],
    }
    return msgspec.convert(document, Program)


def order(*lines: Line, method: str = "card", at_pickup: bool = False, **rest: Any) -> Order:
    fields: dict[str, Any] = {"order_id": "o-1", "channel": "web", "currency": "EUR"}
    payment = Payment(method=method, at_pickup=at_pickup)
    return Order(**(fields | {"payment": payment, "lines": list(lines)} | rest))


def line(line_id: str, paid: int, quantity: int = 1, **rest: Any) -> Line:
    return Line(line_id=line_id, product_id="band", paid=paid, quantity=quantity, **rest)


def points(rules: Program, bought: Order) -> int:
    return sum(credit.points for credit in decide_order(rules.earning, bought, at=AT, zone=MADRID))


def test_points_are_rounded_down_once_an_order() -> None:
    assert points(program(), order(line("1", 1999), line("2", 1))) == 20
    assert points(program(), order(line("1", 1999))) == 19
    assert points(program(), order(line("1", 99))) == 0


def test_shipping_earns_if_the_rule_includes_it_and_discounts_never_earn() -> None:
    with_shipping = program(PER_EURO | {"shipping": True})
    bought = order(line("1", 1000), shipping=500)
    assert points(program(), bought) == 10
    assert points(with_shipping, bought) == 15
    assert points(with_shipping, order(line("1", 1000), shipping=500, discount=501)) == 9
    assert points(program(), order(line("1", 1000), discount=5000)) == 0


def test_a_step_can_pay_several_points() -> None:
    award = {"type": "per_spend", "points": 3, "step_minor": 10_000}
    assert points(program(award), order(line("1", 29_999))) == 6


@pytest.mark.parametrize(
    ("orders", "bought", "paid"),
    [
        ({"channels": ["web", "app"]}, order(line("1", 1000), channel="store"), 0),
        ({"channels": ["web", "app"]}, order(line("1", 1000), channel="app"), 10),
        ({"refused_methods": ["instalments"]}, order(line("1", 1000), method="instalments"), 0),
        ({"refused_methods": ["instalments"]}, order(line("1", 1000), method="card"), 10),
        ({"online_at_pickup": True}, order(line("1", 1000), channel="app"), 0),
        ({"online_at_pickup": True}, order(line("1", 1000), channel="app", at_pickup=True), 10),
        ({"online_at_pickup": True}, order(line("1", 1000), channel="store"), 10),
        ({"promotion_lines": False}, order(line("1", 1000), line("2", 500, promotion=True)), 10),
        ({"promotion_lines": False}, order(line("2", 500, promotion=True)), 0),
        ({}, order(line("1", 1000), line("2", 500, promotion=True)), 15),
    ],
)
def test_only_orders_and_lines_of_its_scope_earn(orders: dict[str, Any], bought: Order, paid: int) -> None:
    assert points(program(orders=orders), bought) == paid


def test_a_rule_that_pays_nothing_says_why() -> None:
    others = [
        {"id": "app", "orders": {"channels": ["app"]}},
        {"id": "cash", "orders": {"refused_methods": ["card"]}},
        {"id": "pickup", "orders": {"online_at_pickup": True}},
        {"id": "regular", "orders": {"promotion_lines": False}},
    ]
    bought = order(line("1", 100, promotion=True))
    (credit,) = decide_order(program(more=others).earning, bought, at=AT, zone=MADRID)
    assert credit.why.trace[1:] == [
        step(TraceCode.CHANNEL_EXCLUDED, rule="app", channel="web"),
        step(TraceCode.PAYMENT_METHOD_EXCLUDED, rule="cash", method="card"),
        step(TraceCode.NOT_PAID_AT_PICKUP, rule="pickup", channel="web"),
        step(TraceCode.ONLY_PROMOTION_LINES, rule="regular"),
    ]


def test_price_tags_pay_by_the_piece() -> None:
    tags = program({"type": "tag_points"}, orders={"promotion_lines": False})
    bought = order(line("1", 5000, 3, tag_points=7), line("2", 100, tag_points=5, promotion=True))
    assert points(tags, bought) == 21


def test_the_highest_reached_bracket_pays() -> None:
    steps = [{"from_minor": 20_000, "points": 50}, {"from_minor": 10_000, "points": 20}]
    brackets = program({"type": "brackets", "brackets": steps})
    by_amount = [(9_999, 0), (10_000, 20), (19_999, 20), (20_000, 50), (900_000, 50)]
    for paid, expected in by_amount:
        assert points(brackets, order(line("1", paid))) == expected


def test_a_credit_has_its_source_key_reference_and_trace() -> None:
    rules = program(more=[{"id": "second", "award": {"type": "fixed", "points": 5}}])
    bought = order(line("1", 1000))
    credits = decide_order(rules.earning, bought, at=AT, zone=MADRID)
    assert [(c.source_key, c.reference, c.points) for c in credits] == [
        ("order:o-1:purchase", "order:o-1", 10),
        ("order:o-1:second", "order:o-1", 5),
    ]
    why = credits[0].why
    assert why.activity == bought
    amount = {"paid_minor": 1000, "lines": 1, "shipping_minor": 0, "discount_minor": 0}
    assert why.trace == [
        step(TraceCode.SPEND_STEPS, rule="purchase", **amount, points=10, step_points=1, step_minor=100),
        step(TraceCode.EACH_ORDER, rule="second", points=5),
    ]


def test_points_wait_for_the_delivery_and_never_come_before_the_payment() -> None:
    rules, bought = program(), order(line("1", 1000))
    (waiting,) = standing(rules.earning, bought, at=AT, zone=MADRID)
    assert (waiting.kept, waiting.due_at, waiting.expires_at) == (10, None, None)
    (due,) = standing(rules.earning, bought, at=AT, zone=MADRID, delivered_at=AT + DAY)
    assert (due.due_at, due.expires_at) == (AT + DAY, datetime(2027, 11, 22, 12, tzinfo=UTC))
    (early,) = standing(rules.earning, bought, at=AT, zone=MADRID, delivered_at=AT - DAY)
    assert early.due_at == AT


def test_the_next_local_day_comes_without_a_delivery() -> None:
    rules = program(due={"type": "next_day"})
    midnight = datetime(2026, 11, 21, 23, tzinfo=UTC)
    for delivered_at in (None, AT + DAY):
        (one,) = standing(
            rules.earning, order(line("1", 1000)), at=AT, zone=MADRID, delivered_at=delivered_at
        )
        assert one.due_at == midnight


def test_a_cancelled_order_keeps_nothing() -> None:
    (one,) = standing(program().earning, order(line("1", 1000)), at=AT, zone=MADRID, cancelled_at=AT)
    assert (one.kept, one.taken_back) == (0, 10)


def test_points_for_shipping_are_taken_back_with_the_lines() -> None:
    rules = program(PER_EURO | {"shipping": True})
    bought = order(line("1", 1000), line("2", 1000), shipping=1000)
    kept = [
        standing(rules.earning, bought, at=AT, zone=MADRID, returned=back)[0].kept
        for back in ({}, {"1": 1}, {"1": 1, "2": 1})
    ]
    assert kept == [30, 15, 0]


def test_only_lines_that_earned_take_points_back() -> None:
    rules = program(orders={"promotion_lines": False})
    bought = order(line("1", 1000), line("2", 9000, promotion=True))
    (one,) = standing(rules.earning, bought, at=AT, zone=MADRID, returned={"2": 1})
    assert one.kept == 10


def test_points_are_reinstated_by_the_lines_that_they_could_pay() -> None:
    scope = {"orders": {"promotion_lines": False}}
    paying = program(checkout=scope).paying_scope
    bought = order(line("1", 1000, 2), line("2", 9000, promotion=True))
    assert reinstated(7, bought, {"2": 1}, paying=paying) == 0
    assert reinstated(7, bought, {"1": 1}, paying=paying) == 3
    assert reinstated(7, bought, {"1": 2}, paying=paying) == 7
    everything = program().paying_scope
    assert reinstated(7, bought, ordered_quantities(bought), paying=everything) == 7, (
        "without a checkout by all lines"
    )


lines = st.lists(
    st.builds(
        lambda paid, quantity, tags, promotion: (paid, quantity, tags, promotion),
        st.sampled_from([0, 1, 99, 100, 333]) | st.integers(0, 10**7),
        st.integers(1, 7),
        st.integers(0, 50),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
).map(
    lambda drawn: [
        line(str(n), paid, quantity, tag_points=tags, promotion=promotion)
        for n, (paid, quantity, tags, promotion) in enumerate(drawn)
    ]
)


@given(lines, st.integers(0, 10**6), st.sampled_from([TagPoints().weight, None]), st.data())
def test_any_split_of_returns_adds_up_to_exactly_the_whole(
    bought: list[Line], total: int, weight: Any, data: st.DataObject
) -> None:
    """Pieces are returned in any order. The points taken back never decrease and never exceed the whole."""
    pieces = data.draw(st.permutations([line.line_id for line in bought for _ in range(line.quantity)]))
    kwargs = {} if weight is None else {"weight": weight}
    returned: dict[str, int] = {}
    gone = taken = 0
    for line_id in pieces:
        returned[line_id] = returned.get(line_id, 0) + 1
        now_gone = taken_back(total, bought, returned, **kwargs)
        assert gone <= now_gone <= total
        taken += now_gone - gone
        gone = now_gone
    assert taken == gone == total
    assert taken_back(total, bought, dict.fromkeys(returned, 10**6), **kwargs) == total


@given(lines, st.integers(0, 10**5), st.booleans(), st.data())
def test_the_kept_points_do_not_depend_on_the_order_of_returns(
    bought: list[Line], shipping: int, has_shipping: bool, data: st.DataObject
) -> None:
    rules = program(
        PER_EURO | {"shipping": has_shipping},
        orders={"promotion_lines": False},
        more=[{"id": "tags", "award": {"type": "tag_points"}, "orders": {}}],
    )
    paid = order(*bought, shipping=shipping)
    back = {line.line_id: data.draw(st.integers(0, line.quantity)) for line in bought}
    decided = decide_order(rules.earning, paid, at=AT, zone=MADRID)
    found = standing(rules.earning, paid, at=AT, zone=MADRID, returned=back)
    assert [outcome.credit for outcome in found] == decided
    assert all(0 <= outcome.kept <= outcome.credit.points for outcome in found)
    assert all(
        outcome.kept == 0
        for outcome in standing(rules.earning, paid, at=AT, zone=MADRID, returned=ordered_quantities(paid))
    )
