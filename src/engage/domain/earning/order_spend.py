"""The money that a member has spent on an order: what was paid for the lines that did not come back."""

from engage.domain.earning.awards.amount import earning_minor
from engage.domain.earning.order_facts import OrderFacts
from engage.domain.earning.order_returns import taken_back


def kept_minor(facts: OrderFacts) -> int:
    """Minor units paid for the lines that the member has kept. Shipping is not counted, nor what points and
    coupons paid; returned pieces take their share of that with them.
    """
    if facts.paid is None:
        return 0
    order = facts.paid.order
    paid, _ = earning_minor(order, order.lines, shipping=False)
    return paid - taken_back(paid, order.lines, facts.returned())


def kept_products(facts: OrderFacts) -> frozenset[str]:
    """The products of which the member has kept something."""
    if facts.paid is None:
        return frozenset()
    back = facts.returned()
    return frozenset(
        line.product_id for line in facts.paid.order.lines if line.quantity > back.get(line.line_id, 0)
    )
