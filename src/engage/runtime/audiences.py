"""The facts of members that decide whether campaigns are for them: only those that matter are read.

The country of a member and the time of joining are in memory. Segments and payments are a statement each for
all members of a posting, where a campaign asks for them; levels are read with those that multiply points
(`engage.runtime.levels`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from datetime import datetime
from functools import reduce
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.audience import Facts, Need, asks_for, why_not
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.keys import MemberKey
from engage.domain.program.program import Program
from engage.runtime.levels import Moment, ids_of, read_levels
from engage.runtime.services import Services
from engage.store.members.members import Member, read_members
from engage.store.segments.members import Stay, read_stays
from engage.store.shop.payments import PaymentsBefore, read_last_payments

NO_ONE: Final[frozenset[str]] = frozenset()


class Occasion(Struct, frozen=True):
    """A member at the time of an activity, and the campaigns that may be about it."""

    facts: Facts
    at: datetime
    campaigns: Sequence[PublishedCampaign]

    @property
    def member(self) -> MemberKey:
        return self.facts.program, self.facts.member_id

    @property
    def needs_facts(self) -> bool:
        """True if something of the member has to be read."""
        return any(asks_for(each.campaign, self.facts) for each in self.campaigns)

    def reached_by(self, facts: Facts) -> frozenset[str]:
        """The campaigns that are for the member, by all facts."""
        return frozenset(each.id for each in self.campaigns if why_not(each.campaign, facts, self.at) is None)

    def moment(self, program: Program) -> Moment:
        """The moment at which levels are asked for, of the groups of a version."""
        asked = self.levels
        groups = [group for group in program.tier_groups if any(each.id in asked for each in group.levels)]
        return Moment(groups, self.at, self.facts.zone)

    def asking(self, need: Need) -> list[PublishedCampaign]:
        """The campaigns for which it matters what is read of the member."""
        return [each for each in self.campaigns if need in asks_for(each.campaign, self.facts)]

    @property
    def levels(self) -> frozenset[str]:
        """The levels that are asked for."""
        return _union(each.campaign.audience.tiers for each in self.asking("tiers"))

    @property
    def stays(self) -> list[Stay]:
        """The stays in segments that are asked for."""
        asked = _union(each.campaign.audience.segments for each in self.asking("segments"))
        return [Stay(self.facts.program, self.facts.member_id, segment, self.at) for segment in asked]

    @property
    def payments(self) -> PaymentsBefore:
        return PaymentsBefore(self.facts.program, self.facts.member_id, self.at)


class Audiences:
    """The facts of occasions as they were read."""

    def __init__(self, last_payments: Mapping[PaymentsBefore, datetime], stays: Set[Stay]) -> None:
        self._last_payments = last_payments
        self._stays = stays

    def facts(
        self, occasion: Occasion, levels: frozenset[str] = NO_ONE, paid: Iterable[datetime] = ()
    ) -> Facts:
        """All facts of an occasion. `paid` are payments that are under way."""
        segments = frozenset(stay.segment_id for stay in occasion.stays if stay in self._stays)
        known = self._last_payments.get(occasion.payments)
        before = [at for at in (known, *paid) if at is not None and at < occasion.at]
        if not levels and not segments and not before:
            return occasion.facts
        return replace(
            occasion.facts, levels=levels, segments=segments, last_order_at=max(before, default=None)
        )


async def read_audiences(conn: AsyncConnection, occasions: Collection[Occasion]) -> Audiences:
    """Read what the campaigns of occasions ask for, apart from levels."""
    payments = {occasion.payments for occasion in occasions if occasion.asking("orders")}
    stays = {stay for occasion in occasions for stay in occasion.stays}
    return Audiences(await read_last_payments(conn, payments), await read_stays(conn, stays))


async def campaigns_for(
    services: Services, conn: AsyncConnection, member: Member, program: Program, *, zone: str, at: datetime
) -> list[PublishedCampaign]:
    """The campaigns that are in force at an instant and for this member, by id. Raises Unavailable."""
    index = (await services.campaigns.at(conn, at)).get(member.program_id)
    in_force = () if index is None else index.in_force(at, country=member.country, zone=zone)
    if not in_force:
        return []
    occasion = Occasion(facts_of(member, zone), at, in_force)
    (reached_by,) = await read_reach(conn, [(occasion, program)])
    return [each for each in in_force if each.id in reached_by]


def with_rules_of(campaigns: Iterable[PublishedCampaign]) -> list[PublishedCampaign]:
    """Those that have rules of their own."""
    return [each for each in campaigns if each.campaign.rules]


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


def facts_of(member: Member, zone: str) -> Facts:
    """The facts of a member that are in memory."""
    return Facts(
        program=member.program_id,
        member_id=member.member_id,
        country=member.country,
        zone=zone,
        joined_at=member.joined_at,
    )


async def members_of(
    services: Services, conn: AsyncConnection, keys: Collection[MemberKey]
) -> dict[MemberKey, Member]:
    """The members of these accounts: those in memory, and others as this transaction sees them. A member who
    is joining is in no other one.
    """
    found = services.members.known(keys)
    missing = [key for key in keys if key not in found]
    return found | await read_members(conn, missing) if missing else found


def _union(found: Iterable[Sequence[str] | None]) -> frozenset[str]:
    return reduce(frozenset.union, (frozenset(each or ()) for each in found), NO_ONE)
