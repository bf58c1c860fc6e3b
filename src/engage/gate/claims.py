"""Claims of slots and their confirmations as library.lua takes them, and its answers.

The members of a batch mostly want the same slot. So a call has each slot once, and results that are equal are
one object: what follows from it can be decided once, too.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from engage.domain import calendar
from engage.domain.earning.limits import OnceSlot, Slot, StreakSlot, WindowSlot
from engage.domain.earning.slots import Grant, WindowGrant, granted_day, short_code
from engage.domain.earning.streak import Streak
from engage.gate import keys


class ClaimStatus(IntEnum):
    GRANTED = 0
    REFUSED = 1
    UNKNOWN = 2
    AWAY = 3  # The server of the member cannot be reached.


ABSENT = -1  # What is left for a claim that is unknown because the gate has nothing of the member.


class FurtherResult(Struct, frozen=True):
    """The claim of a slot of a further limit."""

    status: int
    number: int
    left: int


class StreakEvent(Struct, frozen=True):
    """A streak after an event, and how many events it has had."""

    streak: Streak
    seq: int


class ClaimResult(Struct, frozen=True):
    """`number` and `left` are those of the grant (`engage.domain.earning.slots.Grant`). `own` is the status
    without the further slots: nothing is claimed unless all are granted. `event` is that of a streak whose
    own slot is granted. `grant` is None unless the whole is granted.
    """

    own: int
    number: int = 0
    left: int = 0
    further: tuple[FurtherResult, ...] = ()
    event: StreakEvent | None = None
    grant: Grant | None = None

    @property
    def status(self) -> int:
        """The status of the whole. Which windows refuse it is known only when all are known."""
        return max(self.own, *(one.status for one in self.further)) if self.further else self.own

    @property
    def is_absent(self) -> bool:
        """True if the gate has no records of the member, so that there are none to forget."""
        return self.own == ClaimStatus.UNKNOWN and self.left == ABSENT

    def taken(self, slot: Slot) -> list[WindowSlot]:
        """The windows that refuse `slot`; none where its own limit refuses it and is no window."""
        own = [slot] if isinstance(slot, WindowSlot) and self.own == ClaimStatus.REFUSED else []
        if self.own == ClaimStatus.REFUSED and not own:
            return []
        further = zip(slot.further, self.further, strict=True)
        return [*own, *(s for s, one in further if one.status == ClaimStatus.REFUSED)]


UNKNOWN = ClaimResult(ClaimStatus.UNKNOWN)
AWAY = ClaimResult(ClaimStatus.AWAY)


class SlotRequest(Struct, frozen=True):
    """A slot for a member. `event`: the event of a streak that is confirmed."""

    program_id: str
    member_id: str
    slot: Slot
    event: StreakEvent | None = None

    @property
    def is_once(self) -> bool:
        """True if the slot is a key of its own, and not a part of the member's hash."""
        return isinstance(self.slot, OnceSlot)

    @property
    def key(self) -> str:
        return self.once_key if self.is_once else self.bucket

    @property
    def bucket(self) -> str:
        return keys.bucket(self.program_id, self.member_id)

    @property
    def once_key(self) -> str:
        return keys.once(self.program_id, self.member_id, self.slot.source_key(1))


