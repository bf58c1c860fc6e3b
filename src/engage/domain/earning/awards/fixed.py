"""The same points each time."""

from collections.abc import Sequence
from typing import ClassVar

from engage.domain.activity import Line, Order
from engage.domain.document.fields import Points
from engage.domain.earning.awards.kind import AwardKind, Earned
from engage.domain.earning.limits.kind import SlotKind
from engage.domain.earning.trace import TraceCode, step


class Fixed(AwardKind, frozen=True, tag="fixed"):
    for_orders: ClassVar[bool] = True
    for_activities: ClassVar[bool] = True

    points: Points

    def for_slot(self, rule_id: str, slot: SlotKind, number: int) -> Earned:
        return self.points, slot.paid(rule_id, number, self.points)

    def for_order(self, rule_id: str, order: Order, lines: Sequence[Line]) -> Earned:
        return self.points, step(TraceCode.EACH_ORDER, rule=rule_id, points=self.points)
