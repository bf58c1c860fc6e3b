"""Tiers as the home screen, the shop and operators see them."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from engage.domain.document.texts import text_in
from engage.domain.earning.order_facts import SKEW
from engage.domain.tiers.definition import Level, TierGroup
from engage.domain.tiers.fold import TierStanding, standing
from engage.domain.tiers.movement import Movement
from engage.store.tiers.movements import Movements


class NextLevel(Struct, frozen=True):
    """The next level, and how much is missing for it, in units of the group's metric."""

    level: str
    missing: int


class TierView(Struct, frozen=True):
    """A member's level in a group; null below the first one. `value` is what the window counts. `keeps_until`
    is when the level ends if nothing more is earned, null for never.
    """

    group: str
    level: str | None
    title: str | None
    value: int
    next: NextLevel | None
    keeps_until: datetime | None


class MemberTier(Struct, frozen=True):
    """A group, and a member's standing in it."""

    group: TierGroup
    standing: TierStanding

    @property
    def level(self) -> Level | None:
        return self.standing.level

    def view(self, language: str) -> TierView:
        following = self.standing.next
        return TierView(
            group=self.group.id,
            level=None if self.level is None else self.level.id,
            title=None if self.level is None else text_in(self.level.title, language),
            value=self.standing.value,
            next=None if following is None else NextLevel(following.id, self.standing.missing),
            keeps_until=self.standing.keeps_until,
        )


def moment(movements: Sequence[Movement], *, now: datetime) -> datetime:
    """The instant that is shown as now: that of the newest movement, if the shop's clock is ahead."""
    return max((m.at for m in movements if now < m.at <= now + SKEW), default=now)


def member_tiers(
    groups: Sequence[TierGroup], movements: Movements, *, now: datetime, zone: str
) -> list[MemberTier]:
    """A member's standing in each group, with what is known of the next minutes."""
    found = []
    for group in groups:
        at = moment(movements[group.metric], now=now)
        found.append(MemberTier(group, standing(group, movements[group.metric], at=at, zone=zone)))
    return found
