"""The boosts of activities: what is credited beside the credits that rules and definitions grant. What
campaigns pay of both comes out of their budgets.

Levels multiply, and campaigns add for a while. What has to be read of members is read once for all credits of
a posting, and only where a boost depends on it. An activity that lifts a member is boosted at the level
before it, the next one of the same posting at the level that it lifted them to.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.boost import beside
from engage.domain.earning.credit import NewCredit
from engage.domain.keys import MemberKey
from engage.ledger.accept import CreditToAccept
from engage.ledger.credits import read_used_keys
from engage.runtime.audiences import NO_ONE, Audiences, Occasion, members_of, read_asked
from engage.runtime.campaign_boosts import Activity, Boosts, CampaignBoosts, Decided
from engage.runtime.ids import new_id
from engage.runtime.levels import MemberLevels, Moment, boosts_of, groups_asked, ids_of
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
    repeated = await _repeated(conn, [row for row in rows if row.id in limited and row.id not in reserved])
    limited -= repeated
    asking = [row for row in rows if row.id not in repeated and (row.id in boosts or row.id in limited)]
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


async def _repeated(conn: AsyncConnection, rows: Sequence[CreditToAccept]) -> frozenset[UUID]:
    """The credits that members have had before, which the ledger refuses: they take nothing of a budget, or
    what is left of it would be missing for a boost of the same activity.
    """
    if not rows:
        return frozenset()
    keys = {row.id: (row.program_id, row.member_id, row.credit.source_key) for row in rows}
    used = await read_used_keys(conn, list(keys.values()))
    return frozenset(id_ for id_, key in keys.items() if key in used)


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
    occasions = [each.occasion for own in activities.values() for each in own if each.occasion is not None]
    levels, audiences = await read_asked(conn, moments, occasions, changed=changed)
    decided: dict[UUID, Boosts] = {}
    for member, own in activities.items():
        for activity in own:
            beside = _decision(member, activity, levels, audiences, campaigns)
            for row in activity.rows:
                boosts = beside(row.credit)
                if boosts:
                    decided[row.id] = boosts
                if len(own) > 1:
                    levels.add_credits(member, (row.credit, *shared.credits(row.credit, boosts)))
    return decided


def _decision(
    member: MemberKey,
    activity: _Activity,
    levels: MemberLevels,
    audiences: Audiences,
    campaigns: CampaignBoosts,
) -> Callable[[NewCredit], Boosts]:
    """The boosts beside each credit of an activity."""
    held, occasion = levels.at(member, activity.moment), activity.occasion
    by_levels = boosts_of(held) if held else ()
    reached_by = NO_ONE
    if occasion is not None:
        reached_by = audiences.reached_by(occasion, ids_of(held))
    if occasion is None or not reached_by:
        return lambda _: by_levels
    country = occasion.member.country
    return lambda credit: (*by_levels, *campaigns.beside(credit, country, reached_by))


async def _activities(
    services: Services, conn: AsyncConnection, campaigns: CampaignBoosts, rows: Sequence[CreditToAccept]
) -> dict[MemberKey, list[_Activity]]:
    """The activities of members in the order of their times, with what decides about each: those that
    something may boost, and others of the same members.
    """
    by_member: dict[MemberKey, list[CreditToAccept]] = {}
    for row in sorted(rows, key=lambda row: row.credit.activity_at):
        by_member.setdefault((row.program_id, row.member_id), []).append(row)
    wanted = [
        member for member, own in by_member.items() if any(campaigns.may_boost(row.credit) for row in own)
    ]
    members = await members_of(services, conn, wanted) if wanted else {}
    found: dict[MemberKey, list[_Activity]] = {}
    moments: dict[tuple[str, str, frozenset[str], datetime, str], Moment] = {}
    for key, own in by_member.items():
        member, activities = members.get(key), []
        for rows_of_one in _by_activity(own):
            occasion, why = None, rows_of_one[0].credit.why
            if member is not None:
                rules = tuple([row.credit.rule_id for row in rows_of_one])
                occasion = campaigns.occasion(member, Activity(why.program, why.at, why.zone, rules))
            levels = NO_ONE if occasion is None else occasion.asked.levels
            asked = why.program, why.version, levels, why.at, why.zone
            if asked not in moments:
                groups = await groups_asked(services, why.program, why.version, levels)
                moments[asked] = Moment(groups, why.at, why.zone)
            activities.append(_Activity(rows_of_one, moments[asked], occasion))
        if any(each.occasion is not None or each.moment.groups for each in activities):
            found[key] = activities
    return found


def _by_activity(rows: Sequence[CreditToAccept]) -> Iterator[Sequence[CreditToAccept]]:
    if len(rows) == 1:
        yield rows
        return
    for _, activity in groupby(
        rows, key=lambda row: (row.credit.activity_at, row.credit.reference, id(row.credit.why.activity))
    ):
        yield list(activity)


class _Shared:
    """Boosted credits of members who have the same decision and the same boosts: each is made once."""

    def __init__(self) -> None:
        self._credits: dict[tuple[int, tuple[tuple[str, int | None], ...]], list[NewCredit]] = {}

    def credits(self, base: NewCredit, boosts: Boosts) -> list[NewCredit]:
        if not boosts:
            return []
        key = id(base), tuple((f"{boost.key} {boost.id}", boost.points) for boost in boosts)
        if key not in self._credits:
            self._credits[key] = [credit for credit, _ in beside(base, boosts)]
        return self._credits[key]

    def rows(self, base: CreditToAccept, boosts: Boosts) -> list[CreditToAccept]:
        with_id = base.with_id or base.id
        return [
            CreditToAccept(base.program_id, base.member_id, new_id(), credit, with_id=with_id)
            for credit in self.credits(base.credit, boosts)
        ]
