"""The index of campaigns finds the same as a look at all of them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from engage.domain.campaigns.definition import WEEKDAYS, Audience, Campaign, CampaignBoost
from engage.domain.campaigns.index import CampaignIndex, Candidate, PublishedCampaign
from engage.domain.campaigns.lifecycle import Interval

RULES = ("fuel", "purchase")
COUNTRIES = ("ES", "NZ")
ZONES = ("Europe/Madrid", "Pacific/Auckland", "America/Havana")
# About two changes of the clocks of Madrid.
START = datetime(2026, 10, 23, tzinfo=UTC)

minutes = st.integers(0, 6 * 24 * 60)
instants = st.builds(lambda n, s: START + timedelta(minutes=n, seconds=s), minutes, st.integers(-1, 1))
hours = st.sampled_from(["00:00", "01:30", "02:00", "10:00", "23:59", "24:00"])


@st.composite
def boosts(draw: st.DrawFn, number: int) -> CampaignBoost:
    return CampaignBoost(
        id=f"b{number}",
        rules=draw(st.lists(st.sampled_from(RULES), min_size=1, max_size=2)),
        multiply=2,
        weekdays=draw(st.none() | st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=6)),
        hours=draw(st.none() | st.lists(hours, min_size=2, max_size=2, unique=True)),
    )


@st.composite
def published(draw: st.DrawFn, number: int) -> PublishedCampaign:
    zone = draw(st.sampled_from(["member", "Europe/Madrid", "America/Havana"]))
    begin = draw(instants).replace(tzinfo=None)
    campaign = Campaign(
        id=f"c{number % 3}",
        program="p",
        title={"en": "C"},
        from_=begin,
        until=begin + timedelta(minutes=draw(st.integers(1, 5_000))),
        zone=zone,
        audience=Audience(countries=draw(st.none() | st.just(["ES"]))),
        boosts=[draw(boosts(n)) for n in range(draw(st.integers(1, 2)))],
    )
    edges = sorted(draw(st.lists(instants, min_size=1, max_size=5, unique=True)))
    intervals = [
        Interval(1, start, end) for start, end in zip(edges[::2], [*edges[1::2], None], strict=False)
    ]
    return PublishedCampaign(campaign, number + 1, tuple(intervals))


@st.composite
def indexes(draw: st.DrawFn) -> list[PublishedCampaign]:
    return [draw(published(number)) for number in range(draw(st.integers(0, 5)))]


@given(indexes(), st.lists(st.tuples(instants, st.sampled_from(ZONES)), min_size=1, max_size=20))
def test_the_index_finds_what_is_in_force_and_boosts_at_each_instant(
    campaigns: list[PublishedCampaign], asked: list[tuple[datetime, str]]
) -> None:
    index = CampaignIndex(campaigns)
    edges = [change for each in campaigns for _, zone in asked for change in each.changes_at(zone)]
    moments = [*asked, *((edge, zone) for edge in edges for _, zone in asked[:1])]
    for at, zone in moments:
        for country in COUNTRIES:
            found = [
                (each.id, each.version)
                for each in campaigns
                if each.is_for(country)
                and any(i.start <= at and (i.end is None or at < i.end) for i in each.intervals)
                and each.campaign.begins_at(zone) <= at < each.campaign.ends_at(zone)
            ]
            in_force = index.in_force(at, country=country, zone=zone)
            assert [(each.id, each.version) for each in in_force] == sorted(found)
            local = at.astimezone(ZoneInfo(zone))
            for rule in RULES:
                boosting = index.boosting(rule, at, country=country, zone=zone)
                assert list(boosting) == [
                    Candidate(each, boost)
                    for each in in_force
                    for boost in each.campaign.boosts
                    if rule in boost.rules and boost.happens_at(local)
                ]
