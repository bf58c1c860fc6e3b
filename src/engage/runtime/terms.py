"""The earning terms of activities: those of a program version, with the rules of campaigns that are in force
at the time of the activity and for the member.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.domain.campaigns.composition import named_parts
from engage.domain.campaigns.index import CampaignIndex, PublishedCampaign
from engage.domain.earning.terms import EarningTerms
from engage.domain.program.program import Program
from engage.runtime.audiences import Occasion, reach
from engage.runtime.campaign_cache import NO_CAMPAIGNS
from engage.runtime.facts import facts_of
from engage.runtime.services import Services
from engage.store.members.members import Member


class Acting(Struct, frozen=True):
    """A member who does something at an instant, and the program version and zone that apply. `activity` is
    its name (`on.activity` of rules).
    """

    member: Member
    program: Program
    zone: str
    activity: str
    at: datetime

    def paying(self, indexes: Mapping[str, CampaignIndex], now: datetime) -> tuple[PublishedCampaign, ...]:
        """The campaigns in force that have rules about it; of what is ahead of the clock, at `now`."""
        index = indexes.get(self.member.program_id)
        if index is None:
            return ()
        at = min(self.at, now)
        return index.with_rules(self.activity, at, country=self.member.country, zone=self.zone)


async def terms_of(
    services: Services, source: AsyncEngine | AsyncConnection, acting: Sequence[Acting], *, now: datetime
) -> list[EarningTerms]:
    """The terms of each. Reads nothing where no campaign with rules asks for facts. Raises Unavailable."""
    indexes = await services.campaigns.at(source, now)
    found = [each.paying(indexes, now) for each in acting]
    if not any(found):
        return [each.program.earning for each in acting]
    reached = await _reach(source, acting, found, indexes, now=now)
    return [
        services.campaigns.terms(each.program, [one for one in campaigns if one.id in reached_by])
        for each, campaigns, reached_by in zip(acting, found, reached, strict=True)
    ]


async def terms_named(services: Services, program_id: str, name: str) -> EarningTerms:
    """The terms that decided something, by the name that is stored with it. Raises Unavailable."""
    program = await services.programs.version(services.db, program_id, name)
    named = named_parts(name)
    if not named.campaigns:
        return program.earning
    found = await services.campaigns.versions(services.db, program_id, named.campaigns)
    return services.campaigns.terms(program, found, named.unpaid)


async def _reach(
    source: AsyncEngine | AsyncConnection,
    acting: Sequence[Acting],
    campaigns: Sequence[Sequence[PublishedCampaign]],
    indexes: Mapping[str, CampaignIndex],
    *,
    now: datetime,
) -> list[frozenset[str]]:
    """The campaigns that are for each member."""
    asked = [
        (_occasion(each, found, indexes, min(each.at, now)), each.program)
        for each, found in zip(acting, campaigns, strict=True)
    ]
    return await reach(source, asked)


def _occasion(
    acting: Acting,
    campaigns: Sequence[PublishedCampaign],
    indexes: Mapping[str, CampaignIndex],
    at: datetime,
) -> Occasion:
    member, index = acting.member, indexes.get(acting.program.id, NO_CAMPAIGNS)
    screen = index.screen(campaigns, at, country=member.country, zone=acting.zone)
    return Occasion(facts_of(member, acting.zone), at, screen)
