"""Idempotency-Key: a POST that comes again under its key is answered once, and its answer given again.

An ASGI middleware of the handlers that honour it. A request without the header costs a look at the headers.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from engage.api.answer import Answer
from engage.api.bodies import read_body
from engage.api.context import Api, started_api_of
from engage.api.problems import FieldError, Problem, invalid, to_problem
from engage.runtime.idempotency import abandon_answer, begin_answer, keep_answer
from engage.store.idempotency import StoredResponse

HEADER: Final = b"idempotency-key"
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")

# Answers that say "ask again" decide nothing, so they are not given a second time.
ASK_AGAIN: Final = frozenset({408, 425, 429})

CallerOf = Callable[[Api, Scope], Awaitable[str]]


def once(caller_of: CallerOf, limit_bytes: int) -> Callable[..., ASGIApp]:
    """The middleware, for callers known by `caller_of`: keys of different callers are different keys."""

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
                answer = await _answered(api, app, scope, caller, keys[0].decode(), body)
            except Exception as error:  # noqa: BLE001  # Litestar saw an answer begin and would not make one.
                await _problem(scope, error).send(scope, receive, send)
            else:
                await _send(send, *answer)

        return middleware

    return around


async def _answered(
    api: Api, app: ASGIApp, scope: Scope, caller: str, key: str, body: bytes
) -> tuple[StoredResponse, bool]:
    """(the answer, whether it was given before)."""
    # All of these are POSTs, so the path and the query say which request it is.
    named = scope["path"].encode() + b"?" * bool(scope["query_string"]) + scope["query_string"]
    fingerprint = hashlib.sha256(named + b"\n" + body).digest()
    kept = await begin_answer(api.services, caller, key, fingerprint=fingerprint)
    if kept is not None:
        return kept, True
    try:
        given = await _given_by(app, scope, body)
        decided = given.status < 500 and given.status not in ASK_AGAIN
        if decided:
            # Before it is sent: whoever has seen an answer gets the same one again.
            await keep_answer(api.services, caller, key, given)
    except BaseException:
        await abandon_answer(api.services, caller, key)
        raise
    if not decided:
        await abandon_answer(api.services, caller, key)
    return given, False


async def _given_by(app: ASGIApp, scope: Scope, body: bytes) -> StoredResponse:
    """What the handlers answer to this body, be it a problem."""
    messages: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def keep(message: Message) -> None:
        messages.append(message)

    try:
        await app(scope, receive, keep)
    except Exception as error:  # noqa: BLE001  # Raised before a handler had its turn.
        messages.clear()
        await _problem(scope, error).send(scope, receive, keep)
    start = messages[0]
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    return StoredResponse(start["status"], headers, b"".join(one["body"] for one in messages[1:]))


def _problem(scope: Scope, error: Exception) -> Answer[Problem]:
    return to_problem(Request(scope), error)


async def _send(send: Send, kept: StoredResponse, replayed: bool) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in kept.headers]
    if replayed:
        headers.append((b"idempotency-replayed", b"true"))
    await send({"type": "http.response.start", "status": kept.status, "headers": headers})
    await send({"type": "http.response.body", "body": kept.body, "more_body": False})
