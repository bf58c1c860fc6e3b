"""The shop's events: each does its work once, in any order, and says what became of it.

The work comes first and is safe to repeat, because its business keys are unique; the event's id is kept
last. So a crash in between is healed by the shop's sending the event again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from msgspec import Meta, Struct

from engage.domain.activity import AppSignIn, Identifier, MemberId, review_reference, share_reference
from engage.domain.program import ProgramId
from engage.domain.refusal import Refusal, Unavailable
from engage.flows.ids import new_id
from engage.flows.parts import Parts
from engage.flows.record_activity import Act, record
from engage.flows.register_member import CardNumber
from engage.flows.transaction import transaction
from engage.ledger.take_back import Removal, take_back
from engage.store.events import SeenEvent, add_events, seen_events
from engage.store.members import Member, by_card

EVENTS_PER_CALL = 1_000

# The shop's clock may run ahead of ours a little; more than this is a mistake.
SKEW = timedelta(minutes=5)


class ReviewRemoved(Struct, frozen=True, forbid_unknown_fields=True):
    review_id: Identifier


class ShareRemoved(Struct, frozen=True, forbid_unknown_fields=True):
    share_id: Identifier


class NoFacts(Struct, frozen=True, forbid_unknown_fields=True):
    """An event that says all by its type."""


class Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """Something that happened at the shop. Names its member by id or by card number."""

    id: Identifier
    time: Annotated[datetime, Meta(tz=True)]
    program: ProgramId
    member_id: MemberId | None = None
    card_number: CardNumber | None = None


class AppSignedInEvent(Event, frozen=True, kw_only=True, tag="app.signed_in"):
    """The member signed in to the store app."""

    data: NoFacts = NoFacts()


class ReviewRemovedEvent(Event, frozen=True, kw_only=True, tag="review.removed"):
    """A review is gone; what it earned is taken back."""

    data: ReviewRemoved


class ShareRemovedEvent(Event, frozen=True, kw_only=True, tag="share.removed"):
    """A share is gone; what it earned is taken back."""

    data: ShareRemoved


AnyEvent = AppSignedInEvent | ReviewRemovedEvent | ShareRemovedEvent


class RefusedEvent(Struct, frozen=True):
    id: str
    code: str
    facts: dict[str, Any]


class EventsTaken(Struct, frozen=True):
    accepted: int
    repeated: int
    refused: list[RefusedEvent]


class _Known(Struct, frozen=True):
    """An event whose member was found."""

    event: AnyEvent
    member: Member


async def take_events(parts: Parts, events: Sequence[AnyEvent]) -> EventsTaken:
    """Raises Unavailable when a part is away; sending all of them again is safe then."""
    now = parts.clock.now()
    fresh, repeated = await _fresh(parts, events)
    known, refused = await _known(parts, fresh, now=now)
    done = await _sign_ins(parts, [k for k in known if isinstance(k.event, AppSignedInEvent)], refused)
    done += await _removals(
        parts,
        [k for k in known if isinstance(k.event, ReviewRemovedEvent | ShareRemovedEvent)],
        refused,
        now=now,
    )
    if done:
        seen = [
            SeenEvent(k.member.program_id, k.event.id, _type(k.event), k.member.member_id, k.event.time)
            for k in done
        ]
        async with transaction(parts.db) as conn:
            await add_events(conn, seen, now=now)
    return EventsTaken(len(done), repeated, refused)


async def _fresh(parts: Parts, events: Sequence[AnyEvent]) -> tuple[list[AnyEvent], int]:
    """(events not seen before, how many were); the first of the same id counts."""
    first: dict[tuple[str, str], AnyEvent] = {}
    for event in events:
        first.setdefault((event.program, event.id), event)
    async with transaction(parts.db) as conn:
        seen = await seen_events(conn, list(first))
    fresh = [event for key, event in first.items() if key not in seen]
    return fresh, len(events) - len(fresh)


async def _known(
    parts: Parts, events: Sequence[AnyEvent], *, now: datetime
) -> tuple[list[_Known], list[RefusedEvent]]:
    cards = [(e.program, e.card_number) for e in events if e.member_id is None and e.card_number is not None]
    by_number: dict[tuple[str, str], str] = {}
    if cards:
        async with transaction(parts.db) as conn:
            by_number = await by_card(conn, cards)
    keys = {
        id(e): (e.program, e.member_id or by_number.get((e.program, e.card_number or ""), "")) for e in events
    }
    members = await parts.members.find(parts.db, list(keys.values()))
    known, refused = [], []
    for event in events:
        member = members.get(keys[id(event)])
        code = _mistake(parts, event, member, now=now)
        if code is not None or member is None:
            facts = {"program": event.program} if code == "unknown_program" else {}
            refused.append(RefusedEvent(event.id, code or "unknown_member", facts))
        else:
            known.append(_Known(event, member))
    return known, refused


def _mistake(parts: Parts, event: AnyEvent, member: Member | None, *, now: datetime) -> str | None:
    if not parts.programs.versions(event.program):
        return "unknown_program"
    if event.member_id is None and event.card_number is None:
        return "member_missing"
    if member is None:
        return "unknown_member"
    if event.time > now + SKEW:
        return "time_in_future"
    return None


async def _sign_ins(parts: Parts, known: list[_Known], refused: list[RefusedEvent]) -> list[_Known]:
    acts = [
        Act(k.member.program_id, k.member.member_id, AppSignIn(event_id=k.event.id), k.event.time)
        for k in known
    ]
    answers = await record(parts, acts)
    done = []
    for one, answer in zip(known, answers, strict=True):
        match answer:
            case Unavailable():
                raise answer
            case Refusal(code="not_offered"):
                refused.append(RefusedEvent(one.event.id, answer.code, answer.facts))
            case Refusal():
                # Not their first sign-in: it happened, and earns nothing.
                done.append(one)
            case Exception():
                raise answer
            case _:
                done.append(one)
    return done


async def _removals(
    parts: Parts, known: list[_Known], refused: list[RefusedEvent], *, now: datetime
) -> list[_Known]:
    removals, done = [], []
    for one in known:
        removal = _removal(parts, one)
        if removal is None:
            refused.append(RefusedEvent(one.event.id, "not_offered", {}))
        else:
            removals.append(removal)
            done.append(one)
    if removals:
        outbox_id = new_id()
        async with transaction(parts.db) as conn:
            changes = await take_back(conn, removals, now=now, wall=parts.clock.wall(), outbox_id=outbox_id)
        parts.after.add(changes=changes, cause="clawback", outbox_id=outbox_id)
    return done


def _removal(parts: Parts, one: _Known) -> Removal | None:
    """What to take back; None when no version of the program ever paid for such an activity."""
    match one.event:
        case ReviewRemovedEvent(data=ReviewRemoved(review_id=review_id)):
            kind, reference = "review", review_reference(review_id)
        case ShareRemovedEvent(data=ShareRemoved(share_id=share_id)):
            kind, reference = "share", share_reference(share_id)
        case _:
            return None
    versions = parts.programs.versions(one.member.program_id)
    rules = {rule.id for version in versions for rule in version.rules if rule.on.activity == kind}
    if not rules:
        return None
    return Removal(
        one.member.program_id,
        one.member.member_id,
        reference,
        tuple(sorted(rules)),
        versions[-1].version,
        one.event.time,
    )


def _type(event: AnyEvent) -> str:
    return str(event.__struct_config__.tag)
