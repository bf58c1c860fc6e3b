"""A credit is boosted by compiled campaigns as by a look at every one of them."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engage.domain.activity import Line, Order, Payment
from engage.domain.campaigns.audience import Facts, FactsRead
from engage.domain.campaigns.bases import bases_of_order
from engage.domain.campaigns.boosting import additions
from engage.domain.campaigns.definition import WEEKDAYS, CampaignBoost, Stacking
from engage.domain.campaigns.index import CampaignIndex, Candidate, PublishedCampaign
from engage.domain.campaigns.lifecycle import Interval
from engage.domain.earning.orders import decide_order
from engage.domain.program.parse import parse
from engage.runtime.campaign_boosts import Activity, Boosts, CampaignBoosts
from engage.store.members.members import Member
from tests.domain.campaigns.campaigns import club_campaign
from tests.domain.campaigns.test_audience import AT, audiences, facts_of_members
from tests.domain.campaigns.test_boosting import CHANNELS
from tests.support.tiers import DOCUMENT

HOUR = timedelta(hours=1)
LATER = AT + timedelta(days=2)
TERMS = parse(DOCUMENT, source="test").earning
RULE = "purchase"

hours = st.sampled_from(["00:00", "06:00", "10:00", "13:00", "18:00", "24:00"])
times = st.integers(-12, 12).map(lambda n: AT + n * HOUR)


@st.composite
def boosts(draw: st.DrawFn, number: int) -> CampaignBoost:
    return CampaignBoost(
        id=f"b{number}",
        rules=draw(st.sampled_from([[RULE], ["fuel"], ["fuel", RULE]])),
        multiply=draw(st.sampled_from([1.01, 1.5, 2, 3])),
        channels=draw(CHANNELS),
        weekdays=draw(st.none() | st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=6)),
        hours=draw(st.none() | st.lists(hours, min_size=2, max_size=2, unique=True)),
    )


@st.composite
def published(draw: st.DrawFn, number: int) -> PublishedCampaign:
    stacking = Stacking(
        group=draw(st.none() | st.just("one")),
        priority=draw(st.integers(0, 2)),
        exclusive=draw(st.sampled_from([False, False, True])),
        max_multiplier=draw(st.none() | st.sampled_from([1.5, 2])),
    )
    campaign = club_campaign(
        f"c{number}",
        audience=draw(audiences),
        holdout_percent=draw(st.sampled_from([0, 0, 30])),
        boosts=[draw(boosts(n)) for n in range(draw(st.integers(1, 2)))],
        stacking=stacking,
    )
    start, end = sorted(draw(st.lists(times, min_size=2, max_size=2, unique=True)))
    return PublishedCampaign(campaign, 1, (Interval(1, start, draw(st.sampled_from([end, None]))),))


campaigns = st.integers(0, 6).flatmap(lambda count: st.tuples(*(published(n) for n in range(count))))


def by_looking_at_all(
    found: tuple[PublishedCampaign, ...], order: Order, facts: Facts, at: datetime
) -> Boosts:
    """The boosts of an order by a look at each campaign, each of its boosts and the whole audience."""
    local = at.astimezone(ZoneInfo(facts.zone))
    in_force = [each for each in found if each.is_in_force(at, facts.zone)]
    credits = decide_order(TERMS, order, at=at, zone=facts.zone)
    added = additions(
        bases_of_order(TERMS, order, credits),
        lambda rule: [
            Candidate(each, boost)
            for each in in_force
            for boost in each.campaign.boosts
            if rule in boost.rules and boost.happens_at(local)
        ],
        facts,
        at,
    )
    return tuple(addition.as_boost() for addition in added)


def compiled(boosting: CampaignBoosts, order: Order, facts: Facts, at: datetime) -> Boosts:
    """The boosts of an order as flows find them. Of the facts only those are known that are asked for."""
    member = Member(facts.program, facts.member_id, facts.country, facts.joined_at)
    occasion = boosting.occasion(member, Activity("club", at, facts.zone, (RULE,)))
    if occasion is None:
        return ()
    asked = occasion.asked
    read = FactsRead(
        levels=facts.levels if asked.levels else frozenset(),
        segments=facts.segments & asked.lists,
        last_order_at=facts.last_order_at if asked.payments else None,
    )
    reached_by = occasion.shortlist.reached_by(read, at)
    credits = decide_order(TERMS, order, at=at, zone=facts.zone)
    return tuple(
        boost
        for base in bases_of_order(TERMS, order, credits)
        for boost in boosting.of_order(base, facts.country, reached_by)
    )


@given(
    campaigns,
    st.lists(facts_of_members, min_size=1, max_size=3),
    st.lists(times, min_size=1, max_size=5, unique=True),
)
def test_the_boosts_are_those_of_a_look_at_every_campaign(
    found: tuple[PublishedCampaign, ...], members: list[Facts], instants: list[datetime]
) -> None:
    boosting = CampaignBoosts({"club": CampaignIndex(found)}, LATER)
    line = Line(line_id="0", product_id="p", paid=7_700)
    order = Order(order_id="o", channel="web", payment=Payment(method="card"), lines=[line], currency="INR")
    for at in instants:
        for facts in members:
            member = replace(facts, last_order_at=_before(facts.last_order_at, at))
            assert compiled(boosting, order, member, at) == by_looking_at_all(found, order, member, at)


def _before(paid_at: datetime | None, at: datetime) -> datetime | None:
    return paid_at if paid_at is not None and paid_at < at else None
