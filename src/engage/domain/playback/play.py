"""A step of an example, done by the member whom `engage.domain.simulation.member` stands for."""

from datetime import datetime

from msgspec import Struct

from engage.domain.activity import Order, review_reference, share_reference
from engage.domain.checkout.offers import Basket, Plan
from engage.domain.earning.decide import NewCredit
from engage.domain.earning.order_facts import Return, ReturnedLine
from engage.domain.examples.steps import (
    Capture,
    Hold,
    Join,
    OrderCancelled,
    OrderDelivered,
    OrderReturned,
    Quote,
    Redeem,
    Release,
    ReviewRemoved,
    ShareRemoved,
    Spend,
    Step,
    Wait,
    Withdraw,
)
from engage.domain.refusals import Refusal
from engage.domain.simulation.member import CheckoutQuote, IssuedCode, SimulatedMember


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a step: that of the parts which its deed has."""

    credits: list[NewCredit] | None = None
    quote: CheckoutQuote | None = None
    plan: Plan | None = None
    code: IssuedCode | None = None
    refusal: Refusal | None = None


def play(member: SimulatedMember, step: Step, at: datetime) -> Outcome:
    """Does what a step says, once. Before and after it everything happens that has fallen due."""
    member.pass_to(at)
    try:
        outcome = _do(member, step, at)
    except Refusal as refusal:
        outcome = Outcome(refusal=refusal)
    member.pass_to(at)
    return outcome


def _do(member: SimulatedMember, step: Step, at: datetime) -> Outcome:
    match step.do:
        case Order() as order:
            return Outcome(credits=member.pay(order, at))
        case Join(kind=kind, birth_date=birth_date):
            return Outcome(credits=member.join(kind=kind, birth_date=birth_date, at=at))
        case OrderDelivered() | OrderCancelled() | OrderReturned() | ReviewRemoved() | ShareRemoved():
            _afterwards(member, step, at)
            return Outcome()
        case Quote() | Capture() | Release():
            return _check_out(member, step.do, at)
        case Redeem(reward_id=reward_id):
            return Outcome(code=member.redeem(reward_id, at))
        case Withdraw(points=points, method=method):
            member.withdraw(points, method, at)
            return Outcome()
        case Wait():
            return Outcome()
        case activity:
            return Outcome(credits=member.record(activity, at))


def _afterwards(member: SimulatedMember, step: Step, at: datetime) -> None:
    """What becomes of an order, a review or a share."""
    match step.do:
        case OrderDelivered(order_id=order_id):
            member.deliver(order_id, at)
        case OrderCancelled(order_id=order_id):
            member.cancel(order_id, at)
        case OrderReturned(order_id=order_id, lines=lines):
            back = None if lines is None else [ReturnedLine(*line) for line in lines.items()]
            member.give_back(order_id, Return(f"{order_id} {at.isoformat()}", back), at)
        case ReviewRemoved(review_id=review_id):
            member.remove(review_reference(review_id), at)
        case ShareRemoved(share_id=share_id):
            member.remove(share_reference(share_id), at)


def _check_out(member: SimulatedMember, deed: Quote | Capture | Release, at: datetime) -> Outcome:
    match deed:
        case Spend():
            plan = _hold(member, deed, at)
            earned = member.pay(_order(deed, member), at)
            member.capture(deed.order_id, at)
            return Outcome(credits=earned, plan=plan)
        case Hold():
            return Outcome(plan=_hold(member, deed, at))
        case Quote():
            return Outcome(quote=member.quote(_basket(deed, member), at))
        case Capture(order_id=order_id):
            member.capture(order_id, at)
        case Release(order_id=order_id):
            member.release(order_id, at)
    return Outcome()


def _hold(member: SimulatedMember, deed: Hold, at: datetime) -> Plan:
    basket = _basket(deed, member)
    return member.hold(deed.order_id, basket, at, points=deed.points, coupons=deed.coupons)


def _basket(deed: Quote, member: SimulatedMember) -> Basket:
    return Basket(
        lines=deed.lines,
        payment=deed.payment,
        currency=deed.currency or member.market.currency,
        shipping=deed.shipping,
        channel=deed.channel,
    )


def _order(deed: Spend, member: SimulatedMember) -> Order:
    return Order(
        order_id=deed.order_id,
        channel=deed.channel,
        payment=deed.payment,
        lines=deed.lines,
        shipping=deed.shipping,
        currency=deed.currency or member.market.currency,
    )
