"""The first delivered orders: a fold over all of them, and since when each is one of them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.domain.activity import Line, Order, Payment
from engage.domain.earning.first_orders import Place, in_order, in_place, places
from engage.domain.earning.order_facts import OrderFacts, OrderPayment
from engage.domain.earning.orders import standing
from engage.domain.program.program import Program

KOLKATA = "Asia/Kolkata"
PAID_AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
COUNT = 2


def program(due: Mapping[str, Any] | None = None) -> Program:
    rule = {
        "id": "first",
        "title": "First orders",
        "on": {"activity": "order"},
        "limit": {"type": "first_orders", "count": COUNT},
        "award": {"type": "per_spend", "points": 1, "step_minor": 100},
        "due": due or {"type": "on_delivery"},
    }
    document = {
        "id": "shop",
        "version": "1",
        "title": "First orders",
        "in_force_from": "2020-01-01",
        "countries": {"IN": {"zone": KOLKATA, "currency": "INR"}},
        "eligibility": {},
        "expiry": {"type": "end_of_year", "years_later": 1},
        "rules": [rule],
    }
    return msgspec.convert(document, Program)


PROGRAM = program()


def order(
    delivered: int | None, cancelled: int | None = None, *, paid: int = 0, minor: int = 500
) -> OrderFacts:
    """An order by the days, counted from PAID_AT, of what is known of it."""
    bought = Order(
        order_id="o",
        channel="web",
        payment=Payment(method="card"),
        lines=[Line(line_id="1", product_id="band", quantity=1, paid=minor)],
        currency="INR",
    )
    return OrderFacts(
        OrderPayment(bought, PAID_AT + paid * DAY, None, "1", KOLKATA),
        None if delivered is None else PAID_AT + delivered * DAY,
        None if cancelled is None else PAID_AT + cancelled * DAY,
    )


def due_days(orders: Mapping[str, OrderFacts], rules: Program = PROGRAM) -> dict[str, int | None]:
    """The day, counted from PAID_AT, on which each order that stands is due; None for one without a place."""
    found = places([(order_id, facts, rules.earning) for order_id, facts in in_order(orders)])
    return {
        place.order_id: None if place.due_at is None else (place.due_at - PAID_AT) // DAY for place in found
    }


@pytest.mark.parametrize(
    ("orders", "due"),
    [
        ([order(1), order(2), order(3)], {"a": 1, "b": 2, "c": None}),
        ([order(1, 400), order(2), order(3)], {"b": 2, "c": 400}),
        # The third has the place of whichever was cancelled first, the fourth that of the other one.
        ([order(1, 400), order(2, 300), order(3), order(4)], {"c": 300, "d": 400}),
        ([order(1, 400), order(2), order(3, 500), order(4)], {"b": 2, "d": 500}),
        # What was cancelled before the next delivery never kept anybody waiting.
        ([order(1, 2), order(2), order(3), order(4)], {"b": 2, "c": 3, "d": None}),
        ([order(5, 1), order(6), order(7)], {"b": 6, "c": 7}),
        # Of equal deliveries the id decides.
        ([order(1), order(1), order(1, 8), order(1)], {"a": 1, "b": 1, "d": None}),
        ([order(1, 8), order(1), order(1), order(2)], {"b": 1, "c": 8, "d": None}),
        # Not delivered, or worth nothing: neither has a place nor takes one.
        ([order(None), order(1, minor=99), order(2), order(3)], {"c": 2, "d": 3}),
    ],
)
def test_an_order_is_due_since_it_is_one_of_the_first(
    orders: list[OrderFacts], due: dict[str, int | None]
) -> None:
    assert due_days(dict(zip("abcd", orders, strict=False))) == due


def test_an_order_is_not_due_before_it_is_paid() -> None:
    assert due_days({"a": order(1, paid=9)}) == {"a": 9}
    assert due_days({"a": order(1, 20), "b": order(1), "c": order(1, paid=30)}) == {"b": 1, "c": 30}


@pytest.mark.parametrize(
    ("due", "days"),
    [
        ({"type": "after", "delay": "P10D"}, {"b": 10, "c": 400}),
        ({"type": "after", "delay": "PT0S"}, {"b": 2, "c": 400}),
    ],
)
def test_a_rule_that_pays_after_a_delay_does_not_pay_before_the_place(
    due: dict[str, Any], days: dict[str, int]
) -> None:
    assert due_days({"a": order(1, 400), "b": order(2), "c": order(3)}, program(due)) == days


def test_points_end_by_the_day_on_which_the_order_got_its_place() -> None:
    facts = order(3)
    assert facts.paid is not None
    (item,) = standing(
        PROGRAM.earning, facts.paid.order, at=PAID_AT, zone=KOLKATA, delivered_at=facts.delivered_at
    )
    moved_up = in_place(PROGRAM.earning, item, Place("o", "first", PAID_AT + 400 * DAY, number=2))
    midnight = timedelta(hours=5, minutes=30)
    assert item.expires_at == datetime(2028, 1, 1, tzinfo=UTC) - midnight
    assert (moved_up.due_at, moved_up.kept) == (PAID_AT + 400 * DAY, 5)
    assert moved_up.expires_at == datetime(2029, 1, 1, tzinfo=UTC) - midnight
    assert (item.credit.source_key, moved_up.credit.source_key) == ("order:o:first", "order:o:first:2")
    assert in_place(PROGRAM.earning, item, Place("o", "first", None)).kept == 0


known = st.builds(order, st.none() | st.integers(1, 6), st.none() | st.integers(1, 9), paid=st.integers(0, 9))
many = st.lists(known, max_size=8).map(lambda orders: {f"o-{n}": facts for n, facts in enumerate(orders)})


@given(orders=many)
def test_a_place_is_what_the_member_could_have_seen_day_by_day(orders: dict[str, OrderFacts]) -> None:
    """An order has a place from the first day on which it is delivered, and fewer than `COUNT` of those that
    were delivered before it are not cancelled yet.
    """

    def has_place(order_id: str, at: datetime) -> bool:
        mine = orders[order_id].delivered_at
        assert mine is not None
        before = [
            facts
            for other, facts in orders.items()
            if facts.delivered_at is not None
            and (facts.delivered_at, other) < (mine, order_id)
            and (facts.cancelled_at is None or facts.cancelled_at > at)
        ]
        return mine <= at and len(before) < COUNT

    def first_day(order_id: str) -> int | None:
        paid = orders[order_id].paid
        assert paid is not None
        days = (day for day in range(10) if has_place(order_id, PAID_AT + day * DAY))
        first = next(days, None)
        return None if first is None else max(first, (paid.at - PAID_AT) // DAY)

    standing_orders = [
        order_id
        for order_id, facts in orders.items()
        if facts.delivered_at is not None and facts.cancelled_at is None
    ]
    assert due_days(orders) == {order_id: first_day(order_id) for order_id in standing_orders}


@given(orders=many, data=st.data())
def test_places_do_not_depend_on_the_order_in_which_the_shop_reports(
    orders: dict[str, OrderFacts], data: st.DataObject
) -> None:
    reported = data.draw(st.permutations(list(orders.items())))
    assert due_days(dict(reported)) == due_days(orders)


@given(orders=many, data=st.data())
def test_a_cancellation_gives_each_later_order_its_place_at_that_time_or_not_at_all(
    orders: dict[str, OrderFacts], data: st.DataObject
) -> None:
    """Nobody's points become due before it, and nobody loses a place."""
    standing_orders = [order_id for order_id, facts in orders.items() if facts.cancelled_at is None]
    if not standing_orders:
        return
    which = data.draw(st.sampled_from(standing_orders))
    before = due_days(orders)
    after = due_days(orders | {which: orders[which].cancel(PAID_AT + 20 * DAY)})
    for order_id, due in after.items():
        assert due == (20 if before[order_id] is None and due is not None else before[order_id])
    gained = [order_id for order_id in after if before[order_id] is None and after[order_id] is not None]
    assert len(gained) <= 1
