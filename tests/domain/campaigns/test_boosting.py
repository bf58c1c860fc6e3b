"""Campaigns add to a base by their lines and their stacking, floored once; returns take it back."""

from datetime import UTC, datetime
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from engage.domain.activity import Channel, Line, Order, Payment
from engage.domain.campaigns.audience import Facts, Reason
from engage.domain.campaigns.bases import Base, base_of, bases_of_order
from engage.domain.campaigns.boosting import Look, additions, additions_beside
from engage.domain.campaigns.definition import Audience, Campaign, CampaignBoost, Stacking
from engage.domain.campaigns.index import Candidate, PublishedCampaign
from engage.domain.campaigns.simulated import as_published
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.orders import decide_order, standing
from engage.domain.program.parse import parse
from tests.domain.campaigns.campaigns import club_campaign
from tests.support.tiers import DOCUMENT

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ZONE = "Asia/Kolkata"
TERMS = parse(DOCUMENT, source="test").earning
FACTS = Facts(program="club", member_id="m-1", country="IN", zone=ZONE, joined_at=NOON)

MULTIPLIERS = st.sampled_from([2, 1.5, 3, 1.01, 1.333, 7])
CHANNELS: st.SearchStrategy[list[Channel] | None] = st.none() | st.sampled_from([["web"], ["store"]])
CATEGORIES, PRODUCTS = ("phones", "cables"), ("band", "case")


@st.composite
def boosts(draw: st.DrawFn, number: int) -> CampaignBoost:
    adds = draw(st.booleans())
    return CampaignBoost(
        id=f"b{number}",
        rules=["purchase"],
        multiply=None if adds else draw(MULTIPLIERS),
        add=draw(st.integers(1, 100)) if adds else None,
        products=draw(st.none() | st.just([PRODUCTS[0]])),
        categories=draw(st.none() | st.just([CATEGORIES[0]])),
        channels=draw(CHANNELS),
        min_amount_minor=draw(st.none() | st.integers(1, 30_000)),
    )


@st.composite
def published(draw: st.DrawFn, number: int) -> PublishedCampaign:
    stacking = Stacking(
        group=draw(st.none() | st.sampled_from(["one", "two"])),
        priority=draw(st.integers(0, 2)),
        exclusive=draw(st.sampled_from([False, False, False, True])),
        max_multiplier=draw(st.none() | st.none() | st.sampled_from([1, 1.5, 2, 4])),
    )
    return as_published(
        club_campaign(
            f"c{number}",
            audience=draw(st.sampled_from([Audience(), Audience(), Audience(tiers=["gold"])])),
            boosts=[draw(boosts(n)) for n in range(draw(st.integers(1, 3)))],
            stacking=stacking,
        )
    )


campaigns = st.integers(0, 5).flatmap(lambda count: st.tuples(*(published(n) for n in range(count))))
lines = st.lists(
    st.builds(
        lambda product, category, quantity, paid: (product, category, quantity, paid),
        st.sampled_from(PRODUCTS),
        st.sampled_from(CATEGORIES),
        st.integers(1, 3),
        st.integers(0, 30_000),
    ),
    min_size=1,
    max_size=5,
).map(
    lambda found: [
        Line(line_id=str(n), product_id=product, category=category, quantity=quantity, paid=paid)
        for n, (product, category, quantity, paid) in enumerate(found)
    ]
)


def order_of(found: list[Line]) -> Order:
    return Order(order_id="o", channel="web", payment=Payment(method="card"), lines=found, currency="INR")


def base_of_order(order: Order) -> Base | None:
    credits = decide_order(TERMS, order, at=NOON, zone=ZONE)
    return next((base for base in bases_of_order(TERMS, order, credits)), None)


def candidates(found: tuple[PublishedCampaign, ...]) -> list[Candidate]:
    return [Candidate(each, boost) for each in found for boost in each.campaign.boosts]


def points_of(boost: CampaignBoost, order: Order, exact: Fraction) -> tuple[int, frozenset[str]]:
    """(points, the lines) by the words of the contract, for points that follow what is paid."""
    about = [
        line
        for line in order.lines
        if (boost.products is None or line.product_id in boost.products)
        and (boost.categories is None or line.category in boost.categories)
    ]
    paid, total = sum(line.paid for line in about), sum(line.paid for line in order.lines)
    if not about or order.channel not in (boost.channels or [order.channel]):
        return 0, frozenset()
    if boost.min_amount_minor is not None and paid < boost.min_amount_minor:
        return 0, frozenset()
    if boost.add is not None:
        return boost.add, frozenset(line.line_id for line in about)
    share = exact * paid / total if total else Fraction(0)
    return int((Fraction(str(boost.multiply)) - 1) * share), frozenset(line.line_id for line in about)


