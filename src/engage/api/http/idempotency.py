"""Idempotency-Key: answer a POST once for each key, and send the same answer again when it is repeated.

An ASGI middleware of handlers that accept the header. A request without it costs a look at the headers.

The flow keeps the answer, in the transaction of its action: the handler passes the key on (`keyed`). If a
handler does not, repeating its request changes nothing, and the answer is kept afterwards. Only successful
answers are kept: a refused request has done nothing, and the reason may not last.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import structlog
from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Struct

from engage.api.http.answers import Answer, Headers
from engage.api.http.bodies import read_body
from engage.api.http.context import Api, started_api_of
from engage.api.http.operation import Repeat, contract_of, operation_of
from engage.api.http.problems import FieldError, Problem, invalid, to_problem
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.runtime.idempotency import Keyed, find_response, keep_after
from engage.store.idempotency import RequestKey, StoredResponse

HEADER: Final = b"idempotency-key"
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_STATE: Final = "engage.idempotency"

CallerOf = Callable[[Api, Scope], Awaitable[str]]
R = TypeVar("R")

log = structlog.get_logger()


class _Use(Struct):
    """The key of the request that is being answered. `is_kept`: the flow keeps the answer, or nobody may."""

    key: RequestKey
    is_kept: bool = False


def keyed(scope: Scope, shape: Callable[[R], Answer[Any]]) -> Keyed[R] | None:
    """The request's key for a flow that returns an R, which keeps the answer that `shape` makes of it.

    None for a request without a key. Raises Refusal idempotency_key_required where the operation needs one.
    """
    use: _Use | None = scope["state"].get(_STATE)
    if use is None:
        if contract_of(scope["route_handler"]).repeat is Repeat.KEY_REQUIRED:
            raise Refusal(Code.IDEMPOTENCY_KEY_REQUIRED)
        return None
    use.is_kept = True
    return Keyed(use.key, lambda result: _response(*shape(result).parts))


def keep_nothing(scope: Scope) -> None:
    """Let a request with the same key be answered anew."""
    use: _Use | None = scope["state"].get(_STATE)
    if use is not None:
        use.is_kept = True


def idempotency(caller_of: CallerOf, limit_bytes: int) -> Callable[..., ASGIApp]:
    """Make the middleware. The same key of two callers is two keys."""

    def around(app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            keys = [value for name, value in scope["headers"] if name == HEADER]
            if not keys or scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            repeat = contract_of(scope["route_handler"]).repeat
            if repeat is not None and (len(keys) > 1 or not _KEY.fullmatch(keys[0])):
                raise invalid(FieldError("Idempotency-Key", "1 to 255 visible ASCII characters, once"))
            if repeat in (None, Repeat.ANSWERED_ANEW):
                await app(scope, receive, send)
                return
            api = started_api_of(scope)
            caller = await caller_of(api, scope)
            body = await read_body(scope, receive, limit_bytes)
            key = RequestKey(caller, keys[0].decode(), _fingerprint(scope, body))
            try:
                response, repeated = await _answer_once(api, app, scope, key, body)
            except Exception as error:  # noqa: BLE001  # Litestar saw an answer begin and would not make one.
                await _problem(scope, error).send(scope, receive, send)
            else:
                await _send(send, response, repeated)

        return middleware

    return around


def _fingerprint(scope: Scope, body: bytes) -> bytes:
    """All of these are POSTs, so path and query identify the operation."""
    target = scope["path"].encode() + b"?" * bool(scope["query_string"]) + scope["query_string"]
    return hashlib.sha256(target + b"\n" + body).digest()


async def _answer_once(
    api: Api, app: ASGIApp, scope: Scope, key: RequestKey, body: bytes
) -> tuple[StoredResponse, bool]:
    """Return the answer, and whether it was given before."""
    async with _alone(api, key):
        known = await find_response(api.services, key)
        if known is not None:
            return known, True
        return await _answer(api, app, scope, key, body)


@asynccontextmanager
async def _alone(api: Api, key: RequestKey) -> AsyncIterator[None]:
    """Wait until no other request with this key is under way in this process: then its answer is kept.

    Another process does not wait: its request is refused as request_in_flight.
    """
    name = key.caller, key.key
    while (other := api.under_way.get(name)) is not None:
        await other.wait()
    ended = api.under_way[name] = asyncio.Event()
    try:
        yield
    finally:
        del api.under_way[name]
        ended.set()


async def _answer(
    api: Api, app: ASGIApp, scope: Scope, key: RequestKey, body: bytes
) -> tuple[StoredResponse, bool]:
    """Let the handler answer. Return the answer, and whether another process has given it before."""
    repeat = contract_of(scope["route_handler"]).repeat
    use = scope["state"][_STATE] = _Use(key)
    made = await _call(app, scope, body)
    if made.status >= 400:
        # Perhaps because a request with the same key came first, and has been answered by now.
        known = await find_response(api.services, key)
        return (made, False) if known is None else (known, True)
    if not use.is_kept:
        assert repeat is Repeat.HARMLESS, "the flow keeps the answers of all others"
        try:
            await keep_after(api.services, key, made)
        except Unavailable:
            log.warning("an answer was not kept", operation=operation_of(scope))
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
    return _response(start["status"], start["headers"], b"".join(message["body"] for message in messages[1:]))


def _response(status: int, headers: Headers, body: bytes) -> StoredResponse:
    return StoredResponse(
        status, [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers], body
    )


def _problem(scope: Scope, error: Exception) -> Answer[Problem]:
    return to_problem(Request(scope), error)


async def _send(send: Send, kept: StoredResponse, repeated: bool) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in kept.headers]
    if repeated:
        headers.append((b"idempotency-replayed", b"true"))
    await send({"type": "http.response.start", "status": kept.status, "headers": headers})
    await send({"type": "http.response.body", "body": kept.body, "more_body": False})
