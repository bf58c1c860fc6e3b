"""The levels of members at moments: as they are stored, or else as a fold of the facts.

The levels that are known are read with the other facts that decide (`engage.runtime.audiences`). Of members
whose levels are not, another statement reads the facts. Members are read where they are, before what is under
way: who decides about several activities of one member adds each of them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Final

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.boost import Boost
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.order_facts import OrderFacts
from engage.domain.earning.unit import POINTS
from engage.domain.keys import MemberKey
from engage.domain.tiers.definition import Level, Metric, TierGroup, earliest
from engage.domain.tiers.fold import level_at
from engage.domain.tiers.movement import Cause, Movement, order_movements
from engage.runtime.services import Services
from engage.store.tiers.levels import StoredTier
from engage.store.tiers.movements import Movements, read_movements

Levels = tuple[tuple[TierGroup, Level | None], ...]

NO_MOVEMENTS: Final[Movements] = {"spend_minor": [], "points_earned": [], "status": []}


class Moment(Struct, frozen=True):
    """An instant in a zone, and the groups of which the levels are asked then."""

    groups: Sequence[TierGroup]
    at: datetime
    zone: str


async def groups_asked(
    services: Services, program_id: str, version: str, levels: Collection[str] = ()
) -> list[TierGroup]:
    """The groups of a program version of which some level multiplies, or is one of these. Raises
    Unavailable.
    """
    program = await services.programs.version(services.db, program_id, version)
    return [
        group
        for group in program.tier_groups
        if group.multiplies or any(level.id in levels for level in group.levels)
    ]


def boosts_of(levels: Levels) -> tuple[Boost, ...]:
    return tuple(boost for group, level in levels if (boost := group.boost(level)) is not None)


def ids_of(levels: Levels) -> frozenset[str]:
    return frozenset(level.id for _, level in levels if level is not None)


class MemberLevels:
    """The levels of members, of whom `known` are known without a look at their facts, and of others the
    movements.
    """

    def __init__(self, known: Mapping[MemberKey, Levels], movements: dict[MemberKey, Movements]) -> None:
        self._known = known
        self._movements = movements

    def at(self, member: MemberKey, moment: Moment) -> Levels:
        if not moment.groups:
            return ()
        known = self._known.get(member)
        return levels_at(moment, self._movements[member]) if known is None else known

    def counts(self, member: MemberKey) -> bool:
        """True if the levels of a member follow from movements, to which more may be added."""
        return member in self._movements

    def add_credits(self, member: MemberKey, credits: Iterable[NewCredit]) -> None:
        """Add credits that are about to be accepted to what is known of their member."""
        movements = self._movements.get(member)
        for credit in credits if movements is not None else ():
            metric: Metric = "points_earned" if credit.unit == POINTS else "status"
            cause = Cause("credit", credit.source_key, credit.rule_id)
            moved = Movement(credit.activity_at, credit.activity_at, credit.points, cause)
            self._movements[member][metric].append(moved)

    def replace_order(self, member: MemberKey, order_id: str, facts: OrderFacts) -> None:
        """Count an order by these facts, in place of what was read of it."""
        movements = self._movements.get(member)
        if movements is not None:
            others = [movement for movement in movements["spend_minor"] if movement.cause.id != order_id]
            movements["spend_minor"] = [*others, *order_movements(order_id, facts)]


def single_moments(
    moments: Mapping[MemberKey, Sequence[Moment]], changed: Collection[MemberKey]
) -> dict[MemberKey, Moment]:
    """The members whose levels may be known without a look at their facts: neither those who have `changed`,
    nor those who have several moments.
    """
    return {
        member: each[0]
        for member, each in moments.items()
        if len(each) == 1 and each[0].groups and member not in changed
    }


async def levels_by(
    conn: AsyncConnection,
    moments: Mapping[MemberKey, Sequence[Moment]],
    single: Mapping[MemberKey, Moment],
    stored: Mapping[MemberKey, Sequence[StoredTier]],
) -> MemberLevels:
    """The levels of members at these moments. Where what is stored does not say it, it reads the facts."""
    known = known_levels(single, stored)
    asking = {
        member: found
        for member, each in moments.items()
        if member not in known and (found := [moment for moment in each if moment.groups])
    }
    return MemberLevels(known, await read_facts(conn, asking))


def known_levels(
    moments: Mapping[MemberKey, Moment], stored: Mapping[MemberKey, Sequence[StoredTier]]
) -> dict[MemberKey, Levels]:
    """The levels of members that are known at a moment without a look at their facts."""
    found: dict[MemberKey, Levels] = {}
    at_moment: dict[int, _StoredLevels] = {}
    for member, tiers in stored.items():
        moment = moments[member]
        # Members of one batch share their moments.
        by_rows = at_moment.get(id(moment))
        if by_rows is None:
            by_rows = at_moment[id(moment)] = _StoredLevels(moment)
        levels = by_rows.levels(tiers)
        if levels is not None:
            found[member] = levels
    return found


class _StoredLevels:
    """The levels at a moment by stored rows."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._terms = [group.terms(moment.zone) for group in moment.groups]

    def levels(self, stored: Sequence[StoredTier]) -> Levels | None:
        """None of a member's rows are stored without facts. Returns None where the rows do not say it."""
        if not stored:
            return self._without_facts
        by_group = {tier.group_id: tier for tier in stored}
        levels = []
        for group, terms in zip(self._moment.groups, self._terms, strict=True):
            tier = by_group.get(group.id)
            if tier is None or not tier.holds(self._moment.at, terms):
                return None
            levels.append((group, group.level(tier.level)))
        return tuple(levels)

    @cached_property
    def _without_facts(self) -> Levels:
        return levels_at(self._moment, NO_MOVEMENTS)


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


def levels_at(moment: Moment, movements: Movements) -> Levels:
    """The levels at a moment, by the movements until then."""
    return tuple(
        (group, level_at(group, movements[group.metric], at=moment.at, zone=moment.zone))
        for group in moment.groups
    )
