"""One member's life in a program: activities, orders, checkout, rewards. The specification of the flows.

It is made of the same pure functions that the flows call, over plain dictionaries instead of tables.
"""

from datetime import date, datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.activity import AnyActivity, Order, Registration
from engage.domain.calendar import local_date, window
from engage.domain.checkout import offers
from engage.domain.checkout.definition import Checkout
from engage.domain.checkout.offers import Basket, Plan, Voucher
from engage.domain.earning import orders
from engage.domain.earning.decide import NewCredit
from engage.domain.earning.order_facts import Facts, Paid, Return
from engage.domain.members.eligibility import reasons_against
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards import allowance
from engage.domain.rewards.definition import AnyReward, CouponReward
from engage.domain.simulation.account import SimulatedAccount, SimulatedHold
from engage.domain.simulation.limits import SimulatedLimits
from engage.domain.withdrawals import checks
from engage.domain.withdrawals.definition import Method


class IssuedCode(Struct):
    """A coupon or an F-code. A hold that applies it tells how it stands."""

    reward: AnyReward
    code: str
    issued_at: datetime
    expires_at: datetime | None
    hold: SimulatedHold | None = None


class CheckoutQuote(Struct, frozen=True):
    points: offers.PointsOffer
    coupons: dict[str, offers.CouponOffer]  # By reward.


