"""Slots: the credits that limits allow.

A credit's source key names its slot, and the database holds each key once for a member. So a limit is kept
because no further key exists: "three a month" is `share_link:2026-11:1` to `:3`. The gate (`engage.gate`)
knows the free slots and answers fast; where it is wrong, the database is right. A rule's further limits have
slots too, which the database holds once for a member, a rule and a window.
"""

from collections.abc import Sequence
from datetime import datetime
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.activity import AnyActivity
from engage.domain.earning.due import OnConfirmation
from engage.domain.earning.limits import Slot, StreakSlot, WindowSlot
from engage.domain.earning.limits.per_window import LimitView, tightest
from engage.domain.earning.streak import Streak
from engage.domain.earning.terms import EarningTerms
from engage.domain.refusals import Code, Refusal


class Grant(Struct, frozen=True):
    """A slot that the gate granted. `number` is the length of a streak's run, or the slot's in its window, or
    1.

    `run` is the streak after a grant of one of its days.
    """

    slot: Slot
    number: int
    left: int = 0  # Free slots of the window after this one.
    further: "tuple[WindowGrant, ...]" = ()  # Those of the rule's further limits.
    run: Streak | None = None

    @property
    def windows(self) -> "tuple[WindowGrant, ...]":
        """The slots of windows that the grant holds."""
        return (
            (WindowGrant(self.slot, self.number, self.left), *self.further)
            if isinstance(self.slot, WindowSlot)
            else self.further
        )

    @property
    def limit(self) -> LimitView | None:
        """The limit that the member meets first after this grant; None where the rule has no window."""
        views = [LimitView(grant.slot.rule_id, grant.left, grant.slot.window.end) for grant in self.windows]
        return tightest(views) if views else None


def granted_day(slot: StreakSlot, run: Streak) -> Grant:
    """The grant of the newest day of a run."""
    if (slot.day, slot.zone, slot.may_be_before) != (run.last_day, run.zone, False):
        slot = replace(slot, day=run.last_day, zone=run.zone, may_be_before=False)
    return Grant(slot, run.days, run=run)


class WindowGrant(Struct, frozen=True):
    """Slot `number` of a window, with `left` free ones after it."""

    slot: WindowSlot
    number: int
    left: int = 0


def wanted(
    terms: EarningTerms, activity: AnyActivity, *, at: datetime, zone: str, streak: Streak | None = None
) -> list[Slot]:
    """The slots for an activity at `at`, one of each rule that has a limit of its own.

    `streak` is the streak in the ledger, needed only where it runs in another zone than the member's. Empty
    where the program offers nothing for this activity. Raises Refusal share_id_missing where the shop could
    not confirm the activity.
    """
    if activity.reference is None and any(
        isinstance(rule.due, OnConfirmation) for rule in terms.rules.matching(activity)
    ):
        raise Refusal(Code.SHARE_ID_MISSING)
    slots: list[Slot] = []
    for rule in terms.rules.matching(activity):
        slot = rule.limit.slot(rule.id, activity, at, zone, streak)
        if slot is not None and rule.also:
            slot = replace(slot, further=tuple(limit.open_slot(rule.id, at, zone) for limit in rule.also))
        if slot is not None:
            slots.append(slot)
    return slots


def refused(terms: EarningTerms, slot: Slot, taken: Sequence[WindowSlot] = ()) -> Refusal:
    """The refusal for a slot that is taken, or that has no place in `taken`, windows of its rule.

    It names the limit that stopped the activity; of several windows the one that lasts longest.
    """
    stopped: Slot = max(taken, key=lambda window: window.window.end) if taken else slot
    return stopped.refusal(terms.version)


def short_code(name: str) -> int:
    """Sixteen bits for a rule's id or a zone's name, as the gate keeps them.

    `engage program check` refuses a document in which two rules have the same code, or two zones.
    """
    return crc32(name.encode()) & 0xFFFF
