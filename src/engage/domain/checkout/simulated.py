"""The checkout of a simulated member: quotes, and the holds of orders."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from engage.domain.checkout import offers
from engage.domain.checkout.definition import Checkout
from engage.domain.checkout.offers import Basket, CheckoutCoupon, CheckoutTerms, Plan
from engage.domain.document.order_scope import OrderScope
from engage.domain.earning.order_facts import OrderFacts
from engage.domain.earning.order_returns import reinstated
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards.definition import CouponReward
from engage.domain.rewards.simulated import IssuedCode, SimulatedRewards
from engage.domain.simulation.account import SimulatedHold
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember


class SimulatedQuote(Struct, frozen=True):
    points: offers.PointsOffer
    coupons: dict[str, offers.CouponOffer]  # By reward.


class SimulatedCheckout(SimulatedFeature):
    def __init__(self, member: SimulatedMember, terms: CheckoutTerms) -> None:
        self._member = member
        self._terms = terms
        self._holds: dict[str, SimulatedHold] = {}  # The last one of each order.

    def quote(self, basket: Basket, at: datetime) -> SimulatedQuote:
        """The points that the order accepts, and the discount of each coupon that can be used."""
        presented = [(code.reward.id, self._coupon(code, at)) for code in self._rewards.codes]
        coupons = {
            reward_id: offers.offer_coupon(self._terms, basket, coupon)
            for reward_id, coupon in presented
            if coupon.state == "issued" and coupon.kind == "coupon"
        }
        active = self._member.account.balance.active
        return SimulatedQuote(offers.offer_points(self._terms, basket, active=active), coupons)

    def hold(
        self,
        order_id: str,
        basket: Basket,
        at: datetime,
        *,
        points: int | Literal["max"],
        coupons: Sequence[str],
    ) -> Plan:
        """Hold points for an order and apply coupons, named by their rewards. Raises Refusal."""
        known = self._holds.get(order_id)
        if known is not None and known.state != "released":
            raise Refusal(Code.ORDER_HAS_HOLD, state=known.state)
        applied = [self._rewards.usable(reward_id, at) for reward_id in coupons]
        account = self._member.account
        plan = offers.plan(
            self._terms,
            basket,
            active=account.balance.active,
            points=points,
            coupons=[self._coupon(code, at) for code in applied],
        )
        hold = account.hold(
            plan.points,
            at,
            discount_minor=plan.discount_minor,
            expires_at=at + (self._terms.checkout or Checkout()).hold_for,
        )
        self._holds[order_id] = hold
        for code in applied:
            code.hold = hold
        return plan

    def capture(self, order_id: str, at: datetime) -> None:
        """Raises Refusal hold_closed for a hold that was released or timed out."""
        hold = self._hold(order_id)
        if hold.state == "open":
            self._member.account.capture(hold, at)
        elif hold.state == "released":
            raise _hold_closed()
        self._member.settle_order(order_id, at)

    def release(self, order_id: str, at: datetime) -> None:
        """Raises Refusal hold_closed for a hold that was captured."""
        hold = self._hold(order_id)
        if hold.state == "open":
            self._member.account.release(hold, at)
        elif hold.state == "captured":
            raise _hold_closed()

    def order_discount(self, order_id: str) -> int:
        hold = self._holds.get(order_id)
        return 0 if hold is None or hold.state == "released" else hold.discount_minor

    def order_changed(self, order_id: str, facts: OrderFacts, at: datetime) -> None:
        """Give back points and coupons, as far as the order came back."""
        hold = self._holds.get(order_id)
        if hold is None:
            return
        account = self._member.account
        if facts.is_back and hold.state == "open":
            account.release(hold, at)
        elif facts.is_back and hold.state == "captured":
            account.reinstate(hold, hold.points, at)
            self._rewards.return_codes(hold, at)
        elif facts.paid is not None and hold.state == "captured":
            paying = OrderScope() if self._terms.checkout is None else self._terms.checkout.orders
            order, returned = facts.paid.order, facts.returned()
            account.reinstate(hold, reinstated(hold.points, order, returned, paying=paying), at)

    @property
    def _rewards(self) -> SimulatedRewards:
        return self._member.feature(SimulatedRewards)

    def _hold(self, order_id: str) -> SimulatedHold:
        if order_id not in self._holds:
            raise _hold_closed()
        return self._holds[order_id]

    def _coupon(self, code: IssuedCode, at: datetime) -> CheckoutCoupon:
        reward = code.reward if isinstance(code.reward, CouponReward) else None
        return CheckoutCoupon(
            code=code.code,
            state=code.state(at),
            kind="f_code" if reward is None else "coupon",
            value_minor=None if reward is None else reward.value_minor,
            currency=self._member.market.currency,
            reward=reward,
        )


def _hold_closed() -> Refusal:
    return Refusal(Code.HOLD_CLOSED)
