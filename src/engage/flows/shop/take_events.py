"""Take the shop's events: each is done once, in any order, and is accepted, repeated or refused.

An event and its id are recorded in one transaction. A sign-in is done first, which is safe to repeat, and
its id is recorded last.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from types import UnionType
from typing import Protocol

from msgspec import Struct

from engage.domain.activity import AppSignIn
from engage.domain.earning.order_facts import SKEW
from engage.domain.keys import EventKey
from engage.domain.refusals import AccountClosed, Code, Refusal, Unavailable
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.members.cards import members_of_cards
from engage.flows.shop.confirmations import take_confirmations
from engage.flows.shop.events import (
    AnyEvent,
    AppSignedInEvent,
    ConfirmationEvent,
    MemberEvent,
    OrderEvent,
    RemovalEvent,
    Taken,
    content_of,
)
from engage.flows.shop.order_events import take_order_events
from engage.flows.shop.removals import take_removals
from engage.runtime.batch import decide_each, in_parts, not_refused
from engage.runtime.database import one_statement, transaction
from engage.runtime.services import Services
from engage.store.members.members import Member
from engage.store.shop.events import EventContent, IdsTaken, add_events, read_recorded_events
from engage.store.shop.orders import OrdersAdded

EVENTS_PER_CALL = 1_000


class TakeBatch(Protocol):
    """Takes events of one kind, each alone, with their ids. Raises Unavailable, IdsTaken or OrdersAdded."""

    async def __call__(
        self, services: Services, events: Sequence[MemberEvent], /, *, now: datetime
    ) -> Taken: ...


class EventsTaken(Struct, frozen=True):
    """The number of events that were accepted, of those that had been before, and the refusals by the place
    of their event, from 0.
    """

    accepted: int
    repeated: int
    refused: dict[int, Refusal]


async def take_events(services: Services, events: Sequence[AnyEvent | Refusal]) -> EventsTaken:
    """Judges each event by itself; what could not even be read comes as its refusal.

    Of events with one id the first that is accepted has it. The same event again is a repeat, and another
    one is refused (id_reused). Raises Unavailable: sending all of them again is safe then.
    """
    now = services.clock.now()
    refused = {n: event for n, event in enumerate(events) if isinstance(event, Refusal)}
    waiting: dict[EventKey, list[tuple[int, AnyEvent]]] = {}
    for n, event in enumerate(events):
        if not isinstance(event, Refusal):
            waiting.setdefault((event.program, event.id), []).append((n, event))
    known = await _read_known(services, waiting)
    accepted = 0
    while waiting:
        for key in known.keys() & waiting.keys():
            others = [n for n, event in waiting.pop(key) if not content_of(event).is_same_as(known[key])]
            refused |= dict.fromkeys(others, Refusal(Code.ID_REUSED, field="id"))
        first = [with_id[0] for with_id in waiting.values()]
        answers, recorded = await _take_all(services, [event for _, event in first], now=now)
        accepted += recorded
        for (n, event), answer in zip(first, answers, strict=True):
            key = (event.program, event.id)
            if isinstance(answer, Refusal):
                # The same again has the same answer. Another event under this id has its own.
                again = [n for n, other in waiting[key] if other == event]
                refused |= dict.fromkeys(again, answer)
                waiting[key] = [(n, other) for n, other in waiting[key] if other != event]
            else:
                waiting[key].pop(0)
                if waiting[key]:
                    known[key] = content_of(event)
        waiting = {key: with_id for key, with_id in waiting.items() if with_id}
    return EventsTaken(accepted, len(events) - accepted - len(refused), dict(sorted(refused.items())))


async def _read_known(services: Services, ids: Collection[EventKey]) -> dict[EventKey, EventContent]:
    if not ids:
        return {}
    async with one_statement(services.db) as conn:
        return await read_recorded_events(conn, ids)


async def _take_all(
    services: Services, events: Sequence[AnyEvent], *, now: datetime
) -> tuple[list[MemberEvent | Refusal], int]:
    """Takes events with different ids: each or its refusal, in order, and how many were recorded."""
    answers: dict[EventKey, MemberEvent | Refusal] = {}
    recorded = 0
    kinds: list[tuple[UnionType | type[AnyEvent], TakeBatch]] = [
        (AppSignedInEvent, _take_sign_ins),
        (ConfirmationEvent, take_confirmations),
        (RemovalEvent, take_removals),
        (OrderEvent, take_order_events),
    ]
    for kind, take in kinds:
        of_kind = [event for event in events if isinstance(event, kind)]
        if of_kind:
            taken, count = await _take_kind(services, of_kind, take, now=now)
            answers |= taken
            recorded += count
    return [answers[event.program, event.id] for event in events], recorded


async def _take_kind(
    services: Services, events: Sequence[AnyEvent], take: TakeBatch, *, now: datetime
) -> tuple[dict[EventKey, MemberEvent | Refusal], int]:
    """Takes events of one kind, again when other calls get in the way, and each then has its own answer.

    Raises Unavailable.
    """
    reused: dict[EventKey, MemberEvent | Refusal] = {}
    recorded = 0
    was_closed = False

    async def take_part(part: Sequence[MemberEvent]) -> list[MemberEvent | Refusal]:
        nonlocal recorded
        taken = await take(services, part, now=now)
        recorded += taken.recorded
        return taken.answers

    while True:
        rest = [event for event in events if (event.program, event.id) not in reused]
        found = await _find_members(services, rest, now=now)
        try:
            taken = await in_parts(not_refused(found), take_part)
        except IdsTaken as error:
            reused |= dict.fromkeys(error.ids, Refusal(Code.ID_REUSED, field="id"))
        except OrdersAdded:
            pass  # Again: they are known now.
        except AccountClosed:
            # A member was just merged or erased.
            if was_closed:
                raise
            was_closed = True
            await services.members.refresh(services.db)
        else:
            done = iter(taken)
            answers = [each if isinstance(each, Refusal) else next(done) for each in found]
            by_id = {(event.program, event.id): each for event, each in zip(rest, answers, strict=True)}
            return reused | by_id, recorded


async def _find_members(
    services: Services, events: Sequence[AnyEvent], *, now: datetime
) -> list[MemberEvent | Refusal]:
    cards = [(e.program, e.card_number) for e in events if e.member_id is None and e.card_number is not None]
    by_number = await members_of_cards(services, cards)
    keys = [
        (event.program, event.member_id or by_number.get((event.program, event.card_number or ""), ""))
        for event in events
    ]
    members = await services.members.find(services.db, keys)
    return decide_each(
        zip(events, keys, strict=True),
        lambda found: _check(services, found[0], members.get(found[1]), now=now),
    )


def _check(services: Services, event: AnyEvent, member: Member | None, *, now: datetime) -> MemberEvent:
    """Raises Refusal unknown_program, member_missing, unknown_member or time_in_future."""
    services.programs.get(event.program)
    if event.member_id is None and event.card_number is None:
        raise Refusal(Code.MEMBER_MISSING)
    if member is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    if event.time > now + SKEW:
        raise Refusal(Code.TIME_IN_FUTURE)
    return MemberEvent(event, member)


async def _take_sign_ins(services: Services, events: Sequence[MemberEvent], *, now: datetime) -> Taken:
    """Records sign-ins, then their events: after a crash in between, the shop sends them again, which is
    safe.

    A refused event, as not_offered or unknown_member, may be sent again. One above a limit is done, and earns
    nothing. Raises Unavailable or IdsTaken.
    """
    activities = [
        MemberActivity(*event.member.key, AppSignIn(event_id=event.event.id), event.event.time)
        for event in events
    ]
    answers: list[MemberEvent | Refusal] = []
    for event, answer in zip(events, await record(services, activities), strict=True):
        match answer:
            case Unavailable():
                raise answer
            case Refusal(code=Code.ALREADY_REWARDED | Code.LIMIT_REACHED | Code.ALREADY_TAPPED):
                answers.append(event)
            case Refusal():
                answers.append(answer)
            case _:
                answers.append(event)
    async with transaction(services.db) as conn:
        done = [event.row for event in not_refused(answers)]
        return Taken(answers, await add_events(conn, done, now=now) if done else 0)
