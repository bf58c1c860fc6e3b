"""The facts of members that decide whether campaigns are for them: only those that matter are read.

The country of a member and the time of joining are in memory, and so are the conditions of computed segments.
Lists and payments are a statement each for all members of a posting, where a campaign or such a segment asks
for them. Levels are read with those that multiply points (`engage.runtime.levels`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from datetime import datetime
from functools import cached_property
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.domain.campaigns.audience import Facts
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.campaigns.screen import Asked, Screen, Shortlist
from engage.domain.campaigns.segments import computed_segments
from engage.domain.keys import MemberKey
from engage.domain.program.program import Program
from engage.runtime.database import one_statement
from engage.runtime.facts import facts_of
from engage.runtime.levels import Moment, ids_of, read_levels
from engage.runtime.services import Services
from engage.store.members.members import Member, read_members
from engage.store.segments.members import Stay, read_stays
from engage.store.shop.payments import PaymentsBefore, read_last_payments

NO_ONE: Final[frozenset[str]] = frozenset()


class Occasion(Struct, frozen=True, dict=True):
    """A member at the time of an activity, and the campaigns that may be about it."""

    facts: Facts
    at: datetime
    screen: Screen

    @cached_property
    def shortlist(self) -> Shortlist:
        """The campaigns that are left by the facts that are in memory."""
        return self.screen.shortlist(self.facts)

    @property
    def asked(self) -> Asked:
        """The facts that have to be read of the member."""
        return self.shortlist.asked

    @property
    def member(self) -> MemberKey:
        return self.facts.program, self.facts.member_id

    @property
    def needs_facts(self) -> bool:
        """True if something of the member has to be read."""
        return not self.asked.is_nothing

    def reached_by(self, facts: Facts) -> frozenset[str]:
        """The campaigns that are for the member, by all facts."""
        return self.shortlist.reached_by(facts, self.at)

    def moment(self, program: Program) -> Moment:
        """The moment at which levels are asked for, of the groups of a version."""
        asked = self.asked.levels
        groups = [group for group in program.tier_groups if any(each.id in asked for each in group.levels)]
        return Moment(groups, self.at, self.facts.zone)

    @property
    def payments(self) -> PaymentsBefore:
        return PaymentsBefore(self.facts.program, self.facts.member_id, self.at)

    def stay(self, segment_id: str) -> Stay:
        return Stay(self.facts.program, self.facts.member_id, segment_id, self.at)


class Audiences:
    """The facts of occasions as they were read."""

    def __init__(self, last_payments: Mapping[PaymentsBefore, datetime], stays: Set[Stay]) -> None:
        self._last_payments = last_payments
        self._stays = stays

    def facts(
        self, occasion: Occasion, levels: frozenset[str] = NO_ONE, paid: Iterable[datetime] = ()
    ) -> Facts:
        """All facts of an occasion. `paid` are payments that are under way."""
        known = self._last_payments.get(occasion.payments)
        before = [at for at in (known, *paid) if at is not None and at < occasion.at]
        asked, facts = occasion.asked, occasion.facts
        if levels or before:
            facts = replace(facts, levels=levels, last_order_at=max(before, default=None))
        if not asked.lists and not asked.computed:
            return facts
        lists = frozenset(each for each in asked.lists if occasion.stay(each) in self._stays)
        return replace(facts, segments=lists | computed_segments(asked.computed, facts, occasion.at))


async def read_audiences(conn: AsyncConnection, occasions: Collection[Occasion]) -> Audiences:
    """Read what the campaigns of occasions ask for, apart from levels."""
    payments = {occasion.payments for occasion in occasions if occasion.asked.payments}
    stays = {occasion.stay(each) for occasion in occasions for each in occasion.asked.lists}
    return Audiences(await read_last_payments(conn, payments), await read_stays(conn, stays))


async def campaigns_for(
    services: Services, conn: AsyncConnection, member: Member, program: Program, *, zone: str, at: datetime
) -> list[PublishedCampaign]:
    """The campaigns that are in force at an instant and for this member, by id. Raises Unavailable."""
    index = (await services.campaigns.at(conn, at)).get(member.program_id)
    if index is None:
        return []
    in_force = index.in_force(at, country=member.country, zone=zone)
    if not in_force:
        return []
    screen = index.screen(in_force, at, country=member.country, zone=zone)
    occasion = Occasion(facts_of(member, zone), at, screen)
    (reached_by,) = await read_reach(conn, [(occasion, program)])
    return [each for each in in_force if each.id in reached_by]


def with_rules_of(campaigns: Iterable[PublishedCampaign]) -> list[PublishedCampaign]:
    """Those that have rules of their own."""
    return [each for each in campaigns if each.campaign.rules]


async def reach(
    source: AsyncEngine | AsyncConnection, asked: Sequence[tuple[Occasion, Program]]
) -> list[frozenset[str]]:
    """The campaigns that are for the member of each occasion, under a program version. Takes a connection
    only where something has to be read. Raises Unavailable.
    """
    if not any(occasion.needs_facts for occasion, _ in asked):
        return [occasion.reached_by(occasion.facts) for occasion, _ in asked]
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
        by_member.setdefault(occasion.member, []).append(moment)
    levels = await read_levels(conn, by_member, changed=())
    audiences = await read_audiences(conn, [occasion for occasion, _ in asked])
    return [
        occasion.reached_by(audiences.facts(occasion, ids_of(levels.at(occasion.member, moment))))
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
