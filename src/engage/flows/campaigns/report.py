"""Report on a campaign: its grants by hour and country, its budget, and whether it paid."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from engage.domain.calendar import instant
from engage.domain.campaigns.budget import Left
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.index import PublishedCampaign
from engage.flows.campaigns.uplift import Uplift, compare
from engage.flows.reports.reader import reading
from engage.runtime.services import Services
from engage.store.campaigns import budgets, report
from engage.store.campaigns.report import CampaignWindow, CountryGrants, HourGrants
from engage.store.campaigns.versions import CampaignKey

HOURS_SHOWN: Final = 24 * 31
TIMEOUT_S: Final = 60.0


class BudgetPart(Struct, frozen=True):
    """A limit of points or of credits, and what is left of it."""

    total: int
    left: int


class BudgetAlert(Struct, frozen=True):
    """A percentage of a total, of points or of credits, that was reached for the first time at `at`."""

    of: Literal["points", "count"]
    percent: int
    total: int
    at: datetime


class BudgetReport(Struct, frozen=True):
    """The limits of a campaign; null is without a limit. `alerts` are the oldest first."""

    points: BudgetPart | None
    count: BudgetPart | None
    alerts: list[BudgetAlert]


class CampaignReport(Struct, frozen=True, kw_only=True):
    """Figures of all versions of a campaign so far, without what was taken back.

    `by_hour` has the last hours of activities, in UTC. `holdout` is null for a campaign that holds nobody
    out. Its `rate` is the share of the members held out who did what the campaign is about in its time; it is
    compared with the same share of the audience.
    """

    points_granted: int
    credits: int
    members: int
    by_hour: list[HourGrants]
    by_country: list[CountryGrants]
    budget: BudgetReport
    holdout: Uplift | None


# The report of a campaign that was never approved: its budget begins with the approval.
NOTHING: Final = CampaignReport(
    points_granted=0,
    credits=0,
    members=0,
    by_hour=[],
    by_country=[],
    budget=BudgetReport(None, None, []),
    holdout=None,
)


async def report_campaign(services: Services, key: CampaignKey, *, compares: bool = True) -> CampaignReport:
    """Report on a campaign; one that was never approved has granted nothing. Without `compares` the members
    held out are not looked at: that reads what every member of the audience did. Raises Unavailable.
    """
    await services.campaigns.refresh(services.db)
    versions = [each for each in services.campaigns.of(key[0]).published if each.id == key[1]]
    if not versions:
        return NOTHING
    newest, now = versions[-1], services.clock.now()
    windows = _windows(services, newest, versions[0], now)
    async with reading(services.settings, TIMEOUT_S) as conn:
        grants = await report.read_grants(conn, key, most=HOURS_SHOWN)
        left = (await budgets.read_left(conn, [key])).get(key, Left(None, None))
        limits = (await budgets.read_totals(conn, [key])).get(key, Left(None, None))
        alerts = await budgets.read_alerts(conn, key)
        outcomes = None
        if compares and newest.campaign.holdout_percent and windows:
            rules = _rules(services, newest.campaign)
            outcomes = await report.read_outcomes(conn, newest.campaign, windows, rules=rules)
    return CampaignReport(
        points_granted=grants.points,
        credits=grants.credits,
        members=grants.members,
        by_hour=grants.by_hour,
        by_country=grants.by_country,
        budget=BudgetReport(
            _part(limits.points, left.points),
            _part(limits.count, left.count),
            [BudgetAlert(each.of, each.percent, each.total, each.at) for each in alerts],
        ),
        holdout=None if outcomes is None else await asyncio.to_thread(compare, *outcomes),
    )


def _windows(
    services: Services, newest: PublishedCampaign, first: PublishedCampaign, now: datetime
) -> list[CampaignWindow]:
    """The times of the campaign so far, for each country that it is for."""
    published = services.programs.versions(newest.campaign.program)
    zones = {country: market.zone for version in published for country, market in version.countries.items()}
    began = min((each.start for each in first.intervals), default=now)
    found = [
        CampaignWindow(
            country,
            max(began, newest.campaign.begins_at(zone)),
            min(now, newest.campaign.ends_at(zone)),
            _instant(newest.campaign.audience.joined_before, zone),
            _instant(newest.campaign.audience.joined_after, zone),
        )
        for country, zone in sorted(zones.items())
        if newest.is_for(country)
    ]
    return [window for window in found if window.begins_at < window.ends_at]


def _rules(services: Services, campaign: Campaign) -> Sequence[str]:
    """The rules that the campaign is about: those that it boosts or brings, or else all of its program."""
    own = {rule.id for rule in campaign.rules} | {rule for boost in campaign.boosts for rule in boost.rules}
    if own:
        return sorted(own)
    return sorted(
        {rule.id for version in services.programs.versions(campaign.program) for rule in version.rules}
    )


def _part(total: int | None, left: int | None) -> BudgetPart | None:
    return None if total is None or left is None else BudgetPart(total, left)


def _instant(moment: datetime | None, zone: str) -> datetime | None:
    return None if moment is None else instant(moment, zone)
