"""A bonus on every n-th day of a streak."""

from typing import Annotated, ClassVar

from msgspec import Meta

from engage.domain.document.fields import Points
from engage.domain.earning.awards.kind import AwardKind, Earned
from engage.domain.earning.limits.kind import SlotKind
from engage.domain.earning.trace import TraceCode, step


class EveryNthDay(AwardKind, frozen=True, tag="every_nth_day"):
    """On day `days` of a streak, and again on day 2 × `days`, and so on."""

    for_activities: ClassVar[bool] = True

    points: Points
    days: Annotated[int, Meta(ge=2, le=366)]

    def for_slot(self, rule_id: str, slot: SlotKind, number: int) -> Earned:
        if number % self.days == 0:
            return self.points, step(
                TraceCode.STREAK_BONUS,
                rule=rule_id,
                streak_days=number,
                every_days=self.days,
                points=self.points,
            )
        bonus_day = -(-number // self.days) * self.days
        return 0, step(TraceCode.STREAK_BONUS_AHEAD, rule=rule_id, streak_days=number, bonus_day=bonus_day)
