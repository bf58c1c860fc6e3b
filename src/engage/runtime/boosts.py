"""The boosts of activities: what is credited beside the credits that rules and definitions grant. What
campaigns pay of both comes out of their budgets.

Levels multiply, and campaigns add for a while. What has to be read of members is read once for all credits of
a posting, and only where a boost depends on it. An activity that lifts a member is boosted at the level
before it, the next one of the same posting at the level that it lifted them to.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.boost import Boost, beside
from engage.domain.earning.credit import NewCredit
from engage.domain.keys import MemberKey
from engage.domain.tiers.definition import TierGroup
from engage.ledger.accept import CreditToAccept
from engage.runtime.audiences import NO_ONE, Audiences, Occasion, members_of, read_audiences
from engage.runtime.campaign_boosts import Boosts, CampaignBoosts, Decided
from engage.runtime.ids import new_id
from engage.runtime.levels import MemberLevels, Moment, boosts_of, groups_asked, ids_of, read_levels
from engage.runtime.services import Services

Boosted = dict[UUID, list[CreditToAccept]]  # Credits by the one that they are beside.


class Granted(Struct):
    """The credits to accept beside others (`boosted`). `exhausted` are those that their campaigns cannot pay,
    with the campaign; `limited` those that are taken from budgets.
    """

    boosted: Boosted
    exhausted: dict[UUID, str]
    limited: set[UUID]


class _Activity(Struct, frozen=True):
    """The credits of one activity of a member, and what decides about their boosts. `occasion` is None where
    no campaign boosts them.
    """

    rows: Sequence[CreditToAccept]
    moment: Moment
    occasion: Occasion | None

    @property
    def member(self) -> MemberKey:
        return self.rows[0].program_id, self.rows[0].member_id


async def boost_credits(
    services: Services,
    conn: AsyncConnection,
    rows: Sequence[CreditToAccept],
    *,
    now: datetime,
    changed: Collection[MemberKey] = (),
    reserved: Collection[UUID] = (),
) -> Granted:
    """The credits to accept beside these, within budgets. `changed` are members whose facts have changed in
    the transaction already, `reserved` are credits whose points were taken from budgets before. Raises
    Unavailable, NeedsTransaction.
    """
    campaigns = CampaignBoosts(await services.campaigns.at(conn, now), now)
    shared = _Shared()
    boosts = await _boosts(services, conn, campaigns, rows, changed, shared)
    limited = {row.id for row in rows if campaigns.limits(row.credit)}
    asking = [row for row in rows if row.id in boosts or row.id in limited]
    decided = [
        Decided((row.program_id, row.member_id), row.credit, boosts.get(row.id, ()), row.id in reserved)
        for row in asking
    ]
    found = Granted({}, {}, limited)
    for row, left in zip(asking, await campaigns.within_budgets(conn, decided), strict=True):
        if left is None:
            assert row.credit.campaign is not None, "only campaigns have budgets"
            found.exhausted[row.id] = row.credit.campaign
        elif left:
            found.boosted[row.id] = beside = shared.rows(row, left)
            found.limited |= {each.id for each in beside if campaigns.limits(each.credit)}
    return found


async def _boosts(
    services: Services,
    conn: AsyncConnection,
    campaigns: CampaignBoosts,
    rows: Sequence[CreditToAccept],
    changed: Collection[MemberKey],
    shared: "_Shared",
) -> dict[UUID, Boosts]:
    """The boosts of credits by their ids, before budgets."""
    found = [
        row for row in rows if services.programs.boosts(row.program_id) or campaigns.may_boost(row.credit)
    ]
    if not found:
        return {}
    activities = await _activities(services, conn, campaigns, found)
    moments = {member: [each.moment for each in own] for member, own in activities.items()}
    levels = await read_levels(conn, moments, changed=changed)
    audiences = await read_audiences(
        conn, [each.occasion for own in activities.values() for each in own if each.occasion is not None]
    )
    decided: dict[UUID, Boosts] = {}
    for own in activities.values():
        for activity in own:
            decision = _Decision(activity, levels, audiences, campaigns)
            for row in activity.rows:
                decided[row.id] = boosts = decision.beside(row.credit)
                levels.add_credits(activity.member, (row.credit, *shared.credits(row.credit, boosts)))
    return decided


class _Decision:
    """The boosts of the credits of an activity."""

    def __init__(
        self, activity: _Activity, levels: MemberLevels, audiences: Audiences, campaigns: CampaignBoosts
    ) -> None:
        held = levels.at(activity.member, activity.moment)
        self._by_levels = boosts_of(held)
        self._occasion = occasion = activity.occasion
        self._campaigns = campaigns
        if occasion is not None:
            self._reached_by = occasion.reached_by(audiences.facts(occasion, ids_of(held)))

    def beside(self, credit: NewCredit) -> tuple[Boost, ...]:
        if self._occasion is None:
            return self._by_levels
        found = self._campaigns.beside(credit, self._occasion.facts.country, self._reached_by)
        return (*self._by_levels, *found)


async def _activities(
    services: Services, conn: AsyncConnection, campaigns: CampaignBoosts, rows: Sequence[CreditToAccept]
) -> dict[MemberKey, list[_Activity]]:
    """The activities of members in the order of their times, with what decides about each."""
    by_member: dict[MemberKey, list[CreditToAccept]] = {}
    for row in sorted(rows, key=lambda row: row.credit.activity_at):
        by_member.setdefault((row.program_id, row.member_id), []).append(row)
    wanted = {
        member for member, own in by_member.items() if any(campaigns.may_boost(row.credit) for row in own)
    }
    members = await members_of(services, conn, wanted) if wanted else {}
    found: dict[MemberKey, list[_Activity]] = {}
    groups: dict[tuple[str, str, frozenset[str]], list[TierGroup]] = {}
    for member, own in by_member.items():
        for activity in _by_activity(own):
            why, occasion = activity[0].credit.why, None
            if member in members:
                occasion = campaigns.occasion(members[member], [row.credit for row in activity])
            asked = why.program, why.version, NO_ONE if occasion is None else occasion.asked.levels
            if asked not in groups:
                groups[asked] = await groups_asked(services, *asked)
            moment = Moment(groups[asked], why.at, why.zone)
            found.setdefault(member, []).append(_Activity(activity, moment, occasion))
    return found


def _by_activity(rows: Collection[CreditToAccept]) -> Iterator[list[CreditToAccept]]:
    for _, activity in groupby(
        rows, key=lambda row: (row.credit.activity_at, row.credit.reference, id(row.credit.why.activity))
    ):
        yield list(activity)


class _Shared:
    """Boosted credits of members who have the same decision and the same boosts: each is made once."""

    def __init__(self) -> None:
        self._credits: dict[tuple[int, tuple[tuple[str, int | None], ...]], list[NewCredit]] = {}

    def credits(self, base: NewCredit, boosts: tuple[Boost, ...]) -> list[NewCredit]:
        if not boosts:
            return []
        key = id(base), tuple((f"{boost.key} {boost.id}", boost.points) for boost in boosts)
        if key not in self._credits:
            self._credits[key] = [credit for credit, _ in beside(base, boosts)]
        return self._credits[key]

    def rows(self, base: CreditToAccept, boosts: tuple[Boost, ...]) -> list[CreditToAccept]:
        with_id = base.with_id or base.id
        return [
            CreditToAccept(base.program_id, base.member_id, new_id(), credit, with_id=with_id)
            for credit in self.credits(base.credit, boosts)
        ]
