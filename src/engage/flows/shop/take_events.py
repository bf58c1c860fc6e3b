"""The shop's events: each does its work once, in any order, and says what became of it.

The work comes first and is safe to repeat, because its business keys are unique; the event's id is kept
last. So a crash in between is healed by the shop's sending the event again.
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
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.members.members import Member
from engage.store.shop.events import add_events, read_recorded_events

EVENTS_PER_CALL = 1_000

# The shop's clock may run ahead of ours a little; more than this is a mistake.
SKEW = timedelta(minutes=5)


class EventsTaken(Struct, frozen=True):
    accepted: int
    repeated: int
    refused: list[RefusedEvent]


async def take_events(services: Services, events: Sequence[AnyEvent]) -> EventsTaken:
    """Raises Unavailable when a part is away; sending all of them again is safe then."""
    try:
        return await _take(services, events)
    except AccountClosed:
        # One of their members was merged or erased just now.
        await services.members.refresh(services.db)
        return await _take(services, events)


async def _take(services: Services, events: Sequence[AnyEvent]) -> EventsTaken:
    now = services.clock.now()
    fresh, repeated = await _fresh(services, events)
    known, refused = await _known(services, fresh, now=now)
    done = await _sign_ins(services, [k for k in known if isinstance(k.event, AppSignedInEvent)], refused)
    done += await take_removals(
        services, [k for k in known if isinstance(k.event, RemovalEvent)], refused, now=now
    )
    accepted = 0
    if done:
        async with transaction(services.db) as conn:
            accepted = await add_events(conn, [one.seen for one in done], now=now)
    orders = [k for k in known if isinstance(k.event, OrderEvent)]
    # These keep their ids themselves, with what they did.
    taken, kept = await take_order_events(services, orders, refused, now=now)
    accepted += kept
    # Of an event that two calls bring at once, one of them has done the work.
    repeated += len(done) + taken - accepted
    return EventsTaken(accepted, repeated, refused)


async def _fresh(services: Services, events: Sequence[AnyEvent]) -> tuple[list[AnyEvent], int]:
    """(events not seen before, how many were); the first of the same id counts."""
    first: dict[tuple[str, str], AnyEvent] = {}
    for event in events:
        first.setdefault((event.program, event.id), event)
    async with transaction(services.db) as conn:
        seen = await read_recorded_events(conn, list(first))
    fresh = [event for key, event in first.items() if key not in seen]
    return fresh, len(events) - len(fresh)


async def _known(
    services: Services, events: Sequence[AnyEvent], *, now: datetime
) -> tuple[list[MemberEvent], list[RefusedEvent]]:
    cards = [(e.program, e.card_number) for e in events if e.member_id is None and e.card_number is not None]
    by_number = await members_of_cards(services, cards)
    keys = {
        id(e): (e.program, e.member_id or by_number.get((e.program, e.card_number or ""), "")) for e in events
    }
    members = await services.members.find(services.db, list(keys.values()))
    known, refused = [], []
    for event in events:
        member = members.get(keys[id(event)])
        code = _mistake(services, event, member, now=now)
        if code is not None or member is None:
            facts = {"program": event.program} if code is Code.UNKNOWN_PROGRAM else {}
            refused.append(RefusedEvent(event.id, code or Code.UNKNOWN_MEMBER, facts))
        else:
            known.append(MemberEvent(event, member))
    return known, refused


def _mistake(services: Services, event: AnyEvent, member: Member | None, *, now: datetime) -> Code | None:
    if not services.programs.versions(event.program):
        return Code.UNKNOWN_PROGRAM
    if event.member_id is None and event.card_number is None:
        return Code.MEMBER_MISSING
    if member is None:
        return Code.UNKNOWN_MEMBER
    if event.time > now + SKEW:
        return Code.TIME_IN_FUTURE
    return None


async def _sign_ins(
    services: Services, known: list[MemberEvent], refused: list[RefusedEvent]
) -> list[MemberEvent]:
    acts = [
        MemberActivity(k.member.program_id, k.member.member_id, AppSignIn(event_id=k.event.id), k.event.time)
        for k in known
    ]
    answers = await record(services, acts)
    done = []
    for one, answer in zip(known, answers, strict=True):
        match answer:
            case Unavailable():
                raise answer
            case Refusal(code=Code.NOT_OFFERED):
                refused.append(RefusedEvent(one.event.id, answer.code, answer.facts))
            case Refusal():
                # Not their first sign-in: it happened, and earns nothing.
                done.append(one)
            case Exception():
                raise answer
            case _:
                done.append(one)
    return done
