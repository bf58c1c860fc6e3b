"""The shop's events, one or many at once. A mistake in one does not spoil the others."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, post
from msgspec import Meta, Struct

from engage.api.answer import Answer, answer
from engage.api.bodies import decode, read_body
from engage.api.contract import SHOP, contract
from engage.api.language import message
from engage.api.problems import FieldError, field_error, invalid, language_of
from engage.api.shop.callers import EVENTS_BYTES, once_for_events, shop_of
from engage.domain.refusals import Code, Refusal
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import EVENTS_PER_CALL, take_events

# Before anything that a program of ours could be about; what is far older is a mistake of the shop's clock.
EARLIEST_YEAR: Final = 2000

Events = AnyEvent | Annotated[list[AnyEvent], Meta(max_length=EVENTS_PER_CALL)]


class RefusedEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`id` is null where the event did not have one that can be read.

    `code`: invalid_event, unknown_type, unknown_program, unknown_member, member_missing, time_in_future,
    not_offered; of orders order_conflict, wrong_currency, unknown_hold, not_bought, too_many_returns.
    """

    id: str | None
    code: str
    detail: str
    errors: list[FieldError] = []


class Taken(Struct, frozen=True):
    """How many did something, how many had been taken before, and which were refused."""

    accepted: int
    repeated: int
    refused: list[RefusedEvent]


class _Head(Struct, frozen=True):
    """What is looked for in an event that cannot be read as a whole."""

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
    middleware = (once_for_events,)

    @post(
        status_code=200,
        operation_id="sendEvents",
        summary="Send events",
        response_description="What became of the events, which may be sent again without harm.",
        opt=contract(takes=Events, once=True),
    )
    async def send(self, request: Request[Any, Any, Any]) -> Answer[Taken]:
        """One event or a list, in any order. An `id` that came before does nothing.

        Each event is taken or refused by itself; what is refused is listed with its `id` and a code.
        """
        api = await shop_of(request.scope)
        sent = _split(await read_body(request.scope, request.receive, EVENTS_BYTES))
        language = language_of(request.scope)
        events, refused = [], []
        for raw in sent:
            try:
                events.append(_read(raw))
            except Refusal as refusal:
                refused.append(_refused(_head_of(raw).id, refusal, language))
        taken = await take_events(api.services, events)
        refused += [_refused(one.id, Refusal(one.code, **one.facts), language) for one in taken.refused]
        return answer(Taken(taken.accepted, taken.repeated, refused))


def _split(body: bytes) -> list[msgspec.Raw]:
    """Raises Refusal invalid_request where the body as a whole is no JSON, or too long a list."""
    if not body.lstrip().startswith(b"["):
        return [decode(body, _single)]
    sent = decode(body, _many)
    if len(sent) > EVENTS_PER_CALL:
        raise invalid(FieldError("$", f"{len(sent)} events; {EVENTS_PER_CALL} at most"))
    return sent


def _read(raw: msgspec.Raw) -> AnyEvent:
    """Raises Refusal unknown_type or invalid_event."""
    try:
        event = _one.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        kind = _head_of(raw).type
        if kind is not None and kind not in _types:
            raise Refusal(Code.UNKNOWN_TYPE, event_type=kind) from None
        raise _invalid_event(field_error(error)) from None
    if event.time.year < EARLIEST_YEAR:
        raise _invalid_event(FieldError("time", f"before {EARLIEST_YEAR}"))
    return event


def _invalid_event(error: FieldError) -> Refusal:
    return Refusal(Code.INVALID_EVENT, errors=[error])


def _head_of(raw: msgspec.Raw) -> _Head:
    try:
        return _head.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Head()


def _refused(event_id: str | None, refusal: Refusal, language: str) -> RefusedEvent:
    text = message(refusal.code, refusal.facts, language)
    errors = refusal.facts.get("errors", [])
    return RefusedEvent(id=event_id, code=refusal.code, detail=text.detail, errors=errors)
