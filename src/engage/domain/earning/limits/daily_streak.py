"""Once a day, counting the days in a row."""

from datetime import date, datetime, timedelta
from typing import Any

from engage.domain import calendar
from engage.domain.activity import AnyActivity
from engage.domain.earning.limits.kind import LimitKind, LimitState, SlotKind, UsedSlots
from engage.domain.earning.on import On
from engage.domain.earning.streak import Streak, day_of, view
from engage.domain.earning.trace import TraceCode, TraceStep, step
from engage.domain.keys import streak_key
from engage.domain.refusals import Code, Refusal


class StreakSlot(SlotKind, frozen=True):
    """A day of a streak. The grant's number is the length of the streak with this day."""

    day: date
    zone: str

    @property
    def period(self) -> int:
        return calendar.day_number(self.day)

    def source_key(self, number: int) -> str:
        return streak_key(self.rule_id, self.day)

    def refusal(self, version: str) -> Refusal:
        next_tap_at = calendar.window("day", calendar.start_of_day(self.day, self.zone), self.zone).end
        return Refusal(Code.ALREADY_TAPPED, next_tap_at=next_tap_at, rule=self.rule_id, version=version)

    def inputs(self, number: int) -> dict[str, Any]:
        return {"day": self.day.isoformat(), "zone": self.zone, "streak_days": number}

    def paid(self, rule_id: str, number: int, points: int) -> TraceStep:
        return step(TraceCode.STREAK_DAY, rule=rule_id, streak_days=number, points=points)

    def day_before(self, number: int) -> str | None:
        return streak_key(self.rule_id, self.day - timedelta(days=number))


class DailyStreak(LimitKind, frozen=True, tag="daily_streak"):
    """Once a day, counting the days in a row."""

    def slot(
        self, rule_id: str, activity: AnyActivity, at: datetime, zone: str, streak: Streak | None
    ) -> StreakSlot:
        day, day_zone = day_of(streak, at, zone)
        return StreakSlot(rule_id, day, day_zone)

    def state(
        self, rule_id: str, on: On, used: UsedSlots, at: datetime, zone: str, version: str
    ) -> LimitState:
        streak = used.streaks.get(rule_id)
        shown = view(streak, at, zone, bonus_every_days=None)
        if shown.next_tap_at <= at:
            day, day_zone = day_of(streak, at, zone)
            return LimitState(1, calendar.start_of_day(day + timedelta(days=1), day_zone))
        refusal = Refusal(Code.ALREADY_TAPPED, next_tap_at=shown.next_tap_at, rule=rule_id, version=version)
        return LimitState(0, shown.next_tap_at, refusal)
