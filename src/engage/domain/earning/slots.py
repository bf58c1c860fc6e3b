"""Slots: every limit, said as the places that a credit can take.

A credit's source key names its slot, and the database holds each key once for a member, so a limit is kept
by there being no further key to use. "Three a month" is `share_link:2026-11:1` to `:3`. The gate
(`engage.gate`) knows which slots are free and answers fast; where it is wrong, the database is right.
"""

from datetime import date, datetime
from zlib import crc32

from msgspec import Struct

from engage.domain import calendar
from engage.domain.activity import AnyActivity
from engage.domain.earning.rules import DailyStreak, Once, OncePer, PerWindow, SameAs
from engage.domain.earning.streak import Streak, day_of, running
from engage.domain.earning.terms import EarningTerms


class StreakSlot(Struct, frozen=True):
    """Today's place in a streak. The grant tells the run's length with today in it."""

    rule_id: str
    day: date
    zone: str

    @property
    def period(self) -> int:
        return calendar.day_number(self.day)

    def source_key(self, granted: int) -> str:
        return f"{self.rule_id}:{self.day.isoformat()}"


class WindowSlot(Struct, frozen=True):
    """One of `count` places of a window. The grant tells which, from 1."""

    rule_id: str
    window: calendar.Window
    count: int

    @property
    def period(self) -> int:
        return self.window.period

    @property
    def prefix(self) -> str:
        return f"{self.rule_id}:{self.window.label}:"

    def source_key(self, granted: int) -> str:
        return f"{self.prefix}{granted}"


class OnceSlot(Struct, frozen=True):
    """A place that there is once: for the member, or for the member and a key."""

    rule_id: str
    key: str | None = None

    def source_key(self, granted: int) -> str:
        return self.rule_id if self.key is None else f"{self.rule_id}:{self.key}"


Slot = StreakSlot | WindowSlot | OnceSlot


class Grant(Struct, frozen=True):
    """A slot that the gate gave. `number` is the streak's length, or which place of the window, or 1."""

    slot: Slot
    number: int
    left: int = 0  # Free places of the window after this one.


def wanted(
    terms: EarningTerms, activity: AnyActivity, *, at: datetime, zone: str, streak: Streak | None = None
) -> list[Slot]:
    """The slots that an activity at `at` asks for, one a rule that has a limit of its own.

    `streak` is the run as the database knows it, needed only where it runs in another zone than the member's.
    Empty when the program offers nothing for this activity.
    """
    slots: list[Slot] = []
    for rule in terms.rules.matching(activity):
        match rule.limit:
            case DailyStreak():
                day, day_zone = day_of(streak, at, zone)
                slots.append(StreakSlot(rule.id, day, day_zone))
            case PerWindow(count=count, window=kind):
                slots.append(WindowSlot(rule.id, calendar.window(kind, at, zone), count))
            case Once():
                slots.append(OnceSlot(rule.id))
            case OncePer(field=name):
                slots.append(OnceSlot(rule.id, getattr(activity, name)))
            case SameAs():
                pass
    return slots


def short_code(name: str) -> int:
    """Sixteen bits for a rule's id or a zone's name, as the gate keeps them.

    `engage program check` refuses a document in which two rules have the same code. Two zones with the same
    code would only be a streak whose zone is not noticed to have changed: no two zones of one document may.
    """
    return crc32(name.encode()) & 0xFFFF


def restored_streak(streak: Streak, *, at: datetime, zone: str) -> tuple[int, int, str]:
    """What the gate is given to know of a streak: (last day's number, days, zone).

    A run that has ended is given with 0 days in the member's own zone, so that the next day begins at 1
    and a day that was used stays used.
    """
    last = calendar.day_number(streak.last_day)
    if running(streak, at):
        return last, streak.days, streak.zone
    return last, 0, zone
