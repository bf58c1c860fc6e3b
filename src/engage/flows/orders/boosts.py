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
from engage.domain.earning.terms import EarningTerms
from engage.domain.keys import MemberKey, OrderKey
from engage.domain.program.program import Program
from engage.runtime.audiences import NO_ONE, Audiences, Occasion, read_asked
from engage.runtime.campaign_boosts import Activity, Boosts, CampaignBoosts, Decided
from engage.runtime.levels import MemberLevels, Moment, boosts_of, groups_asked, ids_of
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
    """A decision about an order before budgets: the payment as it would be stored, its terms, and the credits
    of its rules where a campaign pays or adds something. `paying` are the campaigns with rules about orders
    that are for the member.
    """

    order: _NewOrder
    paying: Sequence[PublishedCampaign]
    payment: OrderPayment
    terms: EarningTerms
    bases: Sequence[NewCredit] = ()

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
    if not paid_in_turn:
        return found
    campaigns = CampaignBoosts(await services.campaigns.at(conn, now), now)
    programs = {key[0] for key in paid_in_turn}
    if not any(services.programs.boosts(program) or campaigns.exist(program) for program in programs):
        return found
    paid = {
        key: payment
        for key in paid_in_turn
        if before[key].paid is None and (payment := after[key].paid) is not None
    }
    new = [
        await _new_order(services, campaigns, key, paid[key], paid_in_turn[key])
        for key in sorted(paid, key=lambda key: paid[key].at)
        if services.programs.boosts(key[0]) or campaigns.exist(key[0])
    ]
    if not new:
        return found
    levels, audiences = await _read_asked(conn, new, after)
    decided = []
    by_member: dict[MemberKey, list[OrderKey]] = {}
    for key in paid:
        by_member.setdefault(key[:2], []).append(key)
    for order in new:
        others = [paid[key].at for key in by_member[order.member] if key != order.key]
        decision = _decide(services, order, levels, audiences, campaigns, others)
        decided.append(decision)
        payment = decision.payment
        levels.replace_order(order.member, order.key[2], replace(after[order.key], paid=payment))
        if levels.counts(order.member):
            levels.add_credits(order.member, _credits(decision.terms, payment))
    for key, payment in (await _within_budgets(conn, campaigns, decided)).items():
        found[key] = replace(after[key], paid=payment)
    return found


async def _new_order(
    services: Services, campaigns: CampaignBoosts, key: OrderKey, paid: OrderPayment, member: Member
) -> _NewOrder:
    program = await services.programs.version(services.db, key[0], paid.version)
    acting = Acting(member, program, paid.zone, "order", paid.at)
    paying = campaigns.paying(acting)
    rules = services.campaigns.terms(program, paying).rules.matching(paid.order)
    # A rule that pays nothing in the end is the occasion of nothing.
    activity = Activity(key[0], paid.at, paid.zone, tuple(rule.id for rule in rules))
    occasion = campaigns.occasion(member, activity, paying)
    asked = NO_ONE if occasion is None else occasion.asked.levels
    groups = await groups_asked(services, key[0], paid.version, asked)
    return _NewOrder(key, paid, program, Moment(groups, paid.at, paid.zone), occasion, paying)


async def _read_asked(
    conn: AsyncConnection, new: Sequence[_NewOrder], after: Mapping[OrderKey, OrderFacts]
) -> tuple[MemberLevels, Audiences]:
    """Read what decides, the levels with what this transaction has learned of members' other orders."""
    moments: dict[MemberKey, list[Moment]] = {}
    for order in new:
        moments.setdefault(order.member, []).append(order.moment)
    orders = Counter(key[:2] for key in after)
    occasions = [order.occasion for order in new if order.occasion is not None]
    changed = [member for member, n in orders.items() if n > 1]
    levels, audiences = await read_asked(conn, moments, occasions, changed=changed)
    deciding = {order.key for order in new}
    for key in after:
        if key not in deciding:
            levels.replace_order(key[:2], key[2], after[key])
    return levels, audiences


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
    boosts, occasion, paid, program = boosts_of(held), order.occasion, order.paid, order.program
    reached_by = NO_ONE if occasion is None else audiences.reached_by(occasion, ids_of(held), others)
    if occasion is None or not reached_by:
        return _Decision(order, (), replace(paid, boosts=boosts), program.earning)
    paying = [each for each in order.paying if each.id in reached_by]
    terms = services.campaigns.terms(program, paying)
    credits = decide_order(terms, paid.order, at=paid.at, zone=paid.zone)
    added = tuple(
        boost
        for base in bases_of_order(terms, paid.order, credits)
        for boost in campaigns.of_order(base, occasion.member.country, reached_by)
    )
    name = terms_name(program.version, paying)
    payment = replace(paid, version=name, boosts=(*boosts, *added))
    return _Decision(order, paying, payment, terms, credits if paying or added else ())


def _credits(terms: EarningTerms, paid: OrderPayment) -> list[NewCredit]:
    """The credits of a payment with those beside them."""
    standings = standing(terms, paid.order, at=paid.at, zone=paid.zone, boosts=paid.boosts)
    return [each.credit for each in standings]


async def _within_budgets(
    conn: AsyncConnection, campaigns: CampaignBoosts, decided: Sequence[_Decision]
) -> dict[OrderKey, OrderPayment]:
    """The payments with what budgets leave of their boosts, and without the rules of campaigns that these
    cannot pay.
    """
    bases = [(each, credit) for each in decided for credit in each.bases]
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
