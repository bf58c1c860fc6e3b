"""A real member as a simulated one: what decides about their next activity, read and never changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.activity import Order, RuleActivity
from engage.domain.campaigns.audience import Facts
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.explanation import Considered
from engage.domain.campaigns.index import segments_of
from engage.domain.campaigns.member_budgets import BudgetUse
from engage.domain.campaigns.screen import Screen
from engage.domain.campaigns.simulated import GivenFacts, simulate
from engage.domain.earning.credit import WindowPlace
from engage.domain.earning.limits import OnceSlot, Slot, WindowSlot
from engage.domain.earning.slots import wanted
from engage.domain.keys import MemberKey
from engage.domain.program.program import Program
from engage.domain.simulation.member import SimulatedMember
from engage.flows.activities.streaks import introduced, introduction, streak_terms
from engage.ledger.credits import read_by_reference, read_used_keys
from engage.ledger.streaks import StreakKey, read_streaks
from engage.ledger.used_slots import query_of, read_used_slots
from engage.runtime.audiences import Occasion, read_asked
from engage.runtime.levels import Moment, groups_asked, ids_of
from engage.runtime.services import Services
from engage.store.campaigns import budgets
from engage.store.members.members import Member
from engage.store.shop.orders import read_delivered_orders, read_orders

# More orders than any rule for the first ones counts.
DELIVERED_READ: Final = 1_000


async def read_state(
    services: Services,
    conn: AsyncConnection,
    member: Member,
    program: Program,
    considered: Sequence[Considered],
    activity: RuleActivity,
    at: datetime,
) -> SimulatedMember:
    """The member under these campaigns, just before an activity at `at`. Raises Unavailable."""
    facts = await _facts(services, conn, member, program, considered, at)
    uses = {}
    for campaign in (each.published.campaign for each in considered):
        if campaign.budget is not None:
            uses[campaign.id] = await read_use(conn, campaign, member.key)
    given = GivenFacts(
        member_id=member.member_id,
        joined_at=member.joined_at,
        levels=facts.levels,
        segments=facts.segments,
        last_order_at=facts.last_order_at,
        budgets=uses,
    )
    published = [each.published for each in considered]
    simulated = simulate(program, member.country, published, given)
    if isinstance(activity, Order):
        await _add_orders(services, conn, simulated, member.key, activity)
    else:
        await _use_limits(services, conn, simulated, member, program, activity, at)
    return simulated


async def _facts(
    services: Services,
    conn: AsyncConnection,
    member: Member,
    program: Program,
    considered: Sequence[Considered],
    at: datetime,
) -> Facts:
    zone = program.countries[member.country].zone
    segments = segments_of(await services.campaigns.at(conn, services.clock.now()), program.id)
    campaigns = [each.published.campaign for each in considered]
    screen = Screen(campaigns, country=member.country, zone=zone, at=at, segments=segments)
    occasion = Occasion(member, zone, at, screen.shortlist(member.member_id, member.joined_at))
    groups = await groups_asked(services, program.id, program.version, occasion.asked.levels)
    moment = Moment(groups, at, zone)
    levels, audiences = await read_asked(conn, {member.key: [moment]}, [occasion], changed=[member.key])
    return audiences.facts(occasion, ids_of(levels.at(member.key, moment)))


async def read_use(conn: AsyncConnection, campaign: Campaign, member: MemberKey | None) -> BudgetUse:
    """The use of a campaign's budget, with that of a member."""
    key, budget = (campaign.program, campaign.id), campaign.budget
    if budget is None:
        return BudgetUse()
    granted = await budgets.read_granted(conn, key)
    if member is None:
        return BudgetUse(points=granted.points, count=granted.count)
    one = [(member, campaign.id)]
    points = await budgets.read_member_points(conn, one)
    devices = await budgets.read_devices(conn, one)
    if devices.get(member):
        counts = await budgets.read_device_counts(conn, one)
        device_count = max(counts.values(), default=0)
    else:
        device_count = (await budgets.read_member_counts(conn, one)).get((campaign.id, member), 0)
    return BudgetUse(
        points=granted.points,
        count=granted.count,
        member_points=points.get((campaign.id, member), 0),
        device_count=device_count,
    )


async def _use_limits(
    services: Services,
    conn: AsyncConnection,
    simulated: SimulatedMember,
    member: Member,
    program: Program,
    activity: RuleActivity,
    at: datetime,
) -> None:
    """Use up the slots that the member has used of those that the activity wants."""
    terms, zone = simulated.terms_at(at), simulated.market.zone
    limits = simulated.limits
    keys = [StreakKey(*member.key, rule.id) for rule in terms.rules.matching(activity)]
    versions = services.programs.versions(program.id)
    for key, found in (await read_streaks(conn, keys)).items():
        if streak_terms(program, key.rule_id).freezes is not None:
            found = introduced(found, introduction(versions, key.rule_id, country=member.country))
        limits.streaks[key.rule_id] = found.streak
    streak = next(iter(limits.streaks.values()), None)
    slots = wanted(terms, activity, at=at, zone=zone, streak=streak)
    await _use_windows(conn, simulated, member.key, slots)
    once = [slot.source_key(1) for slot in slots if isinstance(slot, OnceSlot)]
    used = await read_used_keys(conn, [(*member.key, key) for key in once]) if once else set()
    limits.source_keys |= {key for _, _, key in used}
    if activity.reference is not None:
        reference = (*member.key, activity.reference)
        known = (await read_by_reference(conn, [reference])).get(reference)
        if known is not None and all(each.removed for each in known):
            limits.removed.add(activity.reference)
        elif known is not None:
            limits.by_reference[activity.reference] = []


async def _use_windows(
    conn: AsyncConnection, simulated: SimulatedMember, key: MemberKey, slots: Sequence[Slot]
) -> None:
    windows = [window for slot in slots for window in (slot, *slot.further) if isinstance(window, WindowSlot)]
    queries = {query_of(key, window): window for window in windows}
    for query, numbers in (await read_used_slots(conn, list(queries))).items():
        simulated.limits.places |= {
            (query.rule_id, WindowPlace(query.kind, query.first_day, number)) for number in numbers
        }


async def _add_orders(
    services: Services, conn: AsyncConnection, simulated: SimulatedMember, key: MemberKey, order: Order
) -> None:
    """Add what is known of the order, and the orders that may be among the first."""
    known = await read_orders(conn, [(*key, order.order_id)])
    if simulated.terms.rules.first_orders:
        known |= await read_delivered_orders(conn, key, limit=DELIVERED_READ)
    for (_, _, order_id), facts in known.items():
        if facts.paid is not None:
            version = await services.programs.version(services.db, key[0], facts.paid.version)
            simulated.know_order(order_id, facts, version.earning)
