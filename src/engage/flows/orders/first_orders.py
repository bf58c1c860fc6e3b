"""Pay a member's first delivered orders: those that are the first by all that is known now.

A delivery that is reported late can come before others. Then the last of those paid is one too many, and
loses its points; so does the excess of two accounts that are merged. When one of the first is cancelled, the
next one takes its place, and its points are due then: also one that has lost its place before.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from engage.domain.earning.first_orders import Place, in_order, places
from engage.domain.earning.order_facts import OrderFacts
from engage.domain.earning.terms import EarningTerms
from engage.domain.keys import MemberKey, OrderKey, displaced_reference
from engage.flows.orders.order_changes import OrderUpdate
from engage.flows.orders.post_orders import post_differences
from engage.ledger.credits import OrderCredits, read_credits_of_orders
from engage.runtime.posting import Posting, open_posting
from engage.runtime.reactions import Reaction
from engage.runtime.services import Services
from engage.store.members.members import lock_profiles
from engage.store.shop.orders import lock_orders, read_delivered_orders

# Those that were cancelled, or paid before the member joined, are among them and take no place.
ORDERS_READ: Final = 1_000


async def react(services: Services, members: Sequence[MemberKey], *, now: datetime) -> None:
    """Raises Unavailable."""
    for key in members:
        versions = services.programs.versions(key[0])
        if any(version.earning.rules.first_orders for version in versions):
            async with open_posting(services, cause="orders") as posting:
                await _settle(services, posting, key, now=now)


async def _settle(services: Services, posting: Posting, key: MemberKey, *, now: datetime) -> None:
    conn = posting.conn
    # Of two at once, the second one sees what the first has done.
    member = (await lock_profiles(conn, key[0], [key[1]])).get(key[1])
    if member is None or member.merged_into is not None or member.erased_at is not None:
        return
    delivered = await read_delivered_orders(conn, key, limit=ORDERS_READ)
    changing = await _changing(services, posting, key, delivered, joined_at=member.joined_at)
    if not changing:
        return
    facts = await lock_orders(conn, changing)
    updates = [
        OrderUpdate(
            order, facts[order], facts[order], again=True, reason=displaced_reference(order[2]), places=found
        )
        for order, found in changing.items()
        # An order that has changed meanwhile is noted, and comes again.
        if facts[order] == delivered[order]
    ]
    await post_differences(services, posting, updates, now=now)


async def _changing(
    services: Services,
    posting: Posting,
    key: MemberKey,
    delivered: Mapping[OrderKey, OrderFacts],
    *,
    joined_at: datetime,
) -> dict[OrderKey, dict[str, Place]]:
    """The places, by rule, of orders of which the ledger says otherwise."""
    orders = in_order({order[2]: facts for order, facts in delivered.items()})
    found = places(
        [(order_id, facts, await _terms(services, key, facts)) for order_id, facts in orders],
        joined_at=joined_at,
    )
    known = await read_credits_of_orders(posting.conn, key, sorted({place.rule_id for place in found}))
    changing: dict[OrderKey, dict[str, Place]] = {}
    for place in found:
        credits = known.get((place.order_id, place.rule_id), OrderCredits())
        if _differs(credits, place):
            numbered = replace(place, number=credits.displaced + 1)
            changing.setdefault((*key, place.order_id), {})[place.rule_id] = numbered
    return changing


def _differs(credits: OrderCredits, place: Place) -> bool:
    match credits.state:
        case None:
            return place.due_at is not None
        case "pending":
            return credits.due_at != place.due_at
        case "active":
            return place.due_at is None
        case "reversed":
            return False  # It keeps its place, though nothing is left of it.


async def _terms(services: Services, key: MemberKey, facts: OrderFacts) -> EarningTerms:
    assert facts.paid is not None
    return (await services.programs.version(services.db, key[0], facts.paid.version)).earning


FIRST_ORDERS: Final = Reaction("first_orders", react)
