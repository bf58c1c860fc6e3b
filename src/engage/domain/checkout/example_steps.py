"""Steps of examples about the checkout, and what they expect."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta, field
from msgspec.structs import replace

from engage.domain.activity import Channel, Identifier, Lines, MinorUnits, Order, Payment
from engage.domain.checkout.offers import Basket
from engage.domain.checkout.simulated import SimulatedCheckout, SimulatedQuote
from engage.domain.document.errors import Problem, duplicate_names
from engage.domain.document.fields import Currency, RuleId
from engage.domain.feature.action import Action
from engage.domain.feature.outcome import NOTHING, Expectation, Outcome
from engage.domain.feature.section import Context
from engage.domain.refusals import Code
from engage.domain.rewards.validation import unknown_reward
from engage.domain.simulation.member import SimulatedMember

Amount = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class ExpectedCoupon(Expectation, frozen=True):
    """A coupon in a quote: its discount, or the reasons why there is none."""

    reward: RuleId
    discount_minor: Amount = 0
    reasons: list[str] = field(default_factory=list)

    def in_words(self, zone: str) -> str:
        return f"{self.reward} {' and '.join(self.reasons) or self.discount_minor}"


class ExpectedQuote(Expectation, frozen=True):
    """The most points that the order accepts, their value, and the reasons why not more."""

    max_points: Amount
    discount_minor: Amount
    reasons: list[str] | None = None
    coupons: list[ExpectedCoupon] | None = None

    def in_words(self, zone: str) -> str:
        words = [f"at most {self.max_points} points for {self.discount_minor}"]
        if self.reasons is not None:
            words.append(f"because of {' and '.join(self.reasons) or NOTHING}")
        if self.coupons is not None:
            offers = sorted(coupon.in_words(zone) for coupon in self.coupons)
            words.append("coupons " + (" and ".join(offers) or "none"))
        return ", ".join(words)

    def as_detailed_as(self, expected: Self | None) -> Self:
        return replace(
            self,
            reasons=self.reasons if expected and expected.reasons is not None else None,
            coupons=self.coupons if expected and expected.coupons is not None else None,
        )

    def problems(self, path: str, context: Context) -> Iterator[Problem]:
        for n, coupon in enumerate(self.coupons or ()):
            yield from unknown_reward(coupon.reward, f"{path}.coupons[{n}].reward", context.ids["rewards"])


class ExpectedPayment(Expectation, frozen=True):
    """The part of an order that points and coupons pay."""

    points: Amount
    discount_minor: Amount

    def in_words(self, zone: str) -> str:
        return f"{self.points} points, {self.discount_minor} in all"


class QuoteStep(Action, frozen=True, kw_only=True, tag="quote"):
    """The checkout asks for a quote. The currency is that of the member's country by default."""

    results: ClassVar = frozenset({"quotes"})

    channel: Channel
    payment: Payment
    lines: Lines
    shipping: MinorUnits = 0
    currency: Currency | None = None

    def basket(self, member: SimulatedMember) -> Basket:
        return Basket(
            lines=self.lines,
            payment=self.payment,
            currency=self.currency or member.market.currency,
            shipping=self.shipping,
            channel=self.channel,
        )

    def problems(self, path: str, context: Context, *, refused: Code | None) -> Iterator[Problem]:
        yield from duplicate_names([line.line_id for line in self.lines], f"{path}.lines", "line_id")

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        quote = member.feature(SimulatedCheckout).quote(self.basket(member), at)
        return Outcome(results={"quotes": _quoted(quote)})


class Hold(QuoteStep, frozen=True, kw_only=True, tag="hold"):
    """Points are held for an order, and coupons applied: the first usable ones of these rewards. The order
    itself is a later step. It earns nothing for what they pay.
    """

    results: ClassVar = frozenset({"pays"})

    order_id: Identifier
    points: Amount | Literal["max"]
    coupons: list[RuleId] = field(default_factory=list)

    def problems(self, path: str, context: Context, *, refused: Code | None) -> Iterator[Problem]:
        yield from super().problems(path, context, refused=refused)
        for n, reward_id in enumerate(self.coupons):
            yield from unknown_reward(reward_id, f"{path}.coupons[{n}]", context.ids["rewards"])

    def hold(self, member: SimulatedMember, at: datetime) -> ExpectedPayment:
        plan = member.feature(SimulatedCheckout).hold(
            self.order_id, self.basket(member), at, points=self.points, coupons=self.coupons
        )
        return ExpectedPayment(plan.points, plan.discount_minor)

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        return Outcome(results={"pays": self.hold(member, at)})


class Spend(Hold, frozen=True, kw_only=True, tag="spend"):
    """A hold, the order that it pays, and the capture in one step."""

    results: ClassVar = frozenset({"pays", "earns"})

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        payment = self.hold(member, at)
        credits = member.pay(self._order(member), at)
        member.feature(SimulatedCheckout).capture(self.order_id, at)
        return Outcome(credits=credits, results={"pays": payment})

    def _order(self, member: SimulatedMember) -> Order:
        return Order(
            order_id=self.order_id,
            channel=self.channel,
            payment=self.payment,
            lines=self.lines,
            shipping=self.shipping,
            currency=self.currency or member.market.currency,
        )


class Capture(Action, frozen=True, tag="capture"):
    """The points that an order's hold keeps are spent."""

    order_id: Identifier

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.feature(SimulatedCheckout).capture(self.order_id, at)
        return Outcome()


class Release(Action, frozen=True, tag="release"):
    """The points that an order's hold keeps go back to the member."""

    order_id: Identifier

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.feature(SimulatedCheckout).release(self.order_id, at)
        return Outcome()


def _quoted(quote: SimulatedQuote) -> ExpectedQuote:
    return ExpectedQuote(
        quote.points.max_points,
        quote.points.value_minor,
        [str(reason) for reason in quote.points.reasons],
        [
            ExpectedCoupon(reward, offer.discount_minor, [str(reason) for reason in offer.reasons])
            for reward, offer in quote.coupons.items()
        ],
    )
