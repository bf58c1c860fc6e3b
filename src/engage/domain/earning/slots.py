"""Slots: the credits that limits allow.

A credit's source key names its slot, and the database holds each key once for a member. So a limit is kept
because no further key exists: "three a month" is `share_link:2026-11:1` to `:3`. The gate (`engage.gate`)
knows the free slots and answers fast; where it is wrong, the database is right.
"""

from datetime import datetime
from zlib import crc32

from msgspec import Struct

from engage.domain.activity import AnyActivity
from engage.domain.earning.limits import Slot
from engage.domain.earning.streak import Streak
from engage.domain.earning.terms import EarningTerms
from engage.domain.refusals import Refusal


class Grant(Struct, frozen=True):
    """A slot that the gate granted. `number` is the streak's length, or the slot's in its window, or 1."""

    slot: Slot
    number: int
    left: int = 0  # Free slots of the window after this one.


def wanted(
    terms: EarningTerms, activity: AnyActivity, *, at: datetime, zone: str, streak: Streak | None = None
) -> list[Slot]:
    """The slots for an activity at `at`, one of each rule that has a limit of its own.

    `streak` is the streak in the ledger, needed only where it runs in another zone than the member's. Empty
    where the program offers nothing for this activity.
    """
    slots = [rule.limit.slot(rule.id, activity, at, zone, streak) for rule in terms.rules.matching(activity)]
    return [slot for slot in slots if slot is not None]


def refused(terms: EarningTerms, slot: Slot) -> Refusal:
    """The refusal for a slot that is taken."""
    return slot.refusal(terms.version)


def short_code(name: str) -> int:
    """Sixteen bits for a rule's id or a zone's name, as the gate keeps them.

    `engage program check` refuses a document in which two rules have the same code, or two zones.
    """
    return crc32(name.encode()) & 0xFFFF
