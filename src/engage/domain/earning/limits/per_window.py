"""Several times in a calendar window of the member's zone."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from engage.domain import calendar
from engage.domain.activity import AnyActivity
from engage.domain.calendar import WindowKind
from engage.domain.earning.limits.kind import LimitKind, LimitState, SlotKind, UsedSlots
from engage.domain.earning.on import On
from engage.domain.earning.streak import Streak
from engage.domain.earning.trace import TraceCode, TraceStep, step
from engage.domain.keys import window_key
from engage.domain.refusals import Code, Refusal

# The gate keeps the slots of a window as bits of one 32-bit number.
SLOTS_PER_WINDOW: Final = 32


class LimitView(Struct, frozen=True):
    """A limit on a screen: `remaining` slots of the window that ends at `resets_at`."""

    rule: str
    remaining: int
    resets_at: datetime


def tightest(views: Sequence[LimitView]) -> LimitView:
    """The limit of a rule that the member meets first: with the fewest slots, or of several with so few the
    one that lasts longest.
    """
    least = min(view.remaining for view in views)
    return max((view for view in views if view.remaining == least), key=lambda view: view.resets_at)


class WindowSlot(SlotKind, frozen=True):
    """One of the `count` slots of a window. The grant has its number, from 1."""

    window: calendar.Window
    count: int

    @property
    def period(self) -> int:
        return self.window.period

    def source_key(self, number: int) -> str:
        return window_key(self.rule_id, self.window.label, number)

    def refusal(self, version: str) -> Refusal:
        return Refusal(
            Code.LIMIT_REACHED,
            limit=self.count,
            window=self.window.kind,
            resets_at=self.window.end,
            rule=self.rule_id,
            version=version,
        )

    def inputs(self, number: int) -> dict[str, Any]:
        return {"window": self.window.label, "slot": number, "of": self.count}

    def paid(self, rule_id: str, number: int, points: int) -> TraceStep:
        return step(
            TraceCode.WINDOW_SLOT,
            rule=rule_id,
            slot=number,
            of=self.count,
            window=self.window.label,
            points=points,
        )

    def view(self, used: Iterable[int]) -> LimitView:
        """`used` are numbers of slots. Those beyond the count are of a version that offered more."""
        remaining = self.count - sum(number <= self.count for number in used)
        return LimitView(self.rule_id, remaining, self.window.end)


class PerWindow(LimitKind, frozen=True, tag="per_window"):
    """So many times in a calendar window of the member's zone."""

    count: Annotated[int, Meta(ge=1, le=SLOTS_PER_WINDOW)]
    window: WindowKind

    def slot(
        self, rule_id: str, activity: AnyActivity, at: datetime, zone: str, streak: Streak | None
    ) -> WindowSlot:
        return self.open_slot(rule_id, at, zone)

    def state(
        self, rule_id: str, on: On, used: UsedSlots, at: datetime, zone: str, version: str
    ) -> LimitState:
        slot = self.open_slot(rule_id, at, zone)
        remaining = slot.view(used.numbers.get((rule_id, self.window), ())).remaining
        return LimitState(remaining, slot.window.end, None if remaining else slot.refusal(version))

    def open_slot(self, rule_id: str, at: datetime, zone: str) -> WindowSlot:
        """A slot of the window that contains `at`."""
        return WindowSlot(rule_id, calendar.window(self.window, at, zone), self.count)
