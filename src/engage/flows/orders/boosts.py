"""The boosts of newly paid orders, which their facts keep for ever."""

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.boost import Boost
from engage.domain.earning.order_facts import OrderFacts, OrderPayment
from engage.domain.earning.orders import standing
from engage.domain.keys import MemberKey, OrderKey
from engage.domain.tiers.movement import order_movements
from engage.runtime.boosts import (
    Moment,
    add_credits,
    boosts_at,
    known_boosts,
    multiplying_groups,
    read_facts,
)
from engage.runtime.services import Services
from engage.store.tiers.movements import Movements


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
    moments = {}
    for key in new:
        paid = _payment(after[key])
        moments[key] = Moment(await multiplying_groups(services, key[0], paid.version), paid.at, paid.zone)
    orders = Counter(key[:2] for key in after)
    boosts_known = await known_boosts(conn, {key[:2]: moments[key] for key in new if orders[key[:2]] == 1})
    by_member: dict[MemberKey, list[Moment]] = {}
    for key in new:
        if key[:2] in boosts_known:
            found[key] = _boosted(after[key], boosts_known[key[:2]])
        else:
            by_member.setdefault(key[:2], []).append(moments[key])
    movements = await read_facts(conn, by_member)
    for key in after:
        if key[:2] in movements and key not in new:
            _replace_order(movements[key[:2]], key[2], after[key])
    for key in sorted(new, key=lambda key: moments[key].at):
        if key[:2] in boosts_known:
            continue
        known = movements[key[:2]]
        boosts = boosts_at(moments[key], known)
        found[key] = _boosted(after[key], boosts)
        _replace_order(known, key[2], found[key])
        paid = _payment(after[key])
        program = await services.programs.version(services.db, key[0], paid.version)
        standings = standing(program.earning, paid.order, at=paid.at, zone=paid.zone, boosts=boosts)
        add_credits(known, (each.credit for each in standings))
    return found


def _payment(facts: OrderFacts) -> OrderPayment:
    assert facts.paid is not None
    return facts.paid


def _boosted(facts: OrderFacts, boosts: tuple[Boost, ...]) -> OrderFacts:
    return replace(facts, paid=replace(_payment(facts), boosts=boosts))


def _replace_order(movements: Movements, order_id: str, facts: OrderFacts) -> None:
    """Count an order by these facts, in place of what was read of it."""
    others = [movement for movement in movements["spend_minor"] if movement.cause.id != order_id]
    movements["spend_minor"] = [*others, *order_movements(order_id, facts)]
