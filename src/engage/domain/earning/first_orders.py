"""The orders that rules for a member's first delivered orders pay. Pure: a fold over all of them.

So the result depends neither on the order in which the shop reports deliveries and cancellations, nor on when
it does, nor on which of two merged accounts had which order.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.earning.credit import expires_at
from engage.domain.earning.order_facts import SKEW, OrderFacts
from engage.domain.earning.orders import Standing, decide_order
from engage.domain.earning.terms import EarningTerms
from engage.domain.keys import boosted_key, order_key


class Place(Struct, frozen=True):
    """An order that stands, and a rule that is for the first orders alone. `due_at` is when its points are
    due, None if it is not one of them. `number` is that of its next credit: one that had a place before, and
    lost it, is paid anew.
    """

    order_id: str
    rule_id: str
    due_at: datetime | None
    number: int = 1


def in_order(orders: Mapping[str, OrderFacts]) -> list[tuple[str, OrderFacts]]:
    """The orders that are paid and delivered, by their deliveries; those that were cancelled too."""
    delivered = [
        (facts.delivered_at, order_id, facts)
        for order_id, facts in orders.items()
        if facts.paid is not None and facts.delivered_at is not None
    ]
    return [(order_id, facts) for _, order_id, facts in sorted(delivered, key=lambda one: one[:2])]


def places(
    delivered: Iterable[tuple[str, OrderFacts, EarningTerms]], *, joined_at: datetime | None = None
) -> list[Place]:
    """The places of orders that are `in_order`, each with the terms that decide it. An order that earns
    nothing under a rule takes no place of it, nor does one that was paid before the member joined.

    One that was cancelled leaves its place to the next, whose points are due from then on: nobody could have
    them before.
    """
    cancellations: dict[str, list[datetime | None]] = {}
    found = []
    for order_id, facts, terms in delivered:
        assert facts.paid is not None
        assert facts.delivered_at is not None
        limits, paid = terms.rules.first_orders, facts.paid
        for credit in decide_order(terms, paid.order, at=paid.at, zone=paid.zone) if limits else ():
            limit = limits.get(credit.rule_id)
            if limit is None:
                continue
            as_member = joined_at is None or paid.at >= joined_at - SKEW
            if not as_member and not limit.covers(paid.at, paid.zone):
                continue
            before = cancellations.setdefault(credit.rule_id, [])
            if facts.cancelled_at is None:
                since = _place_since(facts.delivered_at, before, count=limit.count)
                due_at = None if since is None else max(since, credit.due_at or credit.activity_at)
                found.append(Place(order_id, credit.rule_id, due_at))
            before.append(facts.cancelled_at)
    return found


def in_place(terms: EarningTerms, item: Standing, place: Place) -> Standing:
    """A credit of an order that has this place: when it is due. Nothing is left of it where that is none."""
    credit = item.credit
    if place.due_at is None:
        return replace(item, taken_back=credit.points)
    ends_at = expires_at(terms, credit.unit, place.due_at, credit.why.zone)
    return replace(numbered(item, place.order_id, place.number), due_at=place.due_at, expires_at=ends_at)


def numbered(item: Standing, order_id: str, number: int) -> Standing:
    """A credit under the key of the `number`th that its rule pays for the order."""
    credit = item.credit
    key = order_key(order_id, credit.rule_id, number)
    source_key = key if credit.beside is None else boosted_key(key, credit.beside)
    return replace(item, credit=replace(credit, source_key=source_key))


def _place_since(delivered_at: datetime, before: Sequence[datetime | None], *, count: int) -> datetime | None:
    """The time at which a delivered order became one of the first, or None. `before` are the cancellations of
    the orders that were delivered before, None for each that stands.
    """
    too_many = len(before) + 1 - count
    cancelled = sorted(at for at in before if at is not None)
    if too_many <= 0:
        return delivered_at
    return max(delivered_at, cancelled[too_many - 1]) if too_many <= len(cancelled) else None
