"""A member's levels, what they are good for, and how they came about."""

from datetime import datetime

from msgspec import Struct

from engage.domain.tiers.benefits import joined
from engage.domain.tiers.definition import Benefit
from engage.domain.tiers.fold import LevelChange, history
from engage.domain.tiers.movement import Cause
from engage.flows.tiers.offered import offered_groups
from engage.flows.tiers.views import MemberTier, TierView, member_tiers, moment
from engage.runtime.database import one_statement
from engage.runtime.services import Services
from engage.store.tiers.movements import read_movements


class MemberBenefits(Struct, frozen=True, kw_only=True):
    """The benefits of all levels of a member together, and the levels. `member_id` is the survivor's."""

    program: str
    member_id: str
    benefits: dict[str, Benefit]
    tiers: list[TierView]


class LevelChangeView(Struct, frozen=True, kw_only=True):
    """A level of a group that began at a time; null is below the first one. The cause is an order, a credit
    or the end of a window.
    """

    group: str
    at: datetime
    before: str | None
    level: str | None
    cause: Cause


class MemberTierHistory(Struct, frozen=True, kw_only=True):
    """The levels of a member, and all changes that led to them, oldest first."""

    program: str
    member_id: str
    tiers: list[TierView]
    history: list[LevelChangeView]


async def read_benefits(
    services: Services, program_id: str, member_id: str, *, language: str
) -> MemberBenefits:
    """Read what the levels of a member are good for now. Raises Refusal unknown_member; Unavailable."""
    current, tiers, _ = await _read(services, program_id, member_id)
    return MemberBenefits(
        program=program_id,
        member_id=current,
        benefits=joined(tier.level for tier in tiers if tier.level is not None),
        tiers=[tier.view(language) for tier in tiers],
    )


async def read_tier_history(
    services: Services, program_id: str, member_id: str, *, language: str
) -> MemberTierHistory:
    """Read the levels of a member with their history. Raises Refusal unknown_member; Unavailable."""
    current, tiers, changes = await _read(services, program_id, member_id)
    return MemberTierHistory(
        program=program_id,
        member_id=current,
        tiers=[tier.view(language) for tier in tiers],
        history=sorted(changes, key=lambda change: change.at),
    )


async def _read(
    services: Services, program_id: str, member_id: str
) -> tuple[str, list[MemberTier], list[LevelChangeView]]:
    """(the survivor's id, the levels, their changes); without levels where the program offers none."""
    now = services.clock.now()
    member = await services.members.get(services.db, program_id, member_id)
    offered = offered_groups(services, member, at=now)
    if offered is None or not offered[0]:
        return member.member_id, [], []
    groups, zone = offered
    async with one_statement(services.db) as conn:
        read = await read_movements(conn, [member.key], {group.metric for group in groups})
    movements = read[member.key]
    changes = []
    for group in groups:
        at = moment(movements[group.metric], now=now)
        found = history(group, movements[group.metric], at=at, zone=zone)
        changes += [_change(group.id, change) for change in found]
    return member.member_id, member_tiers(groups, movements, now=now, zone=zone), changes


def _change(group_id: str, change: LevelChange) -> LevelChangeView:
    return LevelChangeView(
        group=group_id, at=change.at, before=change.before, level=change.level, cause=change.cause
    )
