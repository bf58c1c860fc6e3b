"""Once a day, counting the days in a row."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Any

from msgspec import Meta

from engage.domain import calendar
from engage.domain.activity import AnyActivity
from engage.domain.document.errors import Problem
from engage.domain.earning.freezes import FreezeTerms
from engage.domain.earning.limits.kind import LimitedRule, LimitKind, LimitState, SlotKind, UsedSlots
from engage.domain.earning.on import On
from engage.domain.earning.streak import Streak, day_of, in_grace, view
from engage.domain.earning.trace import TraceCode, TraceStep, step
from engage.domain.keys import streak_key
from engage.domain.refusals import Code, Refusal


class StreakSlot(SlotKind, frozen=True):
    """A day of a streak. The grant's number is the length of the run with this day.

    `at` is the time of the activity. `may_be_before`: it counts for the day before `day` where that has none.
    """

    day: date
    zone: str
    at: datetime
    terms: "DailyStreak"
    may_be_before: bool = False

    @property
    def period(self) -> int:
        return calendar.day_number(self.day)

    def source_key(self, number: int) -> str:
        return streak_key(self.rule_id, self.day)

    def refusal(self, version: str) -> Refusal:
        next_tap_at = calendar.start_of_day(self.day + timedelta(days=1), self.zone)
        return Refusal(Code.ALREADY_TAPPED, next_tap_at=next_tap_at, rule=self.rule_id, version=version)

    def inputs(self, number: int) -> dict[str, Any]:
        return {"day": self.day.isoformat(), "zone": self.zone, "streak_days": number}

    def paid(self, rule_id: str, number: int, points: int) -> TraceStep:
        return step(TraceCode.STREAK_DAY, rule=rule_id, streak_days=number, points=points)


class DailyStreak(LimitKind, frozen=True, tag="daily_streak"):
    """Once a day, counting the days in a row. `freezes` cover missed days. Before `grace_until` the day
    before is still open.
    """

    freezes: FreezeTerms | None = None
    grace_until: (
        Annotated[
            str,
            Meta(
                pattern=r"^(0[0-9]|1[01]):[0-5][0-9](?!\n)$",
                description='a local time before noon, such as "03:00"',
            ),
        ]
        | None
    ) = None

    def slot(
        self, rule_id: str, activity: AnyActivity, at: datetime, zone: str, streak: Streak | None
    ) -> StreakSlot:
        _, day_zone = day_of(streak, at, zone, self)
        day = calendar.local_date(at, day_zone)
        before = self.grace_until is not None and in_grace(at, day_zone, self)
        return StreakSlot(rule_id, day, day_zone, at, self, before)

    def state(
        self, rule_id: str, on: On, used: UsedSlots, at: datetime, zone: str, version: str
    ) -> LimitState:
        streak = used.streaks.get(rule_id)
        shown = view(streak, at, zone, self, bonus_every_days=None)
        if shown.next_tap_at <= at:
            day, day_zone = day_of(streak, at, zone, self)
            return LimitState(1, calendar.start_of_day(day + timedelta(days=1), day_zone))
        refusal = Refusal(Code.ALREADY_TAPPED, next_tap_at=shown.next_tap_at, rule=rule_id, version=version)
        return LimitState(0, shown.next_tap_at, refusal)

    def problems(self, on: On, path: str, others: Mapping[str, LimitedRule]) -> Iterator[Problem]:
        if self.freezes is not None:
            yield from self.freezes.problems(f"{path}.limit.freezes")
