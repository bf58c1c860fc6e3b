"""Once in a member's life."""

from datetime import datetime
from typing import Any

from engage.domain.activity import AnyActivity
from engage.domain.earning.limits.kind import LimitKind, LimitState, SlotKind, UsedSlots
from engage.domain.earning.on import On
from engage.domain.earning.streak import Streak
from engage.domain.earning.trace import TraceCode, TraceStep, step
from engage.domain.keys import once_key
from engage.domain.refusals import Code, Refusal


class OnceSlot(SlotKind, frozen=True):
    """A single slot: for the member, or for the member and a key."""

    key: str | None = None

    def source_key(self, number: int) -> str:
        return once_key(self.rule_id, self.key)

    def refusal(self, version: str) -> Refusal:
        return Refusal(Code.ALREADY_REWARDED, rule=self.rule_id, version=version)

    def inputs(self, number: int) -> dict[str, Any]:
        return {} if self.key is None else {"key": self.key}

    def paid(self, rule_id: str, number: int, points: int) -> TraceStep:
        if self.key is None:
            return step(TraceCode.ONCE, rule=rule_id, points=points)
        return step(TraceCode.ONCE_PER, rule=rule_id, key=self.key, points=points)


class Once(LimitKind, frozen=True, tag="once"):
    """Once in a member's life."""

    def slot(
        self, rule_id: str, activity: AnyActivity, at: datetime, zone: str, streak: Streak | None
    ) -> OnceSlot:
        return OnceSlot(rule_id)

    def once_key(self, rule_id: str, on: On) -> str:
        return once_key(rule_id)

    def state(
        self, rule_id: str, on: On, used: UsedSlots, at: datetime, zone: str, version: str
    ) -> LimitState:
        return state_of(OnceSlot(rule_id), used, version)


def state_of(slot: OnceSlot, used: UsedSlots, version: str) -> LimitState:
    if slot.source_key(1) in used.keys:
        return LimitState(0, None, slot.refusal(version))
    return LimitState(1)
