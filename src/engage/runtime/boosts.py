"""The boosts of activities: what is credited beside the credits that rules and definitions grant.

Only programs that boost anything pay for the read: one statement for all credits of a posting. Members are
read where they are, before the credits of this posting: an activity that lifts a member is boosted at the
level before it, the next one of the same posting at the level that it lifted them to.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.boost import Boost, beside
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.unit import POINTS
from engage.domain.keys import MemberKey
from engage.domain.tiers.definition import Metric, TierGroup
from engage.domain.tiers.fold import level_at
from engage.domain.tiers.movement import Cause, Movement
from engage.ledger.accept import CreditToAccept
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.store.tiers.movements import Movements, read_movements

Boosted = dict[UUID, list[CreditToAccept]]  # Credits by the one that they are beside.


async def boost_credits(services: Services, conn: AsyncConnection, rows: Sequence[CreditToAccept]) -> Boosted:
    """The credits to accept beside these. Raises Unavailable."""
    found = [row for row in rows if services.programs.boosts(row.program_id)]
    if not found:
        return {}
    groups = {
        (row.program_id, row.credit.why.version): await multiplying_groups(
            services, row.program_id, row.credit.why.version
        )
        for row in found
    }
    metrics = {group.metric for each in groups.values() for group in each}
    by_member: dict[MemberKey, list[CreditToAccept]] = {}
    for row in sorted(found, key=lambda row: row.credit.activity_at):
        by_member.setdefault((row.program_id, row.member_id), []).append(row)
    movements = await read_movements(conn, list(by_member), metrics)
    boosted: Boosted = {}
    shared = _Shared()
    for member, credits in by_member.items():
        known = movements[member]
        for activity in _by_activity(credits):
            why = activity[0].credit.why
            boosts = boosts_at(groups[member[0], why.version], known, at=why.at, zone=why.zone)
            for row in activity:
                boosted[row.id] = shared.rows(row, boosts)
            new = [each for row in activity for each in (row, *boosted[row.id])]
            add_credits(known, (row.credit for row in new))
    return boosted


async def multiplying_groups(services: Services, program_id: str, version: str) -> list[TierGroup]:
    """The groups of a program version of which some level multiplies. Raises Unavailable."""
    program = await services.programs.version(services.db, program_id, version)
    return [group for group in program.tier_groups if group.multiplies]


def boosts_at(
    groups: Iterable[TierGroup], movements: Movements, *, at: datetime, zone: str
) -> tuple[Boost, ...]:
    """The boosts of an activity at `at`, by the movements until then."""
    levels = ((group, level_at(group, movements[group.metric], at=at, zone=zone)) for group in groups)
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
            self._credits[key] = beside(base.credit, boosts)
        with_id = base.with_id or base.id
        return [
            CreditToAccept(base.program_id, base.member_id, new_id(), credit, with_id=with_id)
            for credit in self._credits[key]
        ]
