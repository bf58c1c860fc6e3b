"""The boosts of newly paid orders, which their facts keep for ever."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.bases import bases_of_order
from engage.domain.earning.boost import Boost
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.order_facts import OrderFacts, OrderPayment
from engage.domain.earning.orders import decide_order, standing
from engage.domain.earning.terms import EarningTerms
from engage.domain.keys import MemberKey, OrderKey
from engage.runtime.audiences import NO_ONE, Audiences, Occasion, read_audiences
from engage.runtime.campaign_boosts import CampaignBoosts
from engage.runtime.levels import MemberLevels, Moment, boosts_of, groups_asked, ids_of, read_levels
from engage.runtime.services import Services
from engage.store.members.members import Member


class _NewOrder(Struct, frozen=True):
    """A newly paid order that something may boost. `occasion` is None where no campaign does."""

    key: OrderKey
    paid: OrderPayment
    terms: EarningTerms
    credits: Sequence[NewCredit]
    moment: Moment
    occasion: Occasion | None

    @property
    def member(self) -> MemberKey:
        return self.key[:2]


async def with_boosts(
    services: Services,
    conn: AsyncConnection,
    before: Mapping[OrderKey, OrderFacts],
    after: Mapping[OrderKey, OrderFacts],
    paid_in_turn: Mapping[OrderKey, Member],
    *,
    now: datetime,
) -> dict[OrderKey, OrderFacts]:
    """The facts of locked orders, those that are newly paid with what boosts them: the level and the
    campaigns at the time of the payment, by all that is known of before it. An order that lifts a member does
    not boost itself, and the next one it does. `paid_in_turn` are the members of orders in the sequence of
    their payments.

    Raises Unavailable.
    """
    found = dict(after)
    paid = {
        key: payment
        for key in paid_in_turn
        if before[key].paid is None and (payment := after[key].paid) is not None
    }
    if not paid:
        return found
    campaigns = CampaignBoosts(await services.campaigns.at(conn, now), now)
    new = [
        await _new_order(services, campaigns, key, paid[key], paid_in_turn[key])
        for key in sorted(paid, key=lambda key: paid[key].at)
        if services.programs.boosts(key[0]) or campaigns.exist(key[0])
    ]
    if not new:
        return found
    levels = await _read_levels(conn, new, after)
    audiences = await read_audiences(conn, [each.occasion for each in new if each.occasion is not None])
    decided = []
    for order in new:
        others = [payment.at for key, payment in paid.items() if key[:2] == order.member and key != order.key]
        boosts = _boosts(order, levels, audiences, campaigns, others)
        decided.append((order.member, boosts))
        levels.replace_order(order.member, order.key[2], after[order.key])
        standings = standing(
            order.terms, order.paid.order, at=order.paid.at, zone=order.paid.zone, boosts=boosts
        )
        levels.add_credits(order.member, (each.credit for each in standings))
    for order, boosts in zip(new, await campaigns.within_budgets(conn, decided), strict=True):
        found[order.key] = replace(after[order.key], paid=replace(order.paid, boosts=boosts))
    return found


async def _new_order(
    services: Services, campaigns: CampaignBoosts, key: OrderKey, paid: OrderPayment, member: Member
) -> _NewOrder:
    terms = (await services.programs.version(services.db, key[0], paid.version)).earning
    credits = decide_order(terms, paid.order, at=paid.at, zone=paid.zone)
    occasion = campaigns.occasion(member, credits)
    asked = NO_ONE if occasion is None else occasion.levels
    groups = await groups_asked(services, key[0], paid.version, asked)
    return _NewOrder(key, paid, terms, credits, Moment(groups, paid.at, paid.zone), occasion)


async def _read_levels(
    conn: AsyncConnection, new: Sequence[_NewOrder], after: Mapping[OrderKey, OrderFacts]
) -> MemberLevels:
    """Read the levels of members, with what this transaction has learned of their other orders."""
    moments: dict[MemberKey, list[Moment]] = {}
    for order in new:
        moments.setdefault(order.member, []).append(order.moment)
    orders = Counter(key[:2] for key in after)
    levels = await read_levels(conn, moments, changed=[member for member, n in orders.items() if n > 1])
    deciding = {order.key for order in new}
    for key in after:
        if key not in deciding:
            levels.replace_order(key[:2], key[2], after[key])
    return levels


def _boosts(
    order: _NewOrder,
    levels: MemberLevels,
    audiences: Audiences,
    campaigns: CampaignBoosts,
    others: Sequence[datetime],
) -> tuple[Boost, ...]:
    """The boosts of an order. `others` are payments of the same member that are new too."""
    held = levels.at(order.member, order.moment)
    by_levels, occasion = boosts_of(held), order.occasion
    if occasion is None:
        return by_levels
    facts = audiences.facts(occasion, ids_of(held), others)
    reached_by = audiences.reached_by(occasion, facts)
    return by_levels + tuple(
        boost
        for base in bases_of_order(order.terms, order.paid.order, order.credits)
        for boost in campaigns.of_order(base, facts.country, reached_by)
    )
