"""The points on the price tags of an order's products."""

from collections.abc import Sequence
from typing import ClassVar

from engage.domain.activity import Line, Order
from engage.domain.earning.awards.kind import AwardKind, Earned
from engage.domain.earning.trace import TraceCode, step


class TagPoints(AwardKind, frozen=True, tag="tag_points"):
    """The points that are printed on the price tags of an order's products."""

    for_orders: ClassVar[bool] = True

    def for_order(self, rule_id: str, order: Order, lines: Sequence[Line]) -> Earned:
        points = sum(self.weight(line) for line in lines)
        return points, step(TraceCode.TAG_POINTS, rule=rule_id, points=points)

    def weight(self, line: Line) -> int:
        return line.tag_points * line.quantity
