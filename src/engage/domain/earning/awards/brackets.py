"""Points by the bracket of an order's amount."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar

from msgspec import Meta

from engage.domain.activity import Line, Order
from engage.domain.document.errors import Problem
from engage.domain.document.fields import DocumentStruct, Points
from engage.domain.earning.awards.amount import earning_minor
from engage.domain.earning.awards.kind import AwardKind, Earned
from engage.domain.earning.trace import TraceCode, step


class Bracket(DocumentStruct, frozen=True):
    from_minor: Annotated[int, Meta(ge=0, le=1_000_000_000_000)]
    points: Points


class Brackets(AwardKind, frozen=True, tag="brackets"):
    """By the order's amount: the points of the highest bracket that it reaches."""

    for_orders: ClassVar[bool] = True
    has_amounts: ClassVar[bool] = True

    brackets: Annotated[list[Bracket], Meta(min_length=1, max_length=50)]
    shipping: bool = False

    def for_order(self, rule_id: str, order: Order, lines: Sequence[Line]) -> Earned:
        amount, facts = earning_minor(order, lines, shipping=self.shipping)
        reached = max(
            (bracket for bracket in self.brackets if bracket.from_minor <= amount),
            key=lambda bracket: bracket.from_minor,
            default=None,
        )
        if reached is None:
            return 0, step(TraceCode.LOST_BRACKET, rule=rule_id, **facts)
        return reached.points, step(
            TraceCode.BRACKET, rule=rule_id, **facts, points=reached.points, from_minor=reached.from_minor
        )

    def problems(self, path: str) -> Iterator[Problem]:
        for n, (lower, higher) in enumerate(pairwise(self.brackets), start=1):
            for name in ("from_minor", "points"):
                least, found = getattr(lower, name), getattr(higher, name)
                if found <= least:
                    expected = f"more than the {least} of the bracket before it"
                    yield Problem(f"{path}.brackets[{n}].{name}", expected, str(found))
