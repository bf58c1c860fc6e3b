"""The facts of members that decide whether campaigns are for them: only those that matter are read.

The country of a member and the time of joining are in memory, and so are the conditions of computed segments.
Lists, payments and levels are one statement for all members of a posting, where a campaign, such a segment or
a level that multiplies asks for them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.domain.campaigns.audience import Facts, FactsRead
from engage.domain.campaigns.index import CampaignIndex, PublishedCampaign
from engage.domain.campaigns.screen import Asked, Shortlist
from engage.domain.campaigns.segments import computed_segments
from engage.domain.keys import MemberKey
from engage.domain.program.program import Program
from engage.runtime.campaign_cache import NO_CAMPAIGNS
from engage.runtime.database import one_statement
from engage.runtime.facts import facts_of, with_read
from engage.runtime.levels import MemberLevels, Moment, ids_of, levels_by, single_moments
from engage.runtime.services import Services
from engage.store.campaigns.member_facts import MemberFacts, read_member_facts
from engage.store.members.members import Member, read_members
from engage.store.segments.members import ListAt
from engage.store.shop.payments import PaidBefore

NO_ONE: Final[frozenset[str]] = frozenset()


class Occasion(Struct, frozen=True):
    """A member at the time of an activity, and the campaigns about it that are left by what is in memory."""

    member: Member
    zone: str
    at: datetime
    shortlist: Shortlist

    @property
    def asked(self) -> Asked:
        """The facts that have to be read of the member."""
        return self.shortlist.asked

    @property
    def facts(self) -> Facts:
        """The facts that are in memory."""
        return facts_of(self.member, self.zone)

    def moment(self, program: Program) -> Moment:
        """The moment at which levels are asked for, of the groups of a version."""
        asked = self.asked.levels
        groups = [group for group in program.tier_groups if any(each.id in asked for each in group.levels)]
        return Moment(groups, self.at, self.zone)

    @property
    def payments(self) -> PaidBefore:
        return PaidBefore(self.member.program_id, self.at)

    def list(self, segment_id: str) -> ListAt:
        return ListAt(self.member.program_id, segment_id, self.at)


class Audiences:
    """The facts of occasions as they were read."""

    def __init__(self, read: MemberFacts) -> None:
        self._read = read

    def reached_by(
        self, occasion: Occasion, levels: frozenset[str] = NO_ONE, paid: Sequence[datetime] = ()
    ) -> frozenset[str]:
        """The campaigns that are for the member, by all facts. `paid` are payments that are under way."""
        return occasion.shortlist.reached_by(self._facts_read(occasion, levels, paid), occasion.at)

    def facts(self, occasion: Occasion, levels: frozenset[str] = NO_ONE) -> Facts:
        """All facts of an occasion."""
        return with_read(occasion.facts, self._facts_read(occasion, levels, ()))

    def _facts_read(self, occasion: Occasion, levels: frozenset[str], paid: Sequence[datetime]) -> FactsRead:
        asked, member_id = occasion.asked, occasion.member.member_id
        last = max((at for at in paid if at < occasion.at), default=None)
        if asked.payments:
            known = self._read.payments[occasion.payments].get(member_id)
            if known is not None and (last is None or known > last):
                last = known
        segments = NO_ONE
        if asked.lists:
            segments = frozenset(
                [each for each in asked.lists if member_id in self._read.stays[occasion.list(each)]]
            )
        read = FactsRead(levels, segments, last)
        if not asked.computed:
            return read
        computed = computed_segments(asked.computed, with_read(occasion.facts, read), occasion.at)
        return FactsRead(levels, segments | computed, last)


async def read_asked(
    conn: AsyncConnection,
    moments: Mapping[MemberKey, Sequence[Moment]],
    occasions: Iterable[Occasion],
    *,
    changed: Collection[MemberKey] = (),
) -> tuple[MemberLevels, Audiences]:
    """Read what decides: the levels of members at these moments, and what the campaigns of occasions ask for.

    Of members who have `changed` in this transaction, or have several moments, the facts say the levels.
    """
    single = single_moments(moments, changed)
    payments: dict[PaidBefore, set[str]] = {}
    stays: dict[ListAt, set[str]] = {}
    for occasion in occasions:
        asked, member_id = occasion.asked, occasion.member.member_id
        if asked.payments:
            payments.setdefault(occasion.payments, set()).add(member_id)
        for each in asked.lists:
            stays.setdefault(occasion.list(each), set()).add(member_id)
    read = await read_member_facts(conn, levels_of=single, payments=payments, stays=stays)
    return await levels_by(conn, moments, single, read.levels), Audiences(read)


def occasion_of(
    index: CampaignIndex,
    campaigns: Iterable[PublishedCampaign],
    member: Member,
    *,
    zone: str,
    at: datetime,
) -> Occasion:
    """The occasion of campaigns of an index that are in force, for a member of a zone."""
    screen = index.screen(campaigns, at, country=member.country, zone=zone)
    return Occasion(member, zone, at, screen.shortlist(member.member_id, member.joined_at))


async def campaigns_for(
    services: Services, conn: AsyncConnection, member: Member, program: Program, *, zone: str, at: datetime
) -> list[PublishedCampaign]:
    """The campaigns that are in force at an instant and for this member, by id. Raises Unavailable."""
    (found,) = await campaigns_for_each(services, conn, [(member, program, zone)], at=at)
    return found


async def campaigns_for_each(
    services: Services,
    conn: AsyncConnection,
    members: Sequence[tuple[Member, Program, str]],
    *,
    at: datetime,
) -> list[list[PublishedCampaign]]:
    """The campaigns that are in force at an instant and for each of these members, under a program version
    and in a zone. Raises Unavailable.
    """
    indexes = await services.campaigns.at(conn, at)
    found: list[list[PublishedCampaign]] = [[] for _ in members]
    asked: list[tuple[int, tuple[PublishedCampaign, ...], Occasion, Program]] = []
    for number, (member, program, zone) in enumerate(members):
        index = indexes.get(member.program_id, NO_CAMPAIGNS)
        if in_force := index.in_force(at, country=member.country, zone=zone):
            occasion = occasion_of(index, in_force, member, zone=zone, at=at)
            asked.append((number, in_force, occasion, program))
    reached = await reach(conn, [(occasion, program) for _, _, occasion, program in asked])
    for (number, in_force, _, _), ids in zip(asked, reached, strict=True):
        found[number] = [each for each in in_force if each.id in ids]
    return found


def with_rules_of(campaigns: Iterable[PublishedCampaign]) -> list[PublishedCampaign]:
    """Those that have rules of their own."""
    return [each for each in campaigns if each.campaign.rules]


async def reach(
    source: AsyncEngine | AsyncConnection, asked: Sequence[tuple[Occasion, Program]]
) -> list[frozenset[str]]:
    """The campaigns that are for the member of each occasion, under a program version. Takes a connection
    only where something has to be read. Raises Unavailable.
    """
    if all(occasion.asked.is_nothing for occasion, _ in asked):
        return [occasion.shortlist.reached_by(FactsRead(), occasion.at) for occasion, _ in asked]
    if isinstance(source, AsyncConnection):
        return await read_reach(source, asked)
    async with one_statement(source) as conn:
        return await read_reach(conn, asked)


async def read_reach(
    conn: AsyncConnection, asked: Sequence[tuple[Occasion, Program]]
) -> list[frozenset[str]]:
    """The campaigns that are for the member of each occasion, under a program version. Reads only what
    decides that.
    """
    moments = [occasion.moment(program) for occasion, program in asked]
    by_member: dict[MemberKey, list[Moment]] = {}
    for (occasion, _), moment in zip(asked, moments, strict=True):
        by_member.setdefault(occasion.member.key, []).append(moment)
    levels, audiences = await read_asked(conn, by_member, [occasion for occasion, _ in asked])
    return [
        audiences.reached_by(occasion, ids_of(levels.at(occasion.member.key, moment)))
        for (occasion, _), moment in zip(asked, moments, strict=True)
    ]


async def members_of(
    services: Services, conn: AsyncConnection, keys: Collection[MemberKey]
) -> dict[MemberKey, Member]:
    """The members of these accounts: those in memory, and others as this transaction sees them. A member who
    is joining is in no other one.
    """
    found = services.members.known(keys)
    missing = [key for key in keys if key not in found]
    return found | await read_members(conn, missing) if missing else found
