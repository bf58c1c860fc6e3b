"""The amount of an order that earns points."""

from collections.abc import Sequence

from engage.domain.activity import Line, Order


def earning_minor(order: Order, lines: Sequence[Line], *, shipping: bool) -> tuple[int, dict[str, int]]:
    """(minor units that earn, the facts that they follow from). Points and coupons paid `discount` of it."""
    paid, shipping_minor = sum(line.paid for line in lines), order.shipping if shipping else 0
    facts = {
        "paid_minor": paid,
        "lines": len(lines),
        "shipping_minor": shipping_minor,
        "discount_minor": order.discount,
    }
    return max(0, paid + shipping_minor - order.discount), facts
