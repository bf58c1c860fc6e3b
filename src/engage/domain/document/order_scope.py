"""The orders, and the lines of them, that a rule or the checkout is about."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Meta, field

from engage.domain.activity import Channel, Line, PaymentMethod
from engage.domain.document.errors import Mismatch, Problem, duplicates, shown
from engage.domain.document.fields import DocumentStruct


class OrderScope(DocumentStruct, frozen=True):
    """The orders and lines that a rule pays for, or that points can pay.

    `online_at_pickup`: orders of the web shop and the app only if they are paid at pickup.
    `promotion_lines`: lines in a price-reducing promotion too.
    """

    channels: Annotated[list[Channel], Meta(min_length=1)] | None = None
    refused_methods: list[PaymentMethod] = field(default_factory=list)
    online_at_pickup: bool = False
    promotion_lines: bool = True

    def lines_of(self, lines: Sequence[Line]) -> list[Line]:
        """The lines in scope, of an order that is in scope."""
        return [line for line in lines if self.promotion_lines or not line.promotion]


def check_line_ids(lines: Sequence[Line]) -> None:
    """Raises Mismatch if two lines have the same id."""
    seen: set[str] = set()
    for line in lines:
        if line.line_id in seen:
            raise Mismatch("lines with different line_ids", f"two with {shown(line.line_id)}")
        seen.add(line.line_id)


def scope_problems(scope: OrderScope, path: str) -> Iterator[Problem]:
    yield from duplicates(scope.channels or [], f"{path}.channels")
    yield from duplicates(scope.refused_methods, f"{path}.refused_methods")
