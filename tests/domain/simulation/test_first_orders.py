"""A simulated member's first orders, as their places come and go."""

from engage.domain.activity import Line, Order, Payment
from engage.domain.program import sections
from engage.domain.simulation.member import SimulatedMember
from tests.domain.earning.test_first_orders import DAY, PAID_AT, PROGRAM


def settled(member: SimulatedMember, days: int) -> None:
    member.react(PAID_AT + days * DAY)
    member.advance(PAID_AT + days * DAY)


def pay(member: SimulatedMember, order_id: str, minor: int, days: int) -> None:
    lines = [Line(line_id="1", product_id="band", quantity=1, paid=minor)]
    order = Order(
        order_id=order_id, channel="web", payment=Payment(method="card"), lines=lines, currency="INR"
    )
    member.advance(PAID_AT + days * DAY)
    member.pay(order, PAID_AT + days * DAY)
    settled(member, days)


def deliver(member: SimulatedMember, order_id: str, days: int) -> None:
    member.advance(PAID_AT + days * DAY)
    member.deliver(order_id, PAID_AT + days * DAY)
    settled(member, days)


def cancel(member: SimulatedMember, order_id: str, days: int) -> None:
    member.advance(PAID_AT + days * DAY)
    member.cancel(order_id, PAID_AT + days * DAY)
    settled(member, days)


def test_an_order_that_lost_its_place_is_paid_again_when_it_has_one() -> None:
    member = sections.simulate(PROGRAM, "IN")
    pay(member, "o-2", 2000, 0)
    pay(member, "o-3", 3000, 0)
    deliver(member, "o-1", 1)  # Its payment is not known yet.
    deliver(member, "o-2", 2)
    deliver(member, "o-3", 3)
    assert member.account.balance.active == 50
    pay(member, "o-1", 1000, 4)
    assert member.account.balance.active == 30
    cancel(member, "o-2", 400)
    assert member.account.balance.active == 40
    (end,) = [end for end, points in member.account.expiring() if points == 30]
    assert end == PROGRAM.expiry.expires_at(PAID_AT + 400 * DAY, "Asia/Kolkata")
    cancel(member, "o-3", 401)
    assert member.account.balance.active == 10


def test_an_order_that_is_back_is_not_paid_again() -> None:
    member = sections.simulate(PROGRAM, "IN")
    pay(member, "o-2", 2000, 0)
    pay(member, "o-3", 3000, 0)
    deliver(member, "o-1", 1)
    deliver(member, "o-2", 2)
    deliver(member, "o-3", 3)
    cancel(member, "o-3", 3)
    pay(member, "o-1", 1000, 4)
    cancel(member, "o-2", 5)
    assert member.account.balance.active == 10
