"""The points of an order that its returns take with them. Pure arithmetic."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from engage.domain.activity import Line, Order
from engage.domain.document.order_scope import OrderScope


def line_paid(line: Line) -> int:
    return line.paid


def taken_back(
    points: int,
    lines: Sequence[Line],
    returned: Mapping[str, int],
    *,
    weight: Callable[[Line], int] = line_paid,
) -> int:
    """The part of an order's `points`, shared by `lines`, that the returned quantities take with them.

    `weight` is a line's share among the others. The result depends on the sum of all returns alone, so any
    split of them adds up to all points when everything is back. Rounded down: a point that is not gone as a
    whole is not gone. More than was bought counts as all of it.
    """
    if not any(returned.get(line.line_id) for line in lines):
        return 0
    total = sum(weight(line) for line in lines)
    if not total:
        # Points that no line has a share of, such as those of the shipping, go with the last line.
        return points if all(returned.get(line.line_id, 0) >= line.quantity for line in lines) else 0
    share = sum(
        Fraction(weight(line) * min(returned.get(line.line_id, 0), line.quantity), line.quantity)
        for line in lines
    )
    return int(points * share / total)


def ordered_quantities(order: Order) -> dict[str, int]:
    """The quantities of an order, by line id."""
    return {line.line_id: line.quantity for line in order.lines}


def is_all_back(order: Order, returned: Mapping[str, int]) -> bool:
    return all(returned.get(line.line_id, 0) >= line.quantity for line in order.lines)


def reinstated(points: int, order: Order, returned: Mapping[str, int], *, paying: OrderScope) -> int:
    """The part of the points that paid an order that goes back to the member: the share of the returned
    quantities among the lines that could be paid with points (`paying`).
    """
    return taken_back(points, paying.lines_of(order.lines) or order.lines, returned)
