"""Read and decode what a caller sent: bounded, strict, and with the field of each mistake."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
from litestar import Request
from litestar.types import Receive, Scope
from msgspec import Struct

from engage.api.http.problems import BODY_BYTES, FieldError, invalid, invalid_document, too_large
from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.domain.document import decoding
from engage.domain.document.errors import Problem
from engage.domain.refusals import Code, Refusal

T = TypeVar("T")

AllProblems = Callable[[object, Sequence[Problem]], Awaitable[list[Problem]]]

# A phone on a slow line needs seconds for 64 KiB. What takes longer only occupies a connection.
BODY_S: Final = 10.0

# A large body may take longer, as long as it goes on coming.
LARGE_BODY_S: Final = 300.0
PAUSE_S: Final = 10.0

# Limits of what is read of a body that is too large, and thrown away.
DISCARD_BYTES: Final = 1024 * 1024
DISCARD_S: Final = 0.5

# A body can have tens of thousands, and nobody reads so many.
MISTAKES_SHOWN: Final = 100

_anything = msgspec.json.Decoder()


async def read_body(scope: Scope, receive: Receive, limit_bytes: int = BODY_BYTES) -> bytes:
    """Read a whole body.

    Raises Refusal body_too_large, or request_timeout where it takes longer than BODY_S to arrive.
    """
    chunks: list[bytes] = []
    await _read(receive, limit_bytes, chunks.append, within_s=BODY_S)
    return b"".join(chunks)


async def read_large_body(
    scope: Scope, receive: Receive, limit_bytes: int, take: Callable[[bytes], None]
) -> None:
    """Give a body to `take` chunk by chunk, as it comes.

    Raises what `take` raises; Refusal body_too_large, or request_timeout where it takes longer than
    LARGE_BODY_S to arrive, or pauses for PAUSE_S.
    """
    if (_content_length(scope) or 0) > limit_bytes:
        await _discard(receive)
        raise too_large(limit_bytes)
    await _read(receive, limit_bytes, take, within_s=LARGE_BODY_S, pause_s=PAUSE_S)


async def _read(
    receive: Receive,
    limit_bytes: int,
    take: Callable[[bytes], None],
    *,
    within_s: float,
    pause_s: float | None = None,
) -> None:
    try:
        async with asyncio.timeout(within_s):
            received, more = 0, True
            while more:
                async with asyncio.timeout(pause_s):
                    event = await receive()
                if event["type"] != "http.request":
                    raise invalid(FieldError("$", "the connection was closed before the body was complete"))
                received += len(event["body"])
                more = event.get("more_body", False)
                try:
                    if received > limit_bytes:
                        raise too_large(limit_bytes)
                    take(event["body"])
                except Exception:
                    if more:
                        await _discard(receive)
                    raise
    except TimeoutError:
        raise Refusal(Code.REQUEST_TIMEOUT) from None


async def _discard(receive: Receive) -> None:
    """Read some more and throw it away: many clients read no answer before they have sent everything."""
    discarded, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_S):
            while more and discarded < DISCARD_BYTES:
                event = await receive()
                if event["type"] != "http.request":
                    return
                discarded += len(event["body"])
                more = event.get("more_body", False)


def _content_length(scope: Scope) -> int | None:
    """Return the announced length; None where there is none, or no number."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else None
    return None


def has_body(scope: Scope) -> bool:
    """Return whether there may be a body, without reading. HTTP/1 requests with a body announce it."""
    if _content_length(scope) == 0:
        return False
    return not scope["http_version"].startswith("1") or any(
        name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"]
    )


class EmptyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """No fields. The body may be left out."""


_empty = msgspec.json.Decoder(EmptyRequest)


async def read_empty(request: Request[Any, Any, Any]) -> None:
    """Raises Refusal invalid_request where a body has fields."""
    if has_body(request.scope):
        body = await read_body(request.scope, request.receive)
        if body:
            decode(body, _empty)


async def read_json(request: Request[Any, Any, Any], decoder: msgspec.json.Decoder[T]) -> T:
    """Raises Refusal invalid_request, body_too_large or request_timeout."""
    body = await read_body(request.scope, request.receive)
    return decode(body, decoder)


def decode(body: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
    """Raises Refusal invalid_request with the fields and mistakes."""
    try:
        return decode_json(body, decoder)
    except Malformed:
        raise invalid(*mistakes(body, decoder.type)) from None


async def read_document(
    request: Request[Any, Any, Any],
    type_: type[T],
    limit_bytes: int,
    all_problems: AllProblems | None = None,
) -> T:
    """Read a document, of which all mistakes are problems. `all_problems` adds to the mismatches of a value
    what else is wrong with it.

    Raises Refusal invalid_request for what is no JSON, or else invalid_document; body_too_large or
    request_timeout.
    """
    body = await read_body(request.scope, request.receive, limit_bytes)
    try:
        value = decode_json(body, _anything)
    except Malformed as error:
        raise invalid(not_json(error)) from None
    problems = decoding.mismatches(value, type_, notation=decoding.JSON, most=MISTAKES_SHOWN)
    if problems:
        raise invalid_document(problems if all_problems is None else await all_problems(value, problems))
    return msgspec.convert(value, type_)


def mistakes(body: bytes | msgspec.Raw, type_: Any) -> list[FieldError]:
    """List the mistakes of a body that is no `type_`, in words and in their order, MISTAKES_SHOWN at most.

    It takes many times as long as decoding, so it is only for what msgspec has refused.
    """
    try:
        value = decode_json(body, _anything)
    except Malformed as error:
        return [not_json(error)]
    problems = decoding.mismatches(value, type_, notation=decoding.JSON, most=MISTAKES_SHOWN)
    assert problems, "the walk through the types disagrees with msgspec"
    return [FieldError(problem.path, problem.mistake) for problem in problems]


def not_json(error: Malformed) -> FieldError:
    return FieldError("$", "expected JSON: " + str(error).removeprefix("JSON is malformed: "))


def check_query(request: Request[Any, Any, Any], *known: str) -> None:
    """Raises Refusal invalid_request for unknown parameters, as for unknown fields of a body."""
    unknown = sorted(request.query_params.keys() - set(known))
    if unknown:
        raise invalid(*(FieldError(name, "unknown parameter") for name in unknown))
