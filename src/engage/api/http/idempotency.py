"""Idempotency-Key: answer a POST once for each key, and send the same answer again when it is repeated.

An ASGI middleware of handlers that accept the header. A request without it costs a look at the headers.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from engage.api.http.answers import Answer
from engage.api.http.bodies import read_body
from engage.api.http.context import Api, started_api_of
from engage.api.http.problems import FieldError, Problem, invalid, to_problem
from engage.runtime.idempotency import abandon_request, begin_request, store_response
from engage.store.idempotency import StoredResponse

HEADER: Final = b"idempotency-key"
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")

# Answers after which a client retries decide nothing, so they are not kept.
RETRIED: Final = frozenset({408, 425, 429})

CallerOf = Callable[[Api, Scope], Awaitable[str]]


def idempotency(caller_of: CallerOf, limit_bytes: int) -> Callable[..., ASGIApp]:
    """Make the middleware. The same key of two callers is two keys."""

    def around(app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            keys = [value for name, value in scope["headers"] if name == HEADER]
            if not keys or scope["type"] != ScopeType.HTTP or scope["method"] != "POST":
                await app(scope, receive, send)
                return
            if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
                raise invalid(FieldError("Idempotency-Key", "1 to 255 visible ASCII characters, once"))
            api = started_api_of(scope)
            caller = await caller_of(api, scope)
            body = await read_body(scope, receive, limit_bytes)
            try:
                kept, repeated = await _answer_once(api, app, scope, caller, keys[0].decode(), body)
            except Exception as error:  # noqa: BLE001  # Litestar saw an answer begin and would not make one.
                await _problem(scope, error).send(scope, receive, send)
            else:
                await _send(send, kept, repeated)

        return middleware

    return around


async def _answer_once(
    api: Api, app: ASGIApp, scope: Scope, caller: str, key: str, body: bytes
) -> tuple[StoredResponse, bool]:
    """Return the answer, and whether it was given before."""
    # All of these are POSTs, so path and query identify the operation.
    target = scope["path"].encode() + b"?" * bool(scope["query_string"]) + scope["query_string"]
    fingerprint = hashlib.sha256(target + b"\n" + body).digest()
    kept = await begin_request(api.services, caller, key, fingerprint=fingerprint)
    if kept is not None:
        return kept, True
    try:
        made = await _call(app, scope, body)
        decided = made.status < 500 and made.status not in RETRIED
        if decided:
            # Kept before it is sent: a client that has seen an answer gets the same one again.
            await store_response(api.services, caller, key, made)
    except BaseException:
        await abandon_request(api.services, caller, key)
        raise
    if not decided:
        await abandon_request(api.services, caller, key)
    return made, False


async def _call(app: ASGIApp, scope: Scope, body: bytes) -> StoredResponse:
    """Call the handler with this body and collect its answer, which may be a problem."""
    messages: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def collect(message: Message) -> None:
        messages.append(message)

    try:
        await app(scope, receive, collect)
    except Exception as error:  # noqa: BLE001  # Raised before the handler was called.
        messages.clear()
        await _problem(scope, error).send(scope, receive, collect)
    start = messages[0]
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    return StoredResponse(start["status"], headers, b"".join(message["body"] for message in messages[1:]))


def _problem(scope: Scope, error: Exception) -> Answer[Problem]:
    return to_problem(Request(scope), error)


async def _send(send: Send, kept: StoredResponse, repeated: bool) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in kept.headers]
    if repeated:
        headers.append((b"idempotency-replayed", b"true"))
    await send({"type": "http.response.start", "status": kept.status, "headers": headers})
    await send({"type": "http.response.body", "body": kept.body, "more_body": False})
