"""Validation of a campaign beside its program, after the types of its fields.

It finds a boost that can never add anything, a rule whose id is taken, a time that does not exist: before the
campaign is stored, so that decisions need not consider them.
"""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from engage.domain.campaigns.audience_validation import condition_problems, country_problems, unknown_ids
from engage.domain.campaigns.boost_validation import boost_problems
from engage.domain.campaigns.definition import MEMBER_ZONE, Audience, Budget, Campaign, Offer
from engage.domain.campaigns.example_validation import example_problems
from engage.domain.campaigns.part_validation import part_problems
from engage.domain.campaigns.surroundings import Surroundings
from engage.domain.campaigns.zones import zones_of
from engage.domain.definitions.definition import moment_problems
from engage.domain.document import iso_codes
from engage.domain.document.errors import Problem, duplicate_names, duplicates, nearest, shown
from engage.domain.program.program import Program
from engage.domain.program.validation import minor_unit_problems
from engage.domain.rewards.validation import unknown_reward


def problems(campaign: Campaign, around: Surroundings) -> list[Problem]:
    """All problems, each once."""
    of_times = [*_zone(campaign), *_times(campaign, around)]
    of_countries = list(country_problems("audience", campaign.audience, around.zones))
    named = campaign.audience.countries or around.zones
    countries = [country for country in named if country in around.zones]
    # The versions that will decide together with it; all, where its times do not say which.
    beside = around.during(campaign, countries) if not of_times else list(around.programs)
    if not of_times and not of_countries and not beside:
        expected = "a time in which the program is in force in one of its countries"
        of_times.append(Problem("until", expected, shown(campaign.until)))
    beside = beside or list(around.programs)
    found = [
        *of_times,
        *of_countries,
        *condition_problems("audience", campaign.audience, beside),
        *_segments(campaign.audience, around),
        *boost_problems(campaign, beside),
        *_amounts(campaign, beside, countries),
        *part_problems(campaign, around, beside),
        *_offers(campaign.offers, beside),
        *_budget(campaign.budget),
        *(example_problems(campaign, around.programs) if not of_times else ()),
    ]
    return list(dict.fromkeys(found))


def _zone(campaign: Campaign) -> Iterator[Problem]:
    known = [MEMBER_ZONE, *iso_codes.zones()]
    if campaign.zone not in known:
        found = shown(campaign.zone) + nearest(campaign.zone, known)
        yield Problem("zone", '"member", or an IANA time zone, such as Europe/Madrid', found)


def _times(campaign: Campaign, around: Surroundings) -> Iterator[Problem]:
    if any(_zone(campaign)):
        campaign = replace(campaign, zone=MEMBER_ZONE)
    zones = zones_of(campaign, around.programs)
    of_each = [
        *moment_problems("from", campaign.from_, zones),
        *moment_problems("until", campaign.until, zones),
    ]
    yield from of_each
    if not of_each and any(campaign.ends_at(zone) <= campaign.begins_at(zone) for zone in zones):
        expected = f"a time after from ({campaign.from_.isoformat()})"
        yield Problem("until", expected, campaign.until.isoformat())


def _segments(audience: Audience, around: Surroundings) -> Iterator[Problem]:
    if around.segments is None:
        yield from duplicates(audience.segments or [], "audience.segments")
    else:
        yield from unknown_ids(audience.segments, "audience.segments", "the id of a segment", around.segments)


def _amounts(campaign: Campaign, beside: Sequence[Program], countries: Sequence[str]) -> Iterator[Problem]:
    """An amount in minor units is about currencies with as many decimals."""
    markets = {
        country: each.countries[country]
        for each in beside
        for country in countries
        if country in each.countries
    }
    if not any(minor_unit_problems(markets)):
        return
    for n, boost in enumerate(campaign.boosts):
        if boost.min_amount_minor is not None:
            expected = "none: the currencies of its countries have different decimals"
            yield Problem(f"boosts[{n}].min_amount_minor", expected, str(boost.min_amount_minor))
    for n, rule in enumerate(campaign.rules):
        if rule.award.has_amounts:
            expected = "an award without amounts: the currencies of its countries have different decimals"
            yield Problem(f"rules[{n}].award", expected, shown(rule.award.kind))


def _offers(offers: Sequence[Offer], beside: Sequence[Program]) -> Iterator[Problem]:
    known = [reward.id for each in beside for reward in each.rewards]
    yield from duplicate_names([offer.reward for offer in offers], "offers", "reward")
    for n, offer in enumerate(offers):
        path = f"offers[{n}]"
        yield from unknown_reward(offer.reward, f"{path}.reward", known)
        if (offer.points is None) == (offer.percent is None):
            yield Problem(path, "either points or percent", "neither" if offer.points is None else "both")


def _budget(budget: Budget | None) -> Iterator[Problem]:
    if budget is None:
        return
    limits = (budget.points, budget.points_per_member, budget.count, budget.per_device)
    if all(limit is None for limit in limits):
        yield Problem("budget", "points, points_per_member, count or per_device", "no limit")
        return
    for name, whole in (("points_per_member", budget.points), ("per_device", budget.count)):
        limit = getattr(budget, name)
        if whole is not None and limit is not None and limit > whole:
            yield Problem(f"budget.{name}", f"at most the {whole} of the whole campaign", str(limit))
    yield from duplicates(budget.alerts, "budget.alerts")
    if budget.alerts != Budget().alerts and budget.points is None and budget.count is None:
        yield Problem("budget.alerts", "points or count, of which they are percentages", "neither")