def expected(found: tuple[PublishedCampaign, ...], base: Base) -> dict[str, tuple[str, int]]:
    """(boost, points) by campaign, by the words of the contract."""
    assert base.order is not None
    wanted: list[tuple[Campaign, str, int]] = []
    for each in found:
        for boost in each.campaign.boosts:
            points, _ = points_of(boost, base.order, base.exact)
            if points and each.campaign.audience.tiers is None:
                wanted.append((each.campaign, boost.id, points))
                break
    wanted.sort(key=lambda one: (-one[0].stacking.priority, one[0].id))
    kept = [
        one
        for n, one in enumerate(wanted)
        if one[0].stacking.group is None
        or all(other[0].stacking.group != one[0].stacking.group for other in wanted[:n])
    ]
    exclusive = [one for one in kept if one[0].stacking.exclusive]
    kept = exclusive[:1] or kept
    caps = [one[0].stacking.max_multiplier for one in kept if one[0].stacking.max_multiplier is not None]
    left = min((int((Fraction(str(cap)) - 1) * base.credit.points) for cap in caps), default=10**12)
    result = {}
    for campaign, boost_id, points in kept:
        given = min(points, left)
        left -= given
        if given:
            result[campaign.id] = boost_id, given
    return result


@given(campaigns, lines)
def test_each_campaign_adds_its_first_boost_that_applies_by_the_stacking(
    found: tuple[PublishedCampaign, ...], bought: list[Line]
) -> None:
    base = base_of_order(order_of(bought))
    if base is None:
        return
    looks: list[Look] = []
    added = additions([base], lambda rule: candidates(found), FACTS, NOON, looks)
    assert {each.published.id: (each.boost.id, each.points) for each in added} == expected(found, base)
    # The same without the audience, which only gold is in.
    for_member = [each for each in candidates(found) if each.published.campaign.audience.tiers is None]
    assert additions_beside(base, for_member) == added
    # Each campaign is told of, applied or why not.
    assert {look.campaign for look in looks} == {each.id for each in found}
    assert {look.campaign for look in looks if look.applied} == {each.published.id for each in added}
    assert {look.part for look in looks if look.reason == Reason.TIER} <= {"audience"}


@given(campaigns, lines, st.permutations(range(5)), st.integers(0, 5))
def test_returns_take_a_campaigns_part_by_its_lines_and_all_of_them_everything(
    found: tuple[PublishedCampaign, ...], bought: list[Line], turn: list[int], cut: int
) -> None:
    order = order_of(bought)
    base = base_of_order(order)
    if base is None:
        return
    added = additions_beside(base, candidates(found))
    boosts = tuple(each.as_boost() for each in added)

    def kept(returned: dict[str, int]) -> dict[str | None, int]:
        standings = standing(TERMS, order, at=NOON, zone=ZONE, returned=returned, boosts=boosts)
        return {each.credit.campaign: each.kept for each in standings if each.credit.unit == "points"}

    nothing_back = kept({})
    assert nothing_back == {None: base.credit.points} | {each.published.id: each.points for each in added}
    part = {str(n): order.lines[n].quantity for n in turn[:cut] if n < len(order.lines)}
    left = kept(part)
    for each in added:
        lines_of = points_of(each.boost, order, base.exact)[1]
        about = [line for line in order.lines if line.line_id in lines_of]
        total = sum(line.paid for line in about)
        gone = sum(line.paid for line in about if line.line_id in part)
        if total:
            # The rest of what is kept is never less than the share that stays.
            assert left[each.published.id] == each.points - int(Fraction(each.points * gone, total))
        else:
            assert left[each.published.id] == (
                0 if all(line.line_id in part for line in about) else each.points
            )
    everything = {line.line_id: line.quantity for line in order.lines}
    assert set(kept(everything).values()) == {0}


@given(MULTIPLIERS, st.integers(1, 10_000))
def test_what_is_no_order_multiplies_the_points_of_its_credit(multiply: float, points: int) -> None:
    boost = CampaignBoost(id="b", rules=["fuel"], multiply=multiply)
    campaign = club_campaign(
        boosts=[boost],
    )
    found = additions_beside(base_of(credit_of(points)), [Candidate(as_published(campaign), boost)])
    expected_points = int((Fraction(str(multiply)) - 1) * points)
    assert [each.points for each in found] == ([expected_points] if expected_points else [])


def test_conditions_of_orders_hold_for_nothing_else() -> None:
    credit = credit_of(10)
    for condition in ({"channels": ["web"]}, {"products": ["p"]}, {"min_amount_minor": 1}):
        boost = CampaignBoost(id="b", rules=["fuel"], add=5, **condition)
        looks: list[Look] = []
        campaign = as_published(
            club_campaign(
                boosts=[boost],
            )
        )
        assert additions_beside(base_of(credit), [Candidate(campaign, boost)], looks) == []
        assert [look.reason for look in looks] == [Reason.RULE]


def credit_of(points: int) -> NewCredit:
    bought = order_of([Line(line_id="0", product_id="p", paid=100 * points)])
    return decide_order(TERMS, bought, at=NOON, zone=ZONE)[0]
