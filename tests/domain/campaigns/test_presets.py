"""The preset campaigns, and their examples, which notice a change of any number."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from msgspec import Struct
from msgspec.structs import replace

from engage import programs
from engage.domain.activity import Line, Order, Payment
from engage.domain.campaigns.definition import Campaign, CampaignBoost, Offer
from engage.domain.campaigns.example_validation import example_problems
from engage.domain.campaigns.simulated import GivenFacts, as_published, simulate
from engage.domain.draws.definition import Draw
from engage.domain.playback import campaign_examples
from engage.domain.program.program import Program
from engage.programs import campaigns

SECOND = timedelta(seconds=1)
PRESETS = {name: campaigns.read(name) for name in campaigns.names()}

Change = tuple[str, Campaign]
Part = TypeVar("Part", bound=Struct)


def versions(campaign: Campaign) -> list[Program]:
    names = [name for name in programs.names() if name.startswith(f"{campaign.program}/")]
    return sorted(map(programs.read, names), key=lambda version: version.in_force_from)


def failures(campaign: Campaign) -> list[str]:
    return [str(failure) for failure in campaign_examples.check(campaign, versions(campaign))]


def test_the_presets_are_those_that_the_sources_name() -> None:
    assert campaigns.names() == [
        "eu-mi-points/double-points",
        "eu-mi-points/members-week-2022",
        "in-mi-tokens/rewardmi",
    ]
    assert [f"{campaign.program}/{campaign.id}" for campaign in PRESETS.values()] == campaigns.names()
    week = PRESETS["eu-mi-points/members-week-2022"]
    assert (week.from_, week.until) == (datetime(2022, 9, 21), datetime(2022, 9, 26))  # noqa: DTZ001


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_does_what_its_examples_say(name: str) -> None:
    campaign = PRESETS[name]
    assert [str(problem) for problem in example_problems(campaign, versions(campaign))] == []
    assert failures(campaign) == []


def changes(campaign: Campaign) -> Iterator[Change]:
    """Yield (description of the change, changed campaign)."""
    if campaign.boosts:
        for step in (SECOND, -SECOND):
            yield f"from {step}", replace(campaign, from_=campaign.from_ + step)
            yield f"until {step}", replace(campaign, until=campaign.until + step)
        yield "zone of Paris", replace(campaign, zone="Europe/Paris")
    for n, boost in enumerate(campaign.boosts):
        for what, changed in _boost(boost):
            yield f"{boost.id} {what}", replace(campaign, boosts=_put(campaign.boosts, n, changed))
        yield f"no {boost.id}", replace(campaign, boosts=[*campaign.boosts[:n], *campaign.boosts[n + 1 :]])
    for n, offer in enumerate(campaign.offers):
        for other in _offer(offer):
            yield f"offer {n} {other}", replace(campaign, offers=_put(campaign.offers, n, other))
    for n, draw in enumerate(campaign.draws):
        for what, another in _draw(draw):
            yield f"{draw.id} {what}", replace(campaign, draws=_put(campaign.draws, n, another))


def _boost(boost: CampaignBoost) -> Iterator[tuple[str, CampaignBoost]]:
    for factor in (1.9, 2.1):
        yield f"times {factor}", replace(boost, multiply=factor)
    yield "plus 2", replace(boost, multiply=None, add=2)
    for rule in boost.rules:
        others = [other for other in boost.rules if other != rule]
        yield f"not for {rule}", replace(boost, rules=others or ["fuel"])
    if boost.rules == ["registration", "app_sign_in"]:
        yield "for shares too", replace(boost, rules=[*boost.rules, "share_link"])
    for product in boost.products or ():
        rest = [other for other in boost.products or () if other != product]
        if product != "mi-robot-vacuum":
            yield f"not for {product}", replace(boost, products=rest)
    if boost.products is not None:
        yield "for all products", replace(boost, products=None)
        yield "for cases too", replace(boost, products=[*boost.products, "phone-case"])


def _offer(offer: Offer) -> Iterator[Offer]:
    if offer.percent is not None:
        yield from (replace(offer, percent=offer.percent + step) for step in (-1, 1))
    if offer.points is not None:
        yield from (replace(offer, points=offer.points + step) for step in (-1, 1))
    yield replace(offer, reward="coupon_20")


def _draw(draw: Draw) -> Iterator[tuple[str, Draw]]:
    yield "a point more", replace(draw, points=draw.points + 1)
    yield "later", replace(draw, opens_at=draw.opens_at + timedelta(days=20))
    yield "closes earlier", replace(draw, closes_at=draw.closes_at - timedelta(days=1))
    yield "later round", replace(draw, round_after=draw.round_after + timedelta(seconds=5))
    assert draw.conditions is not None
    changed: list[dict[str, Any]] = [
        {"hashtag": None},
        {"hashtag": "#other"},
        {"mentions": 4},
        {"mentions": 6},
        {"public": False},
    ]
    for change in changed:
        yield f"{change}", replace(draw, conditions=replace(draw.conditions, **change))


def _put(parts: list[Part], n: int, part: Part) -> list[Part]:
    return [*parts[:n], part, *parts[n + 1 :]]


CHANGES = [
    pytest.param(changed, id=f"{campaign.id} {what}")
    for campaign in PRESETS.values()
    for what, changed in changes(campaign)
]


@pytest.mark.parametrize("changed", CHANGES)
def test_the_examples_notice_every_mutation(changed: Campaign) -> None:
    assert failures(changed)


def test_points_are_doubled_once_where_both_campaigns_meet() -> None:
    week = PRESETS["eu-mi-points/members-week-2022"]
    double = PRESETS["eu-mi-points/double-points"]
    double = replace(double, from_=week.from_, until=week.until)
    program = programs.read("eu-mi-points/2022")
    member = simulate(program, "ES", [as_published(week), as_published(double)], GivenFacts())
    order = Order(
        order_id="o",
        channel="web",
        payment=Payment(method="card"),
        lines=[Line(line_id="1", product_id="mi-band-7", paid=5000)],
        currency="EUR",
    )
    at = datetime.fromisoformat("2022-09-22T10:00:00Z")
    credits = [(each.campaign, each.points) for each in member.pay(order, at)]
    assert credits == [(None, 50), ("members-week-2022", 50)]
