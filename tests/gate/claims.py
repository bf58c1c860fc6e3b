"""Claims of slots for one member."""

from datetime import UTC, date, datetime, time

from engage.domain import calendar
from engage.domain.calendar import WindowKind
from engage.domain.earning.limits import DailyStreak, OnceSlot, Slot, StreakSlot, WindowSlot
from engage.domain.earning.streak import Streak
from engage.gate import keys
from engage.gate.claims import ClaimResult, ClaimStatus, SlotRequest, StreakEvent
from engage.gate.client import Gate

PROGRAM = "eu-mi-points"
MADRID = "Europe/Madrid"
LONDON = "Europe/London"
PLAIN = DailyStreak()

GRANTED, REFUSED, UNKNOWN = ClaimStatus.GRANTED, ClaimStatus.REFUSED, ClaimStatus.UNKNOWN


def day(number: int) -> date:
    """Return a day counted from 1 November 2026, which is number 1."""
    return calendar.day_of_number(calendar.day_number(date(2026, 11, 1)) + number - 1)


def noon(number: int) -> datetime:
    return datetime.combine(day(number), time(12), UTC)


def tap(
    number: int, *, zone: str = MADRID, terms: DailyStreak = PLAIN, may_be_before: bool = False
) -> StreakSlot:
    return StreakSlot("fuel", day(number), zone, noon(number), terms, may_be_before)


def share(number: int = 1, *, count: int = 3, kind: WindowKind = "month", rule: str = "share") -> WindowSlot:
    return WindowSlot(rule, calendar.window(kind, noon(number), MADRID), count)


def review(product: str) -> OnceSlot:
    return OnceSlot("review", product)


async def claim(gate: Gate, slot: Slot, member: str = "m-1") -> tuple[int, int]:
    """Claim a slot; return (status, number)."""
    (answer,) = await gate.claim([SlotRequest(PROGRAM, member, slot)])
    return answer.status, answer.number


async def claim_all(gate: Gate, *slots: Slot, member: str = "m-1") -> list[ClaimResult]:
    return await gate.claim([SlotRequest(PROGRAM, member, slot) for slot in slots])


async def claim_day(gate: Gate, slot: StreakSlot, member: str = "m-1") -> StreakEvent:
    """Claim a day that is granted, and return the streak with it."""
    (answer,) = await gate.claim([SlotRequest(PROGRAM, member, slot)])
    assert answer.event is not None, answer
    return answer.event


async def confirm(
    gate: Gate, slot: Slot, number: int, member: str = "m-1", *, event: StreakEvent | None = None
) -> None:
    await gate.confirm([(SlotRequest(PROGRAM, member, slot, event), number)])


async def undo(gate: Gate, slot: Slot, member: str = "m-1") -> None:
    await gate.undo([SlotRequest(PROGRAM, member, slot)])


async def load(gate: Gate, *records: keys.Record, member: str = "m-1", today: int = 1) -> None:
    """Load a member with these records. Without records the member has used no slot."""
    period = calendar.day_number(day(today))
    month = day(today).year * 12 + day(today).month - 1
    await gate.load([(PROGRAM, member, list(records))], day=period, month=month)


async def taken(gate: Gate, slot: Slot, member: str = "m-1") -> int:
    """Claim and confirm a slot, as for an accepted credit; return its number."""
    (answer,) = await gate.claim([SlotRequest(PROGRAM, member, slot)])
    assert answer.status == GRANTED, (answer, slot)
    await confirm(gate, slot, answer.number, member, event=answer.event)
    return answer.number


def streak(last: int, days: int, *, zone: str = MADRID, seq: int | None = None) -> keys.StreakRecord:
    """The record of a streak that had `seq` events, by default as many as days."""
    run = Streak(last_day=day(last), days=days, zone=zone, at=noon(last), best=days)
    return keys.streak_record("fuel", run, days if seq is None else seq)


def places(*used: int, number: int = 1, rule: str = "share") -> keys.WindowRecord:
    return keys.window_record(rule, "month", share(number).period, list(used))


def capped_review(product: str, number: int = 1, *, daily: int = 2, monthly: int = 3) -> OnceSlot:
    """A review whose rule allows so many a day and so many a month."""
    further = (
        share(number, count=daily, kind="day", rule="review"),
        share(number, count=monthly, rule="review"),
    )
    return OnceSlot("review", product, further=further)
