"""The definitions that campaigns bring, within the times of their campaign."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from engage.domain.campaigns.definition import MEMBER_ZONE, Campaign
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.definitions.definition import Definition, Scheduled
from engage.domain.definitions.kind import DefinitionKind

D = TypeVar("D", bound=Definition)


def definitions_of(published: PublishedCampaign, kind: DefinitionKind[D]) -> Iterator[D]:
    """The definitions of a kind, none of which is open before or after its campaign."""
    campaign = published.campaign
    for definition in kind.of(campaign):
        yield _within(definition, campaign) if isinstance(definition, Scheduled) else definition


def begins_for_all(published: PublishedCampaign) -> datetime:
    """The first instant at which the version was in force, wherever that was."""
    return min((each.start for each in published.intervals), default=datetime.max.replace(tzinfo=UTC))


def _within(definition: D, campaign: Campaign) -> D:
    assert isinstance(definition, Scheduled)
    begin, end = (_moment(campaign, moment) for moment in (campaign.from_, campaign.until))
    return replace(
        definition,
        from_=_closer(definition.from_, begin, later=True),
        until=_closer(definition.until, end, later=False),
    )


def _moment(campaign: Campaign, moment: datetime) -> datetime:
    """A time of the campaign as definitions have them: local of each member, or an instant."""
    if moment.tzinfo is not None or campaign.zone == MEMBER_ZONE:
        return moment
    return moment.replace(tzinfo=ZoneInfo(campaign.zone)).astimezone(UTC)


def _closer(own: datetime | None, limit: datetime, *, later: bool) -> datetime:
    """The narrower of two times. A local time and an instant cannot be compared: then it is the own one, and
    the campaign is asked beside it.
    """
    if own is None:
        return limit
    if (own.tzinfo is None) != (limit.tzinfo is None):
        return own
    return max(own, limit) if later else min(own, limit)
