"""Events of the shop. A mistake in one event does not affect the others of a request."""

from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, post
from msgspec import Meta, Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import mistakes, not_json, read_body
from engage.api.http.callers import shop_idempotency, shop_of
from engage.api.http.idempotency import keep_nothing
from engage.api.http.operation import SHOP, Repeat, contract
from engage.api.http.problems import FieldError, invalid, language_of
from engage.api.http.rate_limits import charge_events
from engage.decoding.json_text import decode_json, has_more_containers, split_json
from engage.decoding.malformed import Malformed
from engage.domain.activity import Identifier
from engage.domain.refusals import Code, Refusal
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import EVENTS_PER_CALL, take_events
from engage.messages.refusals import refusal_message
from engage.runtime.batch import decide_each
from engage.store.api_keys import ApiKey

# An event of an earlier year is a mistake of the shop's clock.
EARLIEST_YEAR: Final = 2000

# Fields of an event that are looked at for its id and type.
FIELDS: Final = 64

# A thousand orders need more than the limit of other bodies.
EVENTS_BYTES: Final = 4 * 1024 * 1024

# Lists and objects of a body. Listing the mistakes of a million takes seconds. A thousand orders of a
# hundred lines have fewer.
CONTAINERS: Final = 120_000

Events = Annotated[list[AnyEvent], Meta(max_length=EVENTS_PER_CALL)]


class RefusedEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event that did nothing. `index` is its place in the list, from 0; `id` is null where it could not be
    read.
    """

    index: int
    id: str | None
    code: str
    detail: str
    errors: list[FieldError] = []


class EventBatchResult(Struct, frozen=True):
    """The number of events that were accepted, the number that had been accepted before, and the refused."""

    accepted: int
    repeated: int
    refused: list[RefusedEvent]


_many = msgspec.json.Decoder(list[msgspec.Raw])
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_name = msgspec.json.Decoder(Identifier)
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

        Each event is accepted or refused on its own, in order. `refused` lists the refused with `index`,
        `id` and code. If the key opens the program of none of them, the call is refused.
        """
        api, key = await shop_of(request.scope)
        sent = _split(await read_body(request.scope, request.receive, EVENTS_BYTES))
        charge_events(api, request.scope, key, len(sent))
        language = language_of(request.scope)
        events = decide_each(sent, partial(_read, key))
        refusals = [event for event in events if isinstance(event, Refusal)]
        foreign = [refusal for refusal in refusals if refusal.code is Code.OTHER_PROGRAM]
        if foreign and len(foreign) == len(sent):
            raise foreign[0]
        taken = await take_events(api.services, events)
        refused = [
            _refused(n, _field(sent[n], "id"), refusal, language) for n, refusal in taken.refused.items()
        ]
        if refused:
            keep_nothing(request.scope)  # A member may join, or an event be put right.
        return answer(EventBatchResult(taken.accepted, taken.repeated, refused))


def _split(body: bytes) -> list[bytes]:
    """The events, not decoded: a mistake in one of them does not affect the others.

    Raises Refusal invalid_request where the body is neither a list nor an object, or the list is too long, or
    has too many parts.
    """
    if has_more_containers(body, CONTAINERS):
        raise invalid(FieldError("$", f"more than {CONTAINERS} lists and objects"))
    if body.lstrip().startswith(b"{"):
        _split_broken(body)
        return [body]
    try:
        # Fast. Each event is decoded by itself, so its depth is checked there.
        raws = decode_json(body, _many, depth=None)
        sent = [bytes(raw) for raw in raws]
    except Malformed:
        sent = _split_broken(body)
    if len(sent) > EVENTS_PER_CALL:
        raise invalid(FieldError("$", f"more than {EVENTS_PER_CALL} events"))
    return sent


def _split_broken(body: bytes) -> list[bytes]:
    """Split without decoding anything, so that what is no JSON inside one event is found with that event."""
    try:
        return split_json(body, most=EVENTS_PER_CALL)
    except Malformed as error:
        raise invalid(not_json(error)) from None


def _read(key: ApiKey, raw: bytes) -> AnyEvent:
    """Raises Refusal unknown_type, invalid_event or other_program."""
    try:
        event = decode_json(raw, _decoder)
    except Malformed:
        kind = _field(raw, "type")
        if kind is not None and kind not in _types:
            raise Refusal(Code.UNKNOWN_TYPE, event_type=kind) from None
        raise _invalid_event(*mistakes(raw, AnyEvent)) from None
    if event.time.year < EARLIEST_YEAR:
        raise _invalid_event(FieldError("time", f"expected {EARLIEST_YEAR} or later, got {event.time.year}"))
    key.check(event.program)
    return event


def _invalid_event(*errors: FieldError) -> Refusal:
    return Refusal(Code.INVALID_EVENT, errors=list(errors))


def _field(raw: bytes, name: str) -> str | None:
    """A field of an event that may be invalid elsewhere; None where it is missing, or no identifier."""
    with suppress(Malformed):
        for member in split_json(raw, most=FIELDS):
            key, _, value = member.partition(b":")
            if key.strip() == b'"%s"' % name.encode():
                return decode_json(value, _name)
    return None


def _refused(index: int, event_id: str | None, refusal: Refusal, language: str) -> RefusedEvent:
    text = refusal_message(refusal.code, refusal.facts, language)
    errors = refusal.facts.get("errors", [])
    return RefusedEvent(index=index, id=event_id, code=refusal.code, detail=text.detail, errors=errors)
