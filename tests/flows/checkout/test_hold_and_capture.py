"""Points and coupons are held for an order, then captured, released or timed out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from engage.domain.activity import Payment
from engage.domain.money import Money
from engage.domain.refusals import Refusal
from engage.flows.checkout.close_holds import HoldClosing, close_holds, release_overdue
from engage.flows.checkout.hold import HoldRequest, hold
from engage.flows.checkout.quote import QuoteRequest, quote
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.programs.publish import publish
from engage.flows.rewards.coupons import expire_coupons, void_coupon
from engage.flows.scheduled.expire import expire_due
from engage.flows.shop.events import (
    AnyEvent,
    OrderCancelledEvent,
    OrderPaid,
    OrderPaidEvent,
    OrderReference,
    OrderReturned,
    OrderReturnedEvent,
)
from engage.flows.shop.take_events import take_events
from engage.ledger.balances import OutboxRow
from engage.ledger.holds import next_hold_end
from engage.runtime.database import transaction
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.rewards.coupons import next_coupon_end, return_coupons
from tests.support.audit import assert_audit_is_clean
from tests.support.checkout import (
    DOCUMENT,
    HOLD_FOR,
    SPENDING,
    balance,
    close_hold,
    earn,
    hold_request,
    line,
    member_with_points,
    place_hold,
    redeem_reward,
    services_with_checkout,
)
from tests.support.clock import DAY, NOON, advance
from tests.support.database import logged, rows

SECOND = timedelta(seconds=1)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_checkout(settings) as opened:
        yield opened
        await assert_audit_is_clean(opened)


async def states(services: Services) -> list[tuple[object, ...]]:
    """(state, points) of all holds, oldest first."""
    return await rows(services.db, "SELECT state, points FROM holds WHERE purpose = 'checkout' ORDER BY id")


async def coupon_states(services: Services) -> list[object]:
    return [state for (state,) in await rows(services.db, "SELECT state FROM coupons ORDER BY id")]


async def refused(services: Services, request: HoldRequest) -> Refusal:
    with pytest.raises(Refusal) as found:
        await place_hold(services, request)
    return found.value


async def test_held_points_are_spent_only_by_the_capture(services: Services) -> None:
    await member_with_points(services, 300)
    placed = await place_hold(services, hold_request(points=250))
    assert (placed.points, placed.discount, placed.coupons) == (250, Money(250, "EUR"), [])
    assert placed.expires_at == NOON + HOLD_FOR
    assert await balance(services) == (50, 250, 0)
    assert (await refused(services, hold_request("o-2", points=51))).facts == {"active": 50, "points": 51}
    done = await close_hold(services, placed, "captured")
    assert (done.state, done.points, done.order_id, done.closed_at) == ("captured", 250, "o-1", NOON)
    assert await balance(services) == (50, 0, 0)


async def test_released_points_can_be_spent_again(services: Services) -> None:
    await member_with_points(services, 300)
    placed = await place_hold(services, hold_request(spend_max=True))
    assert placed.points == 300
    await close_hold(services, placed, "released")
    assert await balance(services) == (300, 0, 0)
    lots = await rows(services.db, "SELECT remaining FROM lots")
    assert lots == [(100,), (100,), (100,)]


@pytest.mark.parametrize(("first", "then"), [("captured", "released"), ("released", "captured")])
async def test_a_hold_closes_once_and_a_repeat_changes_nothing(
    services: Services, first: Any, then: Any
) -> None:
    await member_with_points(services, 100)
    placed = await place_hold(services, hold_request(points=100))
    once = await close_hold(services, placed, first)
    advance(services, SECOND)
    assert await close_hold(services, placed, first) == once
    with pytest.raises(Refusal) as found:
        await close_hold(services, placed, then)
    assert (found.value.code, found.value.facts["state"]) == ("hold_closed", first)
    assert await balance(services) == ((0, 0, 0) if first == "captured" else (100, 0, 0))


async def test_an_overdue_hold_is_not_captured_before_any_sweep_either(
    services: Services,
) -> None:
    await member_with_points(services, 100)
    placed = await place_hold(services, hold_request(points=100))
    advance(services, HOLD_FOR)
    with pytest.raises(Refusal) as found:
        await close_hold(services, placed, "captured")
    assert (found.value.code, found.value.facts["state"]) == ("hold_closed", "expired")
    assert await balance(services) == (100, 0, 0), "the points are released"
    assert (await close_hold(services, placed, "released")).state == "expired", (
        "the points are released already"
    )
    assert await release_overdue(services, now=services.clock.now()) == 0


async def test_a_hold_is_captured_until_its_last_moment(services: Services) -> None:
    await member_with_points(services, 100)
    placed = await place_hold(services, hold_request(points=100))
    advance(services, HOLD_FOR - SECOND)
    assert (await close_hold(services, placed, "captured")).state == "captured"


async def test_holds_time_out_in_batches_each_at_its_own_time(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engage.flows.checkout.close_holds.HOLDS_PER_BATCH", 2)
    for n in range(5):
        await member_with_points(services, 100, f"m-{n}")
        await place_hold(services, hold_request(f"o-{n}", f"m-{n}", points=100))
        advance(services, SECOND)
    async with transaction(services.db) as conn:
        assert await next_hold_end(conn, after=NOON) == NOON + HOLD_FOR
        assert await next_hold_end(conn, after=NOON + HOLD_FOR + 4 * SECOND) is None
    assert await release_overdue(services, now=NOON + HOLD_FOR + 2 * SECOND, on_time=True) == 3
    found = await rows(services.db, "SELECT state, closed_at = expires_at FROM holds ORDER BY id")
    assert found == [("expired", True)] * 3 + [("open", None)] * 2
    assert await release_overdue(services, now=NOON + DAY) == 2
    assert [await balance(services, f"m-{n}") for n in range(5)] == [(100, 0, 0)] * 5


async def test_a_repeated_request_returns_the_same_hold(services: Services) -> None:
    await member_with_points(services, 300)
    placed = await place_hold(services, hold_request(spend_max=True))
    assert await place_hold(services, hold_request(spend_max=True)) == placed
    other = await refused(services, hold_request(points=5))
    assert (other.code, other.status) == ("order_has_hold", 409)
    assert other.facts == {"hold_id": str(placed.hold_id), "state": "open"}
    await close_hold(services, placed, "captured")
    assert await place_hold(services, hold_request(spend_max=True)) == placed, "an order is paid once"
    assert (await refused(services, hold_request(points=5))).facts["state"] == "captured"
    assert await balance(services) == (0, 0, 0)


@pytest.mark.parametrize("by_time", [False, True])
async def test_an_order_may_have_a_new_hold_after_a_release(services: Services, by_time: bool) -> None:
    await member_with_points(services, 300)
    placed = await place_hold(services, hold_request(spend_max=True))
    if by_time:
        advance(services, HOLD_FOR)
    else:
        await close_hold(services, placed, "released")
    other = await place_hold(services, hold_request(spend_max=True))
    assert other.hold_id != placed.hold_id
    assert await states(services) == [("expired" if by_time else "released", 300), ("open", 300)]
    assert await balance(services) == (0, 300, 0)


async def test_held_points_expire_only_after_their_release(services: Services) -> None:
    await member_with_points(services, 100)
    advance(services, 29 * DAY)
    await earn(services, 100)
    advance(services, DAY - 5 * SECOND)
    first, second = [await place_hold(services, hold_request(f"o-{n}", points=50)) for n in range(2)]
    advance(services, 10 * SECOND)
    await expire_due(services, now=services.clock.now())
    assert await balance(services) == (100, 100, 0), "the first lot has ended, all of it held"
    await close_hold(services, first, "captured")
    await close_hold(services, second, "released")
    assert await balance(services) == (100, 0, 0), "points released to a lot that has ended expire"
    found = await rows(services.db, "SELECT remaining, expired FROM lots ORDER BY active_at")
    assert found == [(0, 50), (100, 0)]


async def test_points_that_have_ended_are_not_held_before_any_sweep_either(services: Services) -> None:
    await member_with_points(services, 100)
    advance(services, 31 * DAY)
    assert (await quote(services, quote_request())).max_points == 0
    assert (await refused(services, hold_request(points=100))).code == "insufficient_points"
    assert await balance(services) == (0, 0, 0)


def quote_request(**changes: Any) -> QuoteRequest:
    fields: dict[str, Any] = {
        "member_id": "m-1",
        "lines": [line(100_00)],
        "payment": Payment(method="card"),
        "currency": "EUR",
    }
    return QuoteRequest(**fields | changes)


async def test_a_quote_gives_the_most_points_and_the_reasons(services: Services) -> None:
    await member_with_points(services, 300)
    await redeem_reward(services, "one_euro")
    await redeem_reward(services, "monthly")
    lines = [line(3_00), line(50_00, "mouse", promotion=True)]
    found = await quote(services, quote_request(lines=lines))
    assert (found.max_points, found.discount_max) == (150, Money(150, "EUR"))
    assert found.reasons == ["promotion_lines", "max_percent"]
    shown = [
        (coupon.reward_id, coupon.title, coupon.value.amount, coupon.applies) for coupon in found.coupons
    ]
    assert shown == [("one_euro", "1 EUR off", 100, True), ("monthly", "Once a month", 50, True)]
    small = await quote(services, quote_request(lines=[line(9_99), line(5_00, "gift_card")]))
    assert [(coupon.applies, coupon.reasons) for coupon in small.coupons] == [
        (True, []),
        (False, ["minimum_order"]),
    ]
    credit = await quote(services, quote_request(payment=Payment(method="credit")))
    assert (credit.max_points, credit.reasons) == (0, ["payment_method"])


async def test_quoted_points_and_coupons_can_be_held(services: Services) -> None:
    await member_with_points(services, 300)
    offered = await quote(services, quote_request(lines=[line(4_01)]))
    assert offered.max_points == 200
    placed = await place_hold(services, hold_request(lines=[line(4_01)], points=offered.max_points))
    assert (placed.points, placed.discount) == (200, offered.discount_max)


CANNOT: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"points": 1_001}, "insufficient_points", {"active": 1_000, "points": 1_001}),
    ({"points": 51, "lines": [line(1_00)]}, "not_payable_with_points", {"max_points": 50}),
    ({"points": 5, "payment": Payment(method="credit")}, "not_payable_with_points", {"max_points": 0}),
    ({"spend_max": True, "currency": "GBP"}, "not_payable_with_points", {"reasons": ["currency"]}),
    ({"coupon_codes": ["00000-00000-00000-00000"]}, "unknown_coupon", {}),
    ({"coupon_codes": ["five"]}, "unknown_coupon", {"coupon_code": "five"}),
    ({}, "invalid_request", {}),
    ({"spend_max": True, "points": 5}, "invalid_request", {}),
    ({"points": 5, "program": "no-points"}, "unknown_program", {}),
    ({"points": 5, "member_id": "m-9"}, "unknown_member", {}),
]


async def test_a_refused_hold_gives_the_reasons(services: Services) -> None:
    await member_with_points(services, 1_000)
    for changes, code, facts in CANNOT:
        found = await refused(services, hold_request(**changes))
        assert found.code == code
        assert found.facts | facts == found.facts
    assert await balance(services) == (1_000, 0, 0)


async def test_a_balance_below_the_minimum_pays_nothing(services: Services) -> None:
    await member_with_points(services, 100)
    await close_hold(services, await place_hold(services, hold_request("o-0", points=95)), "captured")
    found = await refused(services, hold_request(points=5))
    assert (found.code, found.facts) == ("below_minimum", {"active": 5, "minimum": 10})
    assert (await refused(services, hold_request(spend_max=True))).code == "below_minimum"
    assert (await quote(services, quote_request())).reasons == ["below_minimum"]


async def test_a_member_id_known_to_one_program_needs_no_program(services: Services) -> None:
    await member_with_points(services, 100)
    other = DOCUMENT.replace('id = "spending"', 'id = "other-points"', 1)
    await publish(services.db, other, source="other", operator="test", clock=services.clock)
    await services.programs.refresh(services.db)
    assert (await quote(services, quote_request())).max_points == 100
    await register_member(services, MemberRegistration(member_id="m-1", program="other-points", country="ES"))
    with pytest.raises(Refusal) as found:
        await quote(services, quote_request())
    assert (found.value.code, found.value.facts["errors"][0]["field"]) == ("invalid_request", "program")
    assert (await quote(services, quote_request(program=SPENDING))).max_points == 100
    pounds = other.replace("other-points", "pound-points").replace("EUR", "GBP")
    await publish(services.db, pounds, source="pounds", operator="test", clock=services.clock)
    await services.programs.refresh(services.db)
    await register_member(services, MemberRegistration(member_id="m-1", program="pound-points", country="ES"))
    assert (await quote(services, quote_request(currency="GBP"))).reasons == ["below_minimum"]


async def test_a_coupon_is_used_once(services: Services) -> None:
    await member_with_points(services, 300)
    code = (await redeem_reward(services, "one_euro")).issued.code
    placed = await place_hold(
        services, hold_request(points=50, coupon_codes=[code.lower().replace("-", " ")])
    )
    assert (placed.points, placed.discount) == (50, Money(150, "EUR"))
    assert [(coupon.code, coupon.discount.amount) for coupon in placed.coupons] == [(code, 100)]
    assert await coupon_states(services) == ["applied"]
    at_once = await refused(services, hold_request("o-2", coupon_codes=[code]))
    assert (at_once.code, at_once.facts["reasons"]) == ("coupon_not_applicable", ["applied"])
    await close_hold(services, placed, "captured")
    assert await coupon_states(services) == ["used"]
    again = await refused(services, hold_request("o-2", coupon_codes=[code]))
    assert again.facts == {"coupon_code": code, "reasons": ["used"]}


@pytest.mark.parametrize("by_time", [False, True])
async def test_a_coupon_returns_when_its_order_is_not_paid(services: Services, by_time: bool) -> None:
    await member_with_points(services, 100)
    code = (await redeem_reward(services, "one_euro")).issued.code
    placed = await place_hold(services, hold_request(coupon_codes=[code]))
    assert placed.points == 0
    if by_time:
        advance(services, HOLD_FOR)
    else:
        await close_hold(services, placed, "released")
        assert await coupon_states(services) == ["issued"]
    assert (await place_hold(services, hold_request("o-2", coupon_codes=[code]))).discount == Money(
        100, "EUR"
    )


async def test_another_members_coupon_is_unknown(services: Services) -> None:
    await member_with_points(services, 100)
    await member_with_points(services, 100, "m-2")
    code = (await redeem_reward(services, "one_euro", "m-2")).issued.code
    assert (await refused(services, hold_request(coupon_codes=[code]))).code == "unknown_coupon"


async def test_coupons_and_points_never_exceed_the_price(services: Services) -> None:
    await member_with_points(services, 1_000)
    codes = [(await redeem_reward(services, "one_euro")).issued.code for _ in range(3)]
    three = await refused(services, hold_request(coupon_codes=codes))
    assert (three.facts["coupon_code"], three.facts["reasons"]) == (codes[2], ["per_order"])
    placed = await place_hold(
        services, hold_request(lines=[line(2_50)], coupon_codes=codes[:2], spend_max=True)
    )
    assert placed.points == 50, "the rest after two coupons"
    assert placed.discount == Money(250, "EUR")


async def test_a_coupon_expires_but_not_while_it_is_applied(services: Services) -> None:
    await member_with_points(services, 300)
    first, second = [(await redeem_reward(services, "one_euro")).issued.code for _ in range(2)]
    advance(services, 10 * DAY - SECOND)
    placed = await place_hold(services, hold_request(coupon_codes=[first]))
    async with transaction(services.db) as conn:
        assert await next_coupon_end(conn, after=NOON) == NOON + 10 * DAY
    advance(services, SECOND)
    assert (await quote(services, quote_request())).coupons == []
    late = await refused(services, hold_request("o-2", coupon_codes=[second]))
    assert late.facts["reasons"] == ["expired"]
    assert await expire_coupons(services, now=services.clock.now()) == 1
    assert await coupon_states(services) == ["applied", "expired"]
    await close_hold(services, placed, "released")
    assert await coupon_states(services) == ["expired", "expired"], "it ended meanwhile"


async def test_a_coupon_of_a_returned_order_is_usable_for_the_grace(services: Services) -> None:
    await member_with_points(services, 100)
    code = (await redeem_reward(services, "one_euro")).issued.code
    placed = await place_hold(services, hold_request(coupon_codes=[code]))
    await close_hold(services, placed, "captured")
    advance(services, 20 * DAY)
    now = services.clock.now()
    async with transaction(services.db) as conn:
        keys = [(SPENDING, "m-1", placed.hold_id)]
        (back,) = await return_coupons(conn, keys, now=now, grace=7 * DAY)
        assert await return_coupons(conn, keys, now=now, grace=7 * DAY) == [], "once"
    assert (back.state, back.expires_at) == ("issued", now + 7 * DAY)
    assert (await place_hold(services, hold_request("o-2", coupon_codes=[code]))).discount == Money(
        100, "EUR"
    )


async def test_a_void_coupon_cannot_be_used(services: Services) -> None:
    await member_with_points(services, 200)
    first, second = [(await redeem_reward(services, "one_euro")).issued.code for _ in range(2)]
    assert (await void_coupon(services, SPENDING, first, operator="test")).state == "void"
    assert (await void_coupon(services, SPENDING, first, operator="test")).state == "void"
    assert (await refused(services, hold_request(coupon_codes=[first]))).facts["reasons"] == ["void"]
    await place_hold(services, hold_request(coupon_codes=[second]))
    with pytest.raises(Refusal) as found:
        await void_coupon(services, SPENDING, second, operator="test")
    assert (found.value.code, found.value.facts["state"]) == ("coupon_closed", "applied")
    ((subject, *_),) = await rows(services.db, "SELECT subject FROM audit_log WHERE subject LIKE 'coupon:%'")
    assert first not in str(subject)
    assert await logged(services.db, str(subject)) == [
        ("test", "voided", {"state": "issued"}, {"state": "void"})
    ]


async def test_holds_of_one_member_in_a_batch_see_each_other(services: Services) -> None:
    await member_with_points(services, 300)
    requests = [hold_request(f"o-{n % 3}", points=100 + n % 2) for n in range(4)]
    answers = await hold(services, requests)
    assert [getattr(answer, "points", None) for answer in answers] == [100, 101, None, None]
    assert [answer.code for answer in answers if isinstance(answer, Refusal)] == [
        "insufficient_points",
        "order_has_hold",
    ]
    assert await balance(services) == (99, 201, 0)


async def test_each_change_is_published_with_its_cause(services: Services) -> None:
    await member_with_points(services, 300)
    await services.post_commit.drain()
    causes: list[str] = []
    add = services.post_commit.add

    def record_causes(rows: Sequence[OutboxRow], **more: Any) -> None:
        causes.extend(row.cause for row in rows if row.changes)
        add(rows, **more)

    services.post_commit.add = record_causes  # type: ignore[method-assign, assignment]
    await redeem_reward(services, "one_euro")
    await close_hold(services, await place_hold(services, hold_request("o-1", points=50)), "captured")
    await close_hold(services, await place_hold(services, hold_request("o-2", points=50)), "released")
    await place_hold(services, hold_request("o-3", points=50))
    await release_overdue(services, now=NOON + HOLD_FOR)
    assert causes == ["redeemed", "held", "captured", "held", "released", "held", "released"]


def of_order(services: Services, kind: type[AnyEvent], data: Any, *, member_id: str = "m-1") -> AnyEvent:
    return kind(id=str(new_id()), time=services.clock.now(), program=SPENDING, member_id=member_id, data=data)


@pytest.mark.parametrize("kind", [OrderCancelledEvent, OrderReturnedEvent])
async def test_an_order_of_which_nothing_is_left_gets_no_hold(
    services: Services, kind: type[OrderCancelledEvent | OrderReturnedEvent]
) -> None:
    await member_with_points(services, 300)
    back = (
        OrderReference(order_id="o-1")
        if kind is OrderCancelledEvent
        else OrderReturned(order_id="o-1", return_id="r-1")
    )
    await take_events(services, [of_order(services, kind, back)])
    ended = await refused(services, hold_request(points=100))
    assert (ended.code, ended.facts) == ("order_cancelled", {"order_id": "o-1"})
    assert await balance(services) == (300, 0, 0)
    await place_hold(services, hold_request("o-2", points=100))


async def pay_as(services: Services, member_id: str) -> None:
    request = hold_request()
    order = OrderPaid(
        order_id="o-1", channel="web", payment=request.payment, lines=request.lines, currency="EUR"
    )
    taken = await take_events(services, [of_order(services, OrderPaidEvent, order, member_id=member_id)])
    assert not taken.refused


async def test_a_hold_is_not_captured_for_an_order_that_another_member_paid_meanwhile(
    services: Services,
) -> None:
    await member_with_points(services, 300)
    await member_with_points(services, 300, "m-2")
    code = (await redeem_reward(services, "one_euro")).issued.code
    placed = await place_hold(services, hold_request(points=100, coupon_codes=[code]))
    other = await place_hold(services, hold_request("o-2", points=50))
    await pay_as(services, "m-2")
    for _ in range(2):
        answers = await close_holds(services, [HoldClosing(h.hold_id, "captured") for h in (placed, other)])
        (refusal, captured) = answers
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.facts["state"]) == ("hold_closed", "released")
        assert not isinstance(captured, Refusal), "the other order is this member's"
        assert await balance(services) == (150, 0, 0)
        assert await coupon_states(services) == ["issued"]


async def test_an_order_that_another_member_paid_gets_no_hold(services: Services) -> None:
    for member in ("m-1", "m-2"):
        await member_with_points(services, 300, member)
    await pay_as(services, "m-2")
    assert (await refused(services, hold_request(points=100))).code == "order_conflict"
    await place_hold(services, hold_request(member_id="m-2", points=100))


@pytest.mark.parametrize("turn", range(4))
async def test_a_hold_and_a_cancellation_at_once_leave_no_points_held(services: Services, turn: int) -> None:
    await member_with_points(services, 1000)
    orders = [f"o-{n}" for n in range(8)]
    holds = [hold(services, [hold_request(order, points=100)]) for order in orders]
    cancellations = [
        take_events(services, [of_order(services, OrderCancelledEvent, OrderReference(order_id=order))])
        for order in orders
    ]
    both = zip(cancellations, holds, strict=True) if turn % 2 else zip(holds, cancellations, strict=True)
    await asyncio.gather(*(call for pair in both for call in pair))
    assert await balance(services) == (1000, 0, 0)
