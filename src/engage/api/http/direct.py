"""Answers without Litestar's routing, Request and Response, for the requests that come most often.

These take as long as everything else of a home screen together. A request that needs more than its
responder goes to Litestar, and its answer is the same.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import Receive, Scope, Send

from engage.api.http.answers import Answer
from engage.api.http.problems import to_problem

Responder = Callable[[Scope], Awaitable[Answer[Any]]]

_OPT: Final = "direct"


class DirectAnswers:
    """The responders of an application's handlers, by method and path."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._handlers: dict[tuple[str, str], tuple[Responder, HTTPRouteHandler]] = {
            (method, route.path): (handler.opt[_OPT], handler)
            for route in routes
            if isinstance(route, HTTPRoute)
            for handler in route.route_handlers
            if _OPT in handler.opt
            for method in handler.http_methods
        }

    async def send(self, scope: Any, receive: Receive, send: Send) -> bool:
        """Answer a request, or return False where Litestar has to."""
        found = self._handlers.get((scope["method"], scope["path"]))
        if found is None or not _is_plain(scope):
            return False
        respond, scope["route_handler"] = found
        scope.setdefault("state", {})
        try:
            answer = await respond(scope)
        except Exception as error:  # noqa: BLE001  # As Litestar, which passes each to `to_problem`.
            answer = to_problem(Request(scope), error)
        await answer.send(scope, receive, send)
        return True


def answered_directly(respond: Responder) -> dict[str, Any]:
    """A part of the `opt` of a handler: answer its requests without a body and an Idempotency-Key."""
    return {_OPT: respond}


def _is_plain(scope: Scope) -> bool:
    """Return whether nothing in a request needs the router, a middleware or the reading of a body."""
    if not scope["http_version"].startswith("1"):
        return False  # A body is not announced.
    for name, value in scope["headers"]:
        means_nothing = _MEANS_NOTHING.get(name)
        if means_nothing is not None and not means_nothing(value):
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
