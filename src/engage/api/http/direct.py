"""Answers without Litestar's routing, Request and Response, for the requests that come most often.

These take as long as everything else of a home screen together. A request that needs more than its
responder goes to Litestar, and its answer is the same.
"""

import re
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from engage.api.http.answers import Answer
from engage.api.http.operation import contract_of
from engage.api.http.problems import to_problem
from engage.metrics.catalogue import ApiNumbers

Responder = Callable[[Scope], Awaitable[Answer[Any]]]
BodyResponder = Callable[[Scope, Receive], Awaitable[Answer[Any]]]

_OPT: Final = "direct"

# A parameter of a path, and the only spelling of an id that is read here. Litestar takes others too.
_PARAMETER: Final = re.compile(r"\{(\w+):uuid\}")
_ID: Final = re.compile(r"(?<=/)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![^/])")


class _Direct(Struct, frozen=True):
    """The responder of a handler: `body` is one that reads the body, `respond` one without."""

    respond: Responder | None = None
    body: BodyResponder | None = None


class _Found(Struct, frozen=True):
    """A handler, and the name of the id in its path."""

    direct: _Direct
    handler: HTTPRouteHandler
    parameter: str | None
    operation: str


class DirectAnswers:
    """The responders of an application's handlers, by method and path."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._handlers: dict[tuple[str, str], _Found] = {
            (method, _PARAMETER.sub("", route.path)): _Found(
                handler.opt[_OPT], handler, _parameter(route), str(handler.operation_id)
            )
            for route in routes
            if isinstance(route, HTTPRoute)
            for handler in route.route_handlers
            if _OPT in handler.opt
            for method in handler.http_methods
        }
        self.metrics: ApiNumbers | None = None
        for found in self._handlers.values():
            _check_nothing_is_skipped(found.handler)

    async def send(self, scope: Any, receive: Receive, send: Send) -> bool:
        """Answer a request, or return False where Litestar has to."""
        found = self._find(scope)
        if found is None or not _is_plain(scope, has_body=found.direct.body is not None):
            return False
        began = time.perf_counter()
        scope["route_handler"] = found.handler
        scope.setdefault("state", {})
        try:
            answer = await _respond(found.direct, scope, receive)
        except Exception as error:  # noqa: BLE001  # As Litestar, which passes each to `to_problem`.
            answer = to_problem(Request(scope), error)
        await answer.send(scope, receive, send)
        if self.metrics is not None:
            self.metrics.operation(found.operation).answered(answer.status, time.perf_counter() - began)
        return True

    def _find(self, scope: Any) -> _Found | None:
        method, path = scope["method"], scope["path"]
        found = self._handlers.get((method, path))
        if found is not None:
            return found if found.parameter is None else None
        id_ = _ID.search(path)
        if id_ is None:
            return None
        found = self._handlers.get((method, path[: id_.start()] + path[id_.end() :]))
        if found is None or found.parameter is None:
            return None
        scope["path_params"] = {found.parameter: id_.group()}
        return found


def answered_directly(respond: Responder) -> dict[str, Any]:
    """A part of the `opt` of a handler: answer its requests without a body and an Idempotency-Key.

    An id in its path is in the `path_params` of the scope.
    """
    return {_OPT: _Direct(respond=respond)}


def answered_from_body(respond: BodyResponder) -> dict[str, Any]:
    """The same for requests with a body, which the responder reads."""
    return {_OPT: _Direct(body=respond)}


async def _respond(direct: _Direct, scope: Scope, receive: Receive) -> Answer[Any]:
    if direct.body is not None:
        return await direct.body(scope, receive)
    assert direct.respond is not None
    return await direct.respond(scope)


def _check_nothing_is_skipped(handler: HTTPRouteHandler) -> None:
    """The middleware of Idempotency-Keys does nothing without one. A handler has nothing else around it."""
    assert not handler.resolve_guards(), f"guards of {handler} would be skipped"
    of_keys = contract_of(handler).repeat is not None
    assert len(handler.resolve_middleware()) <= of_keys, f"middleware of {handler} would be skipped"


def _parameter(route: HTTPRoute) -> str | None:
    found = _PARAMETER.search(route.path)
    return None if found is None else found.group(1)


def _is_plain(scope: Scope, *, has_body: bool) -> bool:
    """Return whether nothing in a request needs the router or a middleware, or a body that nobody expects."""
    if not scope["http_version"].startswith("1"):
        return False  # A body is not announced.
    for name, value in scope["headers"]:
        means_nothing = _MEANS_NOTHING.get(name)
        if means_nothing is not None and not means_nothing(value):
            if has_body and name == b"content-length":
                continue
            return False
    return True


def _never(_: bytes) -> bool:
    return False


# The headers that these look at, and the values that change nothing.
_MEANS_NOTHING: Final[dict[bytes, Callable[[bytes], object]]] = {
    b"host": re.compile(rb"[0-9A-Za-z.:\-]*").fullmatch,
    b"content-length": b"0".__eq__,
    b"transfer-encoding": _never,
    b"idempotency-key": _never,
}
