"""The earning terms of activities: those of a program version, with the rules of campaigns that are in force
at the time of the activity and for the member.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.domain.campaigns.composition import named_parts
from engage.domain.campaigns.index import CampaignIndex, PublishedCampaign
from engage.domain.campaigns.screen import Screen
from engage.domain.earning.terms import EarningTerms
from engage.domain.program.program import Program
from engage.runtime.audiences import Occasion, reach
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
    reached = await _paying_for(source, acting, indexes, now=now)
    return [
        services.campaigns.terms(each.program, reached.get(number, ())) for number, each in enumerate(acting)
    ]


async def terms_named(services: Services, program_id: str, name: str) -> EarningTerms:
    """The terms that decided something, by the name that is stored with it. Raises Unavailable."""
    program = await services.programs.version(services.db, program_id, name)
    named = named_parts(name)
    if not named.campaigns:
        return program.earning
    found = await services.campaigns.versions(services.db, program_id, named.campaigns)
    return services.campaigns.terms(program, found, named.unpaid)


async def _paying_for(
    source: AsyncEngine | AsyncConnection,
    acting: Sequence[Acting],
    indexes: Mapping[str, CampaignIndex],
    *,
    now: datetime,
) -> dict[int, list[PublishedCampaign]]:
    """The campaigns with rules about it that are for each member, by the number of the acting one; nothing of
    those for whom none is.
    """
    screens: dict[tuple[str, str, datetime, str, str], Screen | None] = {}
    found: dict[int, Occasion] = {}
    for number, each in enumerate(acting):
        member, at = each.member, min(each.at, now)
        key = member.program_id, each.activity, at, member.country, each.zone
        if key not in screens:
            screens[key] = _screen(indexes, *key)
        screen = screens[key]
        if screen is not None:
            shortlist = screen.shortlist(member.member_id, member.joined_at)
            if not shortlist.is_empty:
                found[number] = Occasion(member, each.zone, at, shortlist)
    asked = [(occasion, acting[number].program) for number, occasion in found.items()]
    reached = await reach(source, asked)
    return {
        number: [one for one in acting[number].paying(indexes, now) if one.id in reached_by]
        for number, reached_by in zip(found, reached, strict=True)
    }


def _screen(
    indexes: Mapping[str, CampaignIndex],
    program_id: str,
    activity: str,
    at: datetime,
    country: str,
    zone: str,
) -> Screen | None:
    """The campaigns that have rules about an activity; None where there are none."""
    index = indexes.get(program_id)
    if index is None:
        return None
    campaigns = index.with_rules(activity, at, country=country, zone=zone)
    return index.screen(campaigns, at, country=country, zone=zone) if campaigns else None
