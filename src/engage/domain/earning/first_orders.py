"""The orders that rules for a member's first delivered orders pay. Pure: a fold over all of them.

So the result depends neither on the order in which the shop reports deliveries, nor on which of two merged
accounts had which order.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from engage.domain.earning.definition import Rule
from engage.domain.earning.limits import FirstOrders
from engage.domain.earning.order_facts import SKEW, OrderFacts
from engage.domain.earning.orders import decide_order
from engage.domain.earning.terms import EarningTerms


class Place(Struct, frozen=True):
    """An order and a rule that is for the first orders alone. `has_place`: it is one of them."""

    order_id: str
    rule_id: str
    has_place: bool


def limited_rules(terms: EarningTerms) -> dict[str, FirstOrders]:
    """The limits of the rules that pay the first orders alone, by rule."""
    rules: Iterable[Rule] = terms.rules.by_id.values()
    return {rule.id: rule.limit for rule in rules if isinstance(rule.limit, FirstOrders)}


def in_order(orders: Mapping[str, OrderFacts]) -> list[tuple[str, OrderFacts]]:
    """The orders that are paid and delivered, by their deliveries."""
    delivered = [
        (facts.delivered_at, order_id, facts)
        for order_id, facts in orders.items()
        if facts.paid is not None and facts.delivered_at is not None and facts.cancelled_at is None
    ]
    return [(order_id, facts) for _, order_id, facts in sorted(delivered, key=lambda one: one[:2])]


def places(
    delivered: Iterable[tuple[str, OrderFacts, EarningTerms]], *, joined_at: datetime | None = None
) -> list[Place]:
    """The places of orders that are `in_order`, each with the terms that decide it. An order that earns
    nothing under a rule takes no place of it, nor does one that was paid before the member joined.
    """
    seen: dict[str, int] = {}
    found = []
    for order_id, facts, terms in delivered:
        assert facts.paid is not None
        limits, paid = limited_rules(terms), facts.paid
        for credit in decide_order(terms, paid.order, at=paid.at, zone=paid.zone) if limits else ():
            limit = limits.get(credit.rule_id)
            if limit is None:
                continue
            as_member = joined_at is None or paid.at >= joined_at - SKEW
            if as_member or limit.covers(paid.at, paid.zone):
                seen[credit.rule_id] = seen.get(credit.rule_id, 0) + 1
                found.append(Place(order_id, credit.rule_id, seen[credit.rule_id] <= limit.count))
    return found
