"""Points for each whole step of an order's amount."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, ClassVar

from msgspec import Meta

from engage.domain.activity import Line, Order
from engage.domain.document.fields import Points
from engage.domain.earning.awards.amount import earning_minor
from engage.domain.earning.awards.kind import AwardKind, Earned
from engage.domain.earning.trace import TraceCode, step


class PerSpend(AwardKind, frozen=True, tag="per_spend"):
    """For each whole step of what an order's lines cost, with or without shipping.

    Rounded down once an order, never a line. What points or coupons paid earns nothing.
    """

    for_orders: ClassVar[bool] = True
    has_amounts: ClassVar[bool] = True

    points: Points
    # In minor units of the member's currency: 100 is one euro, 10,000 is ten thousand francs CFA.
    step_minor: Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
    shipping: bool = False

    def for_order(self, rule_id: str, order: Order, lines: Sequence[Line]) -> Earned:
        amount, facts = earning_minor(order, lines, shipping=self.shipping)
        points = amount // self.step_minor * self.points
        return points, step(
            TraceCode.SPEND_STEPS,
            rule=rule_id,
            **facts,
            points=points,
            step_points=self.points,
            step_minor=self.step_minor,
        )

    def exact(self, order: Order, lines: Sequence[Line]) -> Fraction:
        amount, _ = earning_minor(order, lines, shipping=self.shipping)
        return Fraction(amount * self.points, self.step_minor)
