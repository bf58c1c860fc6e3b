"""The boosts of newly paid orders, which their facts keep for ever."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.order_facts import OrderFacts
from engage.domain.earning.orders import standing
from engage.domain.keys import OrderKey
from engage.domain.tiers.movement import order_movements
from engage.runtime.boosts import add_credits, boosts_at, multiplying_groups
from engage.runtime.services import Services
from engage.store.tiers.movements import Movements, read_movements


async def with_boosts(
    services: Services,
    conn: AsyncConnection,
    before: Mapping[OrderKey, OrderFacts],
    after: Mapping[OrderKey, OrderFacts],
    paid_in_turn: Sequence[OrderKey],
) -> dict[OrderKey, OrderFacts]:
    """The facts of locked orders, those that are newly paid with what boosts them: the level at the time of
    the payment, by all that is known of before it. An order that lifts a member does not boost itself, and
    the next one it does. `paid_in_turn` are orders in the sequence of their payments.

    Raises Unavailable.
    """
    found = dict(after)
    new = [
        key
        for key in dict.fromkeys(paid_in_turn)
        if services.programs.boosts(key[0]) and before[key].paid is None and after[key].paid is not None
    ]
    if not new:
        return found
    groups = {}
    for key in new:
        paid = after[key].paid
        assert paid is not None
        groups[key] = await multiplying_groups(services, key[0], paid.version)
    metrics = {group.metric for each in groups.values() for group in each}
    members = sorted({key[:2] for key in new})
    movements = await read_movements(conn, members, metrics)
    for key in after:
        if key[:2] in movements and key not in new:
            _replace_order(movements[key[:2]], key[2], after[key])
    for key in sorted(new, key=lambda key: _paid_at(after[key])):
        paid = after[key].paid
        assert paid is not None
        known = movements[key[:2]]
        boosts = boosts_at(groups[key], known, at=paid.at, zone=paid.zone)
        found[key] = replace(after[key], paid=replace(paid, boosts=boosts))
        _replace_order(known, key[2], found[key])
        program = await services.programs.version(services.db, key[0], paid.version)
        standings = standing(program.earning, paid.order, at=paid.at, zone=paid.zone, boosts=boosts)
        add_credits(known, (each.credit for each in standings))
    return found


def _paid_at(facts: OrderFacts) -> float:
    assert facts.paid is not None
    return facts.paid.at.timestamp()


def _replace_order(movements: Movements, order_id: str, facts: OrderFacts) -> None:
    """Count an order by these facts, in place of what was read of it."""
    others = [movement for movement in movements["spend_minor"] if movement.cause.id != order_id]
    movements["spend_minor"] = [*others, *order_movements(order_id, facts)]
