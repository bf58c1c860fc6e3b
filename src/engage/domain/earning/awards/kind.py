"""The shape of an award: each brings its struct, its points and its validation."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import ClassVar

from engage.domain.activity import Line, Order
from engage.domain.document.errors import Problem
from engage.domain.document.fields import DocumentStruct
from engage.domain.earning.limits.kind import SlotKind
from engage.domain.earning.trace import TraceStep

Earned = tuple[int, TraceStep]  # (points, why); 0 points where the rule pays nothing this time.


class AwardKind(DocumentStruct, frozen=True):
    """Base of the awards. One is for orders, for other activities, or for both."""

    for_orders: ClassVar[bool] = False
    for_activities: ClassVar[bool] = False
    has_amounts: ClassVar[bool] = False  # In minor units of the order's currency.

    def for_slot(self, rule_id: str, slot: SlotKind, number: int) -> Earned:
        """The points of a rule that got slot `number`."""
        raise AssertionError(f"{self.kind} is for orders")

    def for_order(self, rule_id: str, order: Order, lines: Sequence[Line]) -> Earned:
        """The points of an order. `lines` are those that the rule is about, at least one."""
        raise AssertionError(f"{self.kind} is not for orders")

    def exact(self, order: Order, lines: Sequence[Line]) -> Fraction:
        """The points of an order before they are rounded down."""
        return Fraction(self.for_order("", order, lines)[0])

    def weight(self, line: Line) -> int:
        """The share of a line in the points of its order, beside those of the other lines."""
        return line.paid

    def problems(self, path: str) -> Iterator[Problem]:
        """Validate the award by itself. `path` is the award's."""
        return iter(())

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)