class ClaimCall:
    """A call of `engage_claim`: its keys, its argument, and the results that its answer means."""

    def __init__(self, requests: Sequence[SlotRequest]) -> None:
        self._requests = requests
        self.names: list[str] = []
        self._slots: list[tuple[Any, ...]] = []
        self._claims: list[str | int] = []
        self._add_claims()
        self._further = self._limits()

    def argument(self, *, hash_ttl_s: int, once_ttl_s: int) -> tuple[Any, ...]:
        further = (self._further,) if self._further else ()
        return hash_ttl_s, once_ttl_s, self._slots, self._claims, *further

    def _add_claims(self) -> None:
        numbers: dict[int, tuple[int, bool]] = {}
        for request in self._requests:
            slot = id(request.slot)
            if slot not in numbers:
                self._slots.append(_described(request.slot))
                numbers[slot] = len(self._slots), request.is_once
            number, is_once = numbers[slot]
            self.names.append(request.once_key if is_once else request.bucket)
            self._claims += (request.member_id, number)

    def _limits(self) -> dict[int, list[int | str]]:
        """The further limits of claims by their numbers. Adds the keys of hashes that no claim has."""
        limits = {}
        for n, request in enumerate(self._requests, start=1):
            if not request.slot.further:
                continue
            at = n
            if request.is_once:
                self.names.append(request.bucket)
                at = len(self.names)
            places: list[int | str] = [at, request.member_id, short_code(request.slot.rule_id)]
            for slot in request.slot.further:
                places += [keys.WINDOW_KINDS[slot.window.kind], slot.period, slot.count]
            limits[n] = places
        return limits

    def results(self, flat: Sequence[int]) -> list[ClaimResult]:
        """A result for each request, in order."""
        results = []
        known: dict[tuple[int, ...], ClaimResult] = {}
        own, behind = 0, 3 * len(self._requests)
        run = behind + 3 * sum(len(limits) // 3 - 1 for limits in self._further.values())
        for request in self._requests:
            slot, places = request.slot, flat[:0]
            outcome: tuple[int, ...] = (id(slot), flat[own], flat[own + 1], flat[own + 2])
            if slot.further:
                places = flat[behind : behind + 3 * len(slot.further)]
                behind += len(places)
            if flat[own] == ClaimStatus.GRANTED and isinstance(slot, StreakSlot):
                outcome += tuple(flat[run : run + 5])
                run += 5
            outcome += tuple(places)
            if outcome not in known:
                known[outcome] = _result(slot, outcome[1 : len(outcome) - len(places)], places)
            results.append(known[outcome])
            own += 3
        return results


class ConfirmCall:
    """A call of `engage_confirm`: its keys, its claims, and the records that these confirm."""

    def __init__(self, granted: Sequence[tuple[SlotRequest, int]]) -> None:
        self.names: list[str] = []
        self.claims: list[str | int] = []
        self.records: list[bytes] = []
        numbers: dict[tuple[int, ...], tuple[int, bool]] = {}
        for request, number in granted:
            record: tuple[int, ...] = id(request.slot), number
            if request.event is not None:
                record += id(request.event.streak), request.event.seq
            if record not in numbers:
                self.records.append(_confirmed(request, number))
                numbers[record] = len(self.records), request.is_once
            at, is_once = numbers[record]
            self.names.append(request.once_key if is_once else request.bucket)
            self.claims += (request.member_id, at)


def _described(slot: Slot) -> tuple[Any, ...]:
    """A slot as library.lua has it."""
    match slot:
        case StreakSlot(rule_id=rule_id):
            second, zone = keys.seconds(slot.at), short_code(slot.zone)
            freezes = () if (offer := slot.terms.freezes) is None else offer.numbers
            return "s", short_code(rule_id), slot.period, zone, second, slot.may_be_before, freezes
        case WindowSlot(rule_id=rule_id, window=window, count=count):
            return "w", short_code(rule_id), keys.WINDOW_KINDS[window.kind], window.period, count
        case OnceSlot():
            return ("k",)


def _result(slot: Slot, own: Sequence[int], places: Sequence[int]) -> ClaimResult:
    """`own` is the answer to the slot itself, with the values of a streak; `places` are of its windows."""
    status, number, left, *run = own
    further = tuple(FurtherResult(*places[at : at + 3]) for at in range(0, len(places), 3))
    event = _event(slot, number, *run) if run and isinstance(slot, StreakSlot) else None
    grant = None
    if status == ClaimStatus.GRANTED and all(one.status == ClaimStatus.GRANTED for one in further):
        grant = _grant(slot, number, left, further, event)
    return ClaimResult(status, number, left, further, event, grant)


def _event(
    slot: StreakSlot, days: int, period: int, frozen: int, freezes: int, best: int, seq: int
) -> StreakEvent:
    streak = Streak(
        last_day=slot.day if period == slot.period else calendar.day_of_number(period),
        days=days,
        zone=slot.zone,
        at=slot.at,
        frozen=frozen,
        freezes=None if freezes == keys.NO_FREEZES else freezes,
        best=best,
    )
    return StreakEvent(streak, seq)


def _grant(
    slot: Slot, number: int, left: int, further: Sequence[FurtherResult], event: StreakEvent | None
) -> Grant:
    """The grant of `slot`, which all limits allow."""
    granted = Grant(slot, number, left)
    if isinstance(slot, StreakSlot):
        assert event is not None
        granted = granted_day(slot, event.streak)
    if not further:
        return granted
    places = zip(slot.further, further, strict=True)
    return replace(granted, further=tuple(WindowGrant(w, one.number, one.left) for w, one in places))


def _confirmed(request: SlotRequest, number: int) -> bytes:
    """The record of a slot that the database has; empty for a key of its own."""
    match request.slot:
        case StreakSlot(rule_id=rule_id):
            assert request.event is not None
            return keys.pack([keys.streak_record(rule_id, request.event.streak, request.event.seq)])
        case WindowSlot(rule_id=rule_id, window=window):
            return keys.pack([keys.window_record(rule_id, window.kind, window.period, [number])])
        case OnceSlot():
            return b""
