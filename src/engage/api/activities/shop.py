"""Events of the shop. A mistake in one event does not affect the others of a request."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, post
from msgspec import Meta, Struct

from engage.api.contract.operation import SHOP, Repeat, contract
from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import decode, mistakes, read_body
from engage.api.http.callers import shop_idempotency, shop_of
from engage.api.http.idempotency import keep_nothing
from engage.api.http.problems import FieldError, invalid, language_of
from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.domain.refusals import Code, Refusal
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import EVENTS_PER_CALL, take_events
from engage.messages.refusals import refusal_message

# An event of an earlier year is a mistake of the shop's clock.
EARLIEST_YEAR: Final = 2000

# A thousand orders need more than the limit of other bodies.
EVENTS_BYTES: Final = 4 * 1024 * 1024

Events = Annotated[list[AnyEvent], Meta(max_length=EVENTS_PER_CALL)]


class RefusedEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event that did nothing. `id` is null where it could not be read."""

    id: str | None
    code: str
    detail: str
    errors: list[FieldError] = []


class EventBatchResult(Struct, frozen=True):
    """The number of events that were accepted, the number that had been accepted before, and the refused."""

    accepted: int
    repeated: int
    refused: list[RefusedEvent]


class _Head(Struct, frozen=True):
    """The fields that are looked for in an invalid event."""

    id: str | None = None
    type: str | None = None


_one: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_many = msgspec.json.Decoder(list[msgspec.Raw])
_single = msgspec.json.Decoder(msgspec.Raw)
_head = msgspec.json.Decoder(_Head)
_types = {str(kind.__struct_config__.tag) for kind in AnyEvent.__args__}


class EventController(Controller):
    path = "/v1/shop/events"
    tags = ("Shop",)
    security = (SHOP,)
    middleware = (shop_idempotency(EVENTS_BYTES),)

    @post(
        status_code=200,
        operation_id="sendEvents",
        summary="Send events",
        response_description="The result of each event. Events may be sent again without harm.",
        opt=contract(body=Events, repeat=Repeat.HARMLESS),
    )
    async def send(self, request: Request[Any, Any, Any]) -> Answer[EventBatchResult]:
        """A list, in any order; one event alone is taken too. An event whose `id` was accepted before does
        nothing.

        Each event is accepted or refused on its own. `refused` lists the refused with `id` and code.
        """
        api, _ = await shop_of(request.scope)
        sent = _split(await read_body(request.scope, request.receive, EVENTS_BYTES))
        language = language_of(request.scope)
        events, refused = [], []
        for raw in sent:
            try:
                events.append(_read(raw))
            except Refusal as refusal:
                refused.append(_refused(_head_of(raw).id, refusal, language))
        taken = await take_events(api.services, events)
        refused += [
            _refused(event.id, Refusal(event.code, **event.facts), language) for event in taken.refused
        ]
        if refused:
            keep_nothing(request.scope)  # A member may join, or an event be put right.
        return answer(EventBatchResult(taken.accepted, taken.repeated, refused))


def _split(body: bytes) -> list[msgspec.Raw]:
    """Raises Refusal invalid_request where the body is no JSON, or the list is too long."""
    if not body.lstrip().startswith(b"["):
        return [decode(body, _single)]
    try:
        # Each event is decoded by itself, so its depth is checked there.
        sent = decode_json(body, _many, depth=None)
    except Malformed as error:
        raise invalid(FieldError("$", f"expected JSON: {error}")) from None
    if len(sent) > EVENTS_PER_CALL:
        raise invalid(FieldError("$", f"{len(sent)} events; {EVENTS_PER_CALL} at most"))
    return sent


def _read(raw: msgspec.Raw) -> AnyEvent:
    """Raises Refusal unknown_type or invalid_event."""
    try:
        event = decode_json(raw, _one)
    except Malformed:
        kind = _head_of(raw).type
        if kind is not None and kind not in _types:
            raise Refusal(Code.UNKNOWN_TYPE, event_type=kind) from None
        raise _invalid_event(*mistakes(raw, AnyEvent)) from None
    if event.time.year < EARLIEST_YEAR:
        raise _invalid_event(FieldError("time", f"expected {EARLIEST_YEAR} or later, got {event.time.year}"))
    return event


def _invalid_event(*errors: FieldError) -> Refusal:
    return Refusal(Code.INVALID_EVENT, errors=list(errors))


def _head_of(raw: msgspec.Raw) -> _Head:
    try:
        return decode_json(raw, _head)
    except Malformed:
        return _Head()


def _refused(event_id: str | None, refusal: Refusal, language: str) -> RefusedEvent:
    text = refusal_message(refusal.code, refusal.facts, language)
    errors = refusal.facts.get("errors", [])
    return RefusedEvent(id=event_id, code=refusal.code, detail=text.detail, errors=errors)
