"""The boosts of activities: what is credited beside the credits that rules and definitions grant.

Only programs that boost anything pay for the read: one statement for all credits of a posting, of the levels
that are known, and another one of the facts of those members whose levels are not. Members are read where
they are, before the credits of this posting: an activity that lifts a member is boosted at the level before
it, the next one of the same posting at the level that it lifted them to.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.boost import Boost, beside
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.unit import POINTS
from engage.domain.keys import MemberKey
from engage.domain.tiers.definition import Metric, TierGroup, earliest
from engage.domain.tiers.fold import level_at
from engage.domain.tiers.movement import Cause, Movement
from engage.ledger.accept import CreditToAccept
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.store.tiers.known_levels import read_known_levels
from engage.store.tiers.levels import StoredTier
from engage.store.tiers.movements import Movements, read_movements

Boosted = dict[UUID, list[CreditToAccept]]  # Credits by the one that they are beside.

NO_MOVEMENTS: Final[Movements] = {"spend_minor": [], "points_earned": [], "status": []}


class Moment(Struct, frozen=True):
    """An instant in a zone at which something may be boosted, and the groups that may do so."""

    groups: Sequence[TierGroup]
    at: datetime
    zone: str


async def boost_credits(
    services: Services,
    conn: AsyncConnection,
    rows: Sequence[CreditToAccept],
    *,
    changed: Collection[MemberKey] = (),
) -> Boosted:
    """The credits to accept beside these. `changed` are members whose facts have changed in the transaction
    already. Raises Unavailable.
    """
    found = [row for row in rows if services.programs.boosts(row.program_id)]
    if not found:
        return {}
    groups = {
        (row.program_id, row.credit.why.version): await multiplying_groups(
            services, row.program_id, row.credit.why.version
        )
        for row in found
    }
    by_member: dict[MemberKey, list[CreditToAccept]] = {}
    for row in sorted(found, key=lambda row: row.credit.activity_at):
        by_member.setdefault((row.program_id, row.member_id), []).append(row)
    activities = {
        member: [
            (activity, Moment(groups[member[0], why.version], why.at, why.zone))
            for activity in _by_activity(credits)
            for why in [activity[0].credit.why]
        ]
        for member, credits in by_member.items()
    }
    single = {
        member: each[0][1] for member, each in activities.items() if len(each) == 1 and member not in changed
    }
    boosts_known = await known_boosts(conn, single)
    movements = await read_facts(
        conn,
        {
            member: [moment for _, moment in each]
            for member, each in activities.items()
            if member not in boosts_known
        },
    )
    boosted: Boosted = {}
    shared = _Shared()
    for member, each in activities.items():
        if member in boosts_known:
            for row in each[0][0]:
                boosted[row.id] = shared.rows(row, boosts_known[member])
            continue
        known = movements[member]
        for activity, moment in each:
            boosts = boosts_at(moment, known)
            for row in activity:
                boosted[row.id] = shared.rows(row, boosts)
            new = [each for row in activity for each in (row, *boosted[row.id])]
            add_credits(known, (row.credit for row in new))
    return boosted


async def multiplying_groups(services: Services, program_id: str, version: str) -> list[TierGroup]:
    """The groups of a program version of which some level multiplies. Raises Unavailable."""
    program = await services.programs.version(services.db, program_id, version)
    return [group for group in program.tier_groups if group.multiplies]


async def known_boosts(
    conn: AsyncConnection, moments: Mapping[MemberKey, Moment]
) -> dict[MemberKey, tuple[Boost, ...]]:
    """The boosts of members whose levels at a moment are known without a look at their facts."""
    if not moments:
        return {}
    stored = await read_known_levels(conn, list(moments))
    found = ((member, _stored_boosts(moments[member], tiers)) for member, tiers in stored.items())
    return {member: boosts for member, boosts in found if boosts is not None}


def _stored_boosts(moment: Moment, stored: Sequence[StoredTier]) -> tuple[Boost, ...] | None:
    """The boosts by stored levels, none of which is stored without facts; None where they do not say it."""
    if not stored:
        return boosts_at(moment, NO_MOVEMENTS)
    by_group = {tier.group_id: tier for tier in stored}
    boosts = []
    for group in moment.groups:
        tier = by_group.get(group.id)
        if tier is None or not tier.holds(moment.at, group.terms(moment.zone)):
            return None
        boosts.append(group.boost(group.level(tier.level)))
    return tuple(boost for boost in boosts if boost is not None)


async def read_facts(
    conn: AsyncConnection, moments: Mapping[MemberKey, Sequence[Moment]]
) -> dict[MemberKey, Movements]:
    """Read the movements from which the levels of members at these moments follow."""
    if not moments:
        return {}
    asked = [(group, moment) for each in moments.values() for moment in each for group in moment.groups]
    metrics = {group.metric for group, _ in asked}
    begin = earliest(group.counts_from(moment.at, moment.zone) for group, moment in asked)
    return await read_movements(conn, list(moments), metrics, earned_from=begin)


def boosts_at(moment: Moment, movements: Movements) -> tuple[Boost, ...]:
    """The boosts at a moment, by the movements until then."""
    levels = (
        (group, level_at(group, movements[group.metric], at=moment.at, zone=moment.zone))
        for group in moment.groups
    )
    return tuple(boost for group, level in levels if (boost := group.boost(level)) is not None)


def add_credits(movements: Movements, credits: Iterable[NewCredit]) -> None:
    """Add credits that are about to be accepted to what is known of their member."""
    for credit in credits:
        metric: Metric = "points_earned" if credit.unit == POINTS else "status"
        cause = Cause("credit", credit.source_key, credit.rule_id)
        movements[metric].append(Movement(credit.activity_at, credit.activity_at, credit.points, cause))


def _by_activity(rows: Collection[CreditToAccept]) -> Iterator[list[CreditToAccept]]:
    for _, activity in groupby(
        rows, key=lambda row: (row.credit.activity_at, row.credit.reference, id(row.credit.why.activity))
    ):
        yield list(activity)


class _Shared:
    """Boosted credits of members who have the same decision and the same boosts: each is made once."""

    def __init__(self) -> None:
        self._credits: dict[tuple[int, tuple[tuple[str, str], ...]], list[NewCredit]] = {}

    def rows(self, base: CreditToAccept, boosts: tuple[Boost, ...]) -> list[CreditToAccept]:
        key = id(base.credit), tuple((boost.id, boost.key) for boost in boosts)
        if key not in self._credits:
            self._credits[key] = [credit for credit, _ in beside(base.credit, boosts)]
        with_id = base.with_id or base.id
        return [
            CreditToAccept(base.program_id, base.member_id, new_id(), credit, with_id=with_id)
            for credit in self._credits[key]
        ]
