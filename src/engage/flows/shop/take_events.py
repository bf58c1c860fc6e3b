"""Take the shop's events: each is done once, in any order, and is accepted, repeated or refused.

An event is done first, which is safe to repeat, as its business keys are unique. Its id is recorded last.
After a crash in between, the shop sends the event again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from engage.domain.activity import AppSignIn
from engage.domain.refusals import AccountClosed, Code, Refusal, Unavailable
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.members.cards import members_of_cards
from engage.flows.shop.events import (
    AnyEvent,
    AppSignedInEvent,
    MemberEvent,
    OrderEvent,
    RefusedEvent,
    RemovalEvent,
)
from engage.flows.shop.order_events import take_order_events
from engage.flows.shop.removals import take_removals
from engage.runtime.batch import decide_each, not_refused
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.members.members import Member
from engage.store.shop.events import add_events, read_recorded_events

EVENTS_PER_CALL = 1_000

# The shop's clock may be this much ahead of ours.
SKEW = timedelta(minutes=5)


class EventsTaken(Struct, frozen=True):
    accepted: int
    repeated: int
    refused: list[RefusedEvent]


async def take_events(services: Services, events: Sequence[AnyEvent]) -> EventsTaken:
    """Raises Unavailable: sending all of them again is safe then."""
    try:
        return await _take(services, events)
    except AccountClosed:
        # A member was just merged or erased.
        await services.members.refresh(services.db)
        return await _take(services, events)


async def _take(services: Services, events: Sequence[AnyEvent]) -> EventsTaken:
    now = services.clock.now()
    fresh = await _drop_recorded(services, events)
    known, refused = _split([event.id for event in fresh], await _find_members(services, fresh, now=now))
    sign_ins = [event for event in known if isinstance(event.event, AppSignedInEvent)]
    removals = [event for event in known if isinstance(event.event, RemovalEvent)]
    orders = [event for event in known if isinstance(event.event, OrderEvent)]
    answers = [
        *await _record_sign_ins(services, sign_ins),
        *await take_removals(services, removals, now=now),
    ]
    done, not_done = _split([event.event.id for event in (*sign_ins, *removals)], answers)
    accepted = 0
    if done:
        async with transaction(services.db) as conn:
            accepted = await add_events(conn, [event.row for event in done], now=now)
    # Order events are recorded in the transaction that does them.
    answers, recorded = await take_order_events(services, orders, now=now)
    _, not_taken = _split([event.event.id for event in orders], answers)
    accepted += recorded
    refused += [*not_done, *not_taken]
    # An event that another call has recorded at the same time is a repeat.
    return EventsTaken(accepted, len(events) - accepted - len(refused), refused)


def _split(
    ids: Sequence[str], answers: Sequence[MemberEvent | Refusal]
) -> tuple[list[MemberEvent], list[RefusedEvent]]:
    """(the events, the refusals with the ids of their events)"""
    refused = [
        RefusedEvent(id_, answer.code, answer.facts)
        for id_, answer in zip(ids, answers, strict=True)
        if isinstance(answer, Refusal)
    ]
    return not_refused(answers), refused


async def _drop_recorded(services: Services, events: Sequence[AnyEvent]) -> list[AnyEvent]:
    """The events that are not recorded yet. Of those with the same id the first counts."""
    first: dict[tuple[str, str], AnyEvent] = {}
    for event in events:
        first.setdefault((event.program, event.id), event)
    async with transaction(services.db) as conn:
        recorded = await read_recorded_events(conn, list(first))
    return [event for key, event in first.items() if key not in recorded]


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


async def _record_sign_ins(services: Services, events: list[MemberEvent]) -> list[MemberEvent | Refusal]:
    """Each event, or Refusal not_offered. Raises Unavailable."""
    activities = [
        MemberActivity(*event.member.key, AppSignIn(event_id=event.event.id), event.event.time)
        for event in events
    ]
    taken: list[MemberEvent | Refusal] = []
    for event, answer in zip(events, await record(services, activities), strict=True):
        match answer:
            case Unavailable():
                raise answer
            case Refusal(code=Code.NOT_OFFERED):
                taken.append(answer)
            case _:
                taken.append(event)  # Also a sign-in that earns nothing, as it was not the first one.
    return taken
