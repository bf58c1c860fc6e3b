"""Reading what a caller sent: bounded, strict, and with every mistake told by its field."""

import asyncio
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
from litestar import Request
from litestar.types import Receive, Scope
from msgspec import Struct

from engage.api.problems import BODY_BYTES, FieldError, field_error, invalid, too_large
from engage.domain.refusals import Code, Refusal

T = TypeVar("T")

# A phone on a bad line takes seconds for 64 KiB; whoever takes longer than this only holds a connection.
BODY_S: Final = 20.0

# Of a body that is too large.
SPILL_BYTES: Final = 1024 * 1024
SPILL_S: Final = 0.5


async def read_body(scope: Scope, receive: Receive, limit_bytes: int = BODY_BYTES) -> bytes:
    """All of a body, of which no more than the limit is kept.

    Raises Refusal body_too_large, or request_timeout where it takes longer than BODY_S to arrive.
    """
    try:
        async with asyncio.timeout(BODY_S):
            return await _read_body(receive, limit_bytes)
    except TimeoutError:
        raise Refusal(Code.REQUEST_TIMEOUT) from None


async def _read_body(receive: Receive, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    received, more = 0, True
    while more:
        event = await receive()
        if event["type"] != "http.request":
            raise invalid(FieldError("$", "the connection was closed before the body was complete"))
        received += len(event["body"])
        more = event.get("more_body", False)
        if received > limit_bytes:
            if more:
                await _spill(receive)
            raise too_large(limit_bytes)
        parts.append(event["body"])
    return b"".join(parts)


async def _spill(receive: Receive) -> None:
    """Reads some more and throws it away: many clients hear no answer before they have sent all they have."""
    spilt, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(SPILL_S):
            while more and spilt < SPILL_BYTES:
                event = await receive()
                if event["type"] != "http.request":
                    return
                spilt += len(event["body"])
                more = event.get("more_body", False)


def _content_length(scope: Scope) -> int | None:
    """As it was announced; None where it was not, or not in a way that can be believed."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else None
    return None


def has_body(scope: Scope) -> bool:
    """Whether there may be a body, without reading: no HTTP/1 request has one without announcing it."""
    if _content_length(scope) == 0:
        return False
    return not scope["http_version"].startswith("1") or any(
        name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"]
    )


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No fields: the body may be left out."""


_nothing = msgspec.json.Decoder(Nothing)


async def read_nothing(request: Request[Any, Any, Any]) -> None:
    """Raises Refusal invalid_request where a body says anything."""
    if has_body(request.scope):
        body = await read_body(request.scope, request.receive)
        if body:
            decode(body, _nothing)


async def read_json(request: Request[Any, Any, Any], decoder: msgspec.json.Decoder[T]) -> T:
    """Raises Refusal invalid_request or body_too_large."""
    body = await read_body(request.scope, request.receive)
    return decode(body, decoder)


def decode(body: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
    """Raises Refusal invalid_request, which says where and why."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise invalid(field_error(error)) from None
    except RecursionError:
        raise invalid(FieldError("$", "nested too deeply")) from None


def check_query(request: Request[Any, Any, Any], *known: str) -> None:
    """Raises Refusal invalid_request for parameters that are not known, as for fields of a body."""
    unknown = sorted(request.query_params.keys() - set(known))
    if unknown:
        raise invalid(*(FieldError(name, "unknown parameter") for name in unknown))