class SimulatedMember:
    """One member of a country under one version of a program."""

    def __init__(self, program: Program, country: str) -> None:
        self.program = program
        self.market = program.countries[country]
        self.limits = SimulatedLimits()
        self.accounts = SimulatedAccount(grace=program.grace)
        self._facts: dict[str, Facts] = {}
        self._holds: dict[str, SimulatedHold] = {}  # The last of each order.
        self._codes: list[IssuedCode] = []
        self._withdrawn: dict[str, checks.DayTotals] = {}  # By day.

    def pass_to(self, at: datetime) -> None:
        """Everything that falls due by `at` happens."""
        self.accounts.pass_to(at)

    def join(
        self, *, kind: Literal["person", "company"], birth_date: date | None, at: datetime
    ) -> list[NewCredit]:
        """What joining earns, none or more. Raises Refusal not_eligible."""
        today = local_date(at, self.market.zone)
        reasons = reasons_against(self.program.eligibility, kind=kind, birth_date=birth_date, today=today)
        if reasons:
            raise Refusal(Code.NOT_ELIGIBLE, reasons=reasons)
        offered = self.program.earning.rules.matching(Registration())
        return self.record(Registration(), at) if offered else []

    def record(self, activity: AnyActivity, at: datetime) -> list[NewCredit]:
        """The credits of an activity that is no order. Raises Refusal."""
        earned = self.limits.record(self.program.earning, activity, at, self.market.zone)
        for credit in earned:
            if credit.source_key not in self.accounts.credits:
                self.accounts.add(credit)
        return earned

    def remove(self, reference: str, at: datetime) -> None:
        """What earned by that reference is gone. The place that it took stays taken."""
        for kept in self.accounts.credits.values():
            if kept.credit.reference == reference:
                self.accounts.take_back(kept, kept.credit.points, at)

    def pay(self, order: Order, at: datetime) -> list[NewCredit]:
        """What an order earns, none or more, with what its hold paid taken off.

        Raises Refusal wrong_currency or order_conflict.
        """
        if order.currency != self.market.currency:
            raise Refusal(Code.WRONG_CURRENCY, currency=self.market.currency)
        hold = self._holds.get(order.order_id)
        if hold is not None and hold.state != "released":
            order = replace(order, discount=order.discount + hold.discount_minor)
        facts = self._facts.get(order.order_id, Facts())
        paid = Paid(order, at, None, self.program.version, self.market.zone)
        self._facts[order.order_id] = facts.pay(paid)
        self._settle_order(order.order_id, at)
        return [
            replace(s.credit, due_at=s.due_at, expires_at=s.expires_at)
            for s in self._standing(order.order_id)
        ]

    def deliver(self, order_id: str, at: datetime) -> None:
        self._facts[order_id] = self._facts.get(order_id, Facts()).deliver(at)
        self._settle_order(order_id, at)

    def cancel(self, order_id: str, at: datetime) -> None:
        self._facts[order_id] = self._facts.get(order_id, Facts()).cancel(at)
        self._settle_order(order_id, at)

    def give_back(self, order_id: str, given: Return, at: datetime) -> None:
        """Raises Refusal not_bought."""
        self._facts[order_id] = self._facts.get(order_id, Facts()).give_back(given)
        self._settle_order(order_id, at)

    def _standing(self, order_id: str) -> list[orders.Standing]:
        facts = self._facts[order_id]
        if facts.paid is None:
            return []
        return orders.standing(
            self.program.earning,
            facts.paid.order,
            at=facts.paid.at,
            zone=facts.paid.zone,
            delivered_at=facts.delivered_at,
            returned=facts.returned(),
        )

    def _settle_order(self, order_id: str, at: datetime) -> None:
        """Brings the account to what the facts of the order say: what was spent comes back before what was
        earned is taken.
        """
        self._give_back_paid(order_id, at)
        for standing in self._standing(order_id):
            kept = self.accounts.credits.get(standing.credit.source_key)
            if kept is None:
                kept = self.accounts.add(standing.credit)
            if not kept.active:
                kept.due_at, kept.expires_at = standing.due_at, standing.expires_at
            self.accounts.take_back(kept, standing.taken_back, at)

    def _give_back_paid(self, order_id: str, at: datetime) -> None:
        """What paid the order, as far as the order is back."""
        facts, hold = self._facts[order_id], self._holds.get(order_id)
        if hold is None:
            return
        if facts.is_back and hold.state == "open":
            self.accounts.release(hold, at)
        elif facts.is_back and hold.state == "captured":
            self.accounts.give_back(hold, hold.points, at)
            self._return_codes(hold, at)
        elif facts.paid is not None and hold.state == "captured":
            points = orders.reinstated(
                hold.points, facts.paid.order, facts.returned(), paying=self.program.paying_scope
            )
            self.accounts.give_back(hold, points, at)

    def _return_codes(self, hold: SimulatedHold, at: datetime) -> None:
        """Coupons come back with the whole order; where the end of one has passed, for a time of grace."""
        for code in self._codes:
            if code.hold is hold:
                code.hold = None
                if code.expires_at is not None and code.expires_at <= at:
                    code.expires_at = at + self.program.grace

    def quote(self, basket: Basket, at: datetime) -> CheckoutQuote:
        """What the checkout offers by itself: points, and the coupons that are not used or out of time."""
        active = self.accounts.balance.active
        vouchers = [(code.reward.id, self._voucher(code, at)) for code in self._codes]
        coupons = {
            reward_id: offers.offer_coupon(self._checkout_terms(), basket, voucher)
            for reward_id, voucher in vouchers
            if voucher.state == "issued" and voucher.kind == "coupon"
        }
        return CheckoutQuote(offers.offer_points(self._checkout_terms(), basket, active=active), coupons)

    def hold(
        self,
        order_id: str,
        basket: Basket,
        at: datetime,
        *,
        points: int | Literal["max"],
        coupons: list[str],
    ) -> Plan:
        """Sets points aside for an order and applies coupons, by their rewards. Raises Refusal."""
        known = self._holds.get(order_id)
        if known is not None and known.state != "released":
            raise Refusal(Code.ORDER_HAS_HOLD, state=known.state)
        applied = [self._first_code(reward_id, at) for reward_id in coupons]
        plan = offers.plan(
            self._checkout_terms(),
            basket,
            active=self.accounts.balance.active,
            points=points,
            vouchers=[self._voucher(code, at) for code in applied],
        )
        offered = self.program.checkout or Checkout()
        held = self.accounts.hold(
            plan.points, at, discount_minor=plan.discount_minor, expires_at=at + offered.hold_for
        )
        self._holds[order_id] = held
        for code in applied:
            code.hold = held
        return plan

    def _checkout_terms(self) -> offers.CheckoutTerms:
        program = self.program
        return offers.CheckoutTerms(program.checkout, program.worth, program.coupons, self.market)

    def capture(self, order_id: str, at: datetime) -> None:
        """Raises Refusal hold_closed where it was released, or its time ended."""
        hold = self._hold(order_id)
        if hold.state == "open":
            self.accounts.capture(hold, at)
        elif hold.state == "released":
            raise _hold_closed()
        if order_id in self._facts:
            self._settle_order(order_id, at)

    def release(self, order_id: str, at: datetime) -> None:
        """Raises Refusal hold_closed where it was captured."""
        hold = self._hold(order_id)
        if hold.state == "open":
            self.accounts.release(hold, at)
        elif hold.state == "captured":
            raise _hold_closed()

    def _hold(self, order_id: str) -> SimulatedHold:
        if order_id not in self._holds:
            raise _hold_closed()
        return self._holds[order_id]

    def _first_code(self, reward_id: str, at: datetime) -> IssuedCode:
        """The first that can be used of a reward, or else the first that there is. Raises Refusal."""
        codes = [code for code in self._codes if code.reward.id == reward_id]
        if not codes:
            raise Refusal(Code.UNKNOWN_COUPON)
        return next((code for code in codes if self._state(code, at) == "issued"), codes[0])

    def _voucher(self, code: IssuedCode, at: datetime) -> Voucher:
        coupon = code.reward if isinstance(code.reward, CouponReward) else None
        return Voucher(
            code=code.code,
            state=self._state(code, at),
            kind="f_code" if coupon is None else "coupon",
            value_minor=None if coupon is None else coupon.value_minor,
            currency=self.market.currency,
            reward=coupon,
        )

    def _state(self, code: IssuedCode, at: datetime) -> str:
        state = "issued"
        if code.hold is not None and code.hold.state != "released":
            state = "applied" if code.hold.state == "open" else "used"
        return offers.state_at(state, code.expires_at, at)

    def redeem(self, reward_id: str, at: datetime) -> IssuedCode:
        """As the first member who gets anything. Raises Refusal unknown_reward, sold_out, limit_reached,
        reward_limit_reached or insufficient_points.
        """
        zone, reward = self.market.zone, allowance.find(self.program.rewards, reward_id)
        had = [code.issued_at for code in self._codes if code.reward.id == reward_id]
        since = allowance.counts_since(reward, at=at, zone=zone)
        allowance.check(
            reward,
            version=self.program.version,
            given=sum(since is None or issued_at >= since for issued_at in had),
            issued=len(had),
            active=self.accounts.balance.active,
            at=at,
            zone=zone,
        )
        redemption = self.accounts.new_id()
        self.accounts.account.redeem(reward.points, redemption, at)
        expires_at = None if reward.valid_for is None else at + reward.valid_for
        code = IssuedCode(reward, str(redemption), at, expires_at)
        self._codes.append(code)
        return code

    def withdraw(self, points: int, method: Method, at: datetime) -> None:
        """Sets points aside that somebody pays out; how that ends nobody tells here. Raises Refusal."""
        rules = checks.check_offered(self.program.withdrawal, method)
        assert self.program.worth is not None
        checks.worth_minor(self.program.worth, points)
        checks.check_balance(rules, points, active=self.accounts.balance.active)
        day = window("day", at, self.market.zone)
        taken = self._withdrawn.get(day.label, checks.DayTotals(0, 0))
        checks.check_daily_limits(rules, points, taken, resets_at=day.end)
        self._withdrawn[day.label] = checks.DayTotals(taken.points + points, taken.count + 1)
        self.accounts.hold(points, at)


def _hold_closed() -> Refusal:
    return Refusal(Code.HOLD_CLOSED)
