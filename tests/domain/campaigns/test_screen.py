"""A screen finds the campaigns for a member as a look at each of them does, and asks for no fact in vain."""

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engage.domain.campaigns.audience import Facts, why_not
from engage.domain.campaigns.definition import Audience, Campaign
from engage.domain.campaigns.index import CampaignIndex
from engage.domain.campaigns.screen import Asked, Screen
from engage.domain.campaigns.segments import SegmentConditions, SegmentIndex, computed_segments
from engage.domain.campaigns.simulated import as_published
from tests.domain.campaigns.campaigns import club_campaign
from tests.domain.campaigns.test_audience import AT, audiences, facts_of_members

HOUR = timedelta(hours=1)

campaigns = st.lists(st.tuples(audiences, st.sampled_from([0, 0, 30, 90])), min_size=1, max_size=8).map(
    lambda found: [
        club_campaign(f"c{number}", audience=audience, holdout_percent=holdout)
        for number, (audience, holdout) in enumerate(found)
    ]
)
# Of the two segments that audiences name, those that are computed, and since when.
versions = st.lists(
    st.builds(
        SegmentConditions,
        segment_id=st.sampled_from(["vip", "new"]),
        since=st.integers(-2, 2).map(lambda hours: AT + hours * HOUR),
        computed=st.none()
        | st.builds(Audience, percent=st.integers(1, 100), tiers=st.none() | st.just(["gold"])),
    ),
    max_size=4,
    unique_by=lambda version: (version.segment_id, version.since),
)


def before_reading(facts: Facts) -> Facts:
    """The facts that are known of everybody."""
    return replace(facts, levels=frozenset(), segments=frozenset(), last_order_at=None)


def read(asked: Asked, facts: Facts) -> Facts:
    """A member's facts as far as they are asked for."""
    known = replace(
        before_reading(facts),
        levels=facts.levels if asked.levels else frozenset(),
        last_order_at=facts.last_order_at if asked.payments else None,
    )
    lists = facts.segments & asked.lists
    return replace(known, segments=lists | computed_segments(asked.computed, known, AT))


def complete(facts: Facts, segments: SegmentIndex) -> Facts:
    """All facts of a member, of whose segments some are computed."""
    computed = segments.conditions(["vip", "new"], AT)
    lists = facts.segments - computed.keys()
    return replace(facts, segments=lists | computed_segments(computed, facts, AT))


@given(campaigns, versions, st.lists(facts_of_members, min_size=1, max_size=10))
def test_the_campaigns_that_are_left_are_those_that_nothing_rules_out(
    found: list[Campaign], computed: list[SegmentConditions], members: list[Facts]
) -> None:
    segments = SegmentIndex(computed)
    screens: dict[tuple[str, str], Screen] = {}
    for facts in members:
        where = facts.country, facts.zone
        if where not in screens:
            country, zone = where
            screens[where] = Screen(found, country=country, zone=zone, at=AT, segments=segments)
        shortlist = screens[where].shortlist(facts.member_id, facts.joined_at)
        whole = complete(facts, segments)
        expected = {each.id for each in found if why_not(each, whole, AT) is None}
        assert shortlist.reached_by(read(shortlist.asked, facts), AT) == expected
        assert shortlist.is_empty == (not possible(found, facts))


def possible(found: Sequence[Campaign], facts: Facts) -> list[Campaign]:
    """The campaigns that might be for a member, whatever the facts that have to be read are."""
    return [each for each in found if why_not(_of_everybody(each), facts, AT) is None]


def _of_everybody(campaign: Campaign) -> Campaign:
    """The campaign without the conditions that need more than the facts of everybody."""
    audience = campaign.audience
    return replace(
        campaign,
        audience=replace(audience, tiers=None, segments=None, first_order=False, no_order_for=None),
    )


@given(campaigns, facts_of_members)
def test_nothing_is_asked_of_a_member_for_whom_a_campaign_cannot_be(
    found: list[Campaign], facts: Facts
) -> None:
    screen = Screen(found, country=facts.country, zone=facts.zone, at=AT)
    asked = screen.shortlist(facts.member_id, facts.joined_at).asked
    left = [each.audience for each in possible(found, facts)]
    assert asked.levels == {tier for each in left for tier in each.tiers or ()}
    assert asked.lists == {segment for each in left for segment in each.segments or ()}
    assert asked.payments == any(each.first_order or each.no_order_for for each in left)


@given(campaigns, versions, facts_of_members, st.lists(st.integers(-3, 3), min_size=1, max_size=5))
def test_a_screen_of_the_index_is_one_of_its_instant(
    found: list[Campaign], computed: list[SegmentConditions], facts: Facts, hours: list[int]
) -> None:
    index = CampaignIndex([as_published(each) for each in found], SegmentIndex(computed))
    country, zone = facts.country, facts.zone
    for at in (AT + number * HOUR for number in hours):
        in_force = index.in_force(at, country=country, zone=zone)
        screen = index.screen(in_force, at, country=country, zone=zone)
        documents = [each.campaign for each in in_force]
        alone = Screen(documents, country=country, zone=zone, at=at, segments=index.segments)
        who = facts.member_id, facts.joined_at
        assert screen.shortlist(*who).asked == alone.shortlist(*who).asked
