"""The terms and boosts of newly paid orders, which their facts keep for ever."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.bases import bases_of_order
from engage.domain.campaigns.composition import NO_RULES, terms_name
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.order_facts import OrderFacts, OrderPayment
from engage.domain.earning.orders import decide_order, standing
from engage.domain.keys import MemberKey, OrderKey
from engage.domain.program.program import Program
from engage.runtime.audiences import NO_ONE, Audiences, Occasion, read_audiences
from engage.runtime.campaign_boosts import Boosts, CampaignBoosts, Decided
from engage.runtime.levels import MemberLevels, Moment, boosts_of, groups_asked, ids_of, read_levels
from engage.runtime.services import Services
from engage.runtime.terms import Acting
from engage.store.members.members import Member


class _NewOrder(Struct, frozen=True):
    """A newly paid order of which campaigns or levels may have something to say. `occasion` is None where no
    campaign is about it; `paying` are the campaigns with rules about orders.
    """

    key: OrderKey
    paid: OrderPayment
    program: Program
    moment: Moment
    occasion: Occasion | None
    paying: Sequence[PublishedCampaign]

    @property
    def member(self) -> MemberKey:
        return self.key[:2]


class _Decision(Struct, frozen=True):
    """A decision about an order before budgets: the payment as it would be stored, and its credits. `paying`
    are the campaigns with rules about orders that are for the member.
    """

    order: _NewOrder
    paying: Sequence[PublishedCampaign]
    payment: OrderPayment
    credits: Sequence[NewCredit]

    @property
    def boosts_of_levels(self) -> Boosts:
        return tuple(boost for boost in self.payment.boosts if boost.campaign is None)

    def boosts_beside(self, base: NewCredit) -> Boosts:
        """The boosts of campaigns that are about one credit."""
        return tuple(boost for boost in self.payment.boosts if boost.rule == base.rule_id)


async def with_boosts(
    services: Services,
    conn: AsyncConnection,
    before: Mapping[OrderKey, OrderFacts],
    after: Mapping[OrderKey, OrderFacts],
    paid_in_turn: Mapping[OrderKey, Member],
    *,
    now: datetime,
) -> dict[OrderKey, OrderFacts]:
    """The facts of locked orders, those that are newly paid with the rules of campaigns that decide about
    them, and with what boosts them: the level and the campaigns at the time of the payment, by all that is
    known of before it. An order that lifts a member does not boost itself, and the next one it does.
    `paid_in_turn` are the members of orders in the sequence of their payments.

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
        decision = _decide(services, order, levels, audiences, campaigns, others)
        decided.append(decision)
        payment, credits = decision.payment, decision.credits
        levels.replace_order(order.member, order.key[2], replace(after[order.key], paid=payment))
        levels.add_credits(order.member, credits)
    for key, payment in (await _within_budgets(conn, campaigns, decided)).items():
        found[key] = replace(after[key], paid=payment)
    return found


async def _new_order(
    services: Services, campaigns: CampaignBoosts, key: OrderKey, paid: OrderPayment, member: Member
) -> _NewOrder:
    program = await services.programs.version(services.db, key[0], paid.version)
    acting = Acting(member, program, paid.zone, "order", paid.at)
    paying = campaigns.paying(acting)
    terms = services.campaigns.terms(program, paying)
    # A credit that is not granted in the end is the occasion of nothing.
    credits = decide_order(terms, paid.order, at=paid.at, zone=paid.zone)
    occasion = campaigns.occasion(member, credits, paying)
    asked = NO_ONE if occasion is None else occasion.asked.levels
    groups = await groups_asked(services, key[0], paid.version, asked)
    return _NewOrder(key, paid, program, Moment(groups, paid.at, paid.zone), occasion, paying)


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


def _decide(
    services: Services,
    order: _NewOrder,
    levels: MemberLevels,
    audiences: Audiences,
    campaigns: CampaignBoosts,
    others: Sequence[datetime],
) -> _Decision:
    """The payment with its terms and boosts. `others` are payments of the same member that are new too."""
    held = levels.at(order.member, order.moment)
    boosts, occasion, paid = boosts_of(held), order.occasion, order.paid
    terms, paying = order.program.earning, []
    if occasion is not None:
        facts = audiences.facts(occasion, ids_of(held), others)
        reached_by = occasion.reached_by(facts)
        paying = [each for each in order.paying if each.id in reached_by]
        terms = services.campaigns.terms(order.program, paying)
        paid = replace(paid, version=terms_name(order.program.version, paying))
        credits = decide_order(terms, paid.order, at=paid.at, zone=paid.zone)
        boosts += tuple(
            boost
            for base in bases_of_order(terms, paid.order, credits)
            for boost in campaigns.of_order(base, facts.country, reached_by)
        )
    standings = standing(terms, paid.order, at=paid.at, zone=paid.zone, boosts=boosts)
    return _Decision(order, paying, replace(paid, boosts=boosts), [each.credit for each in standings])


async def _within_budgets(
    conn: AsyncConnection, campaigns: CampaignBoosts, decided: Sequence[_Decision]
) -> dict[OrderKey, OrderPayment]:
    """The payments with what budgets leave of their boosts, and without the rules of campaigns that these
    cannot pay.
    """
    bases = [(each, credit) for each in decided for credit in each.credits if credit.boost is None]
    left = await campaigns.within_budgets(
        conn, [Decided(each.order.member, credit, each.boosts_beside(credit)) for each, credit in bases]
    )
    boosts: dict[OrderKey, Boosts] = {}
    unpaid: dict[OrderKey, set[str]] = {}
    for (each, credit), granted in zip(bases, left, strict=True):
        if granted is None:
            unpaid.setdefault(each.order.key, set()).add(credit.rule_id)
        else:
            boosts[each.order.key] = (*boosts.get(each.order.key, ()), *granted)
    return {
        each.order.key: replace(
            each.payment,
            version=terms_name(each.order.program.version, each.paying, unpaid.get(each.order.key, NO_RULES)),
            boosts=(*each.boosts_of_levels, *boosts.get(each.order.key, ())),
        )
        for each in decided
    }
