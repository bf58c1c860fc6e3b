"""The application: a path has one spelling, and OPTIONS and HEAD are answered on each path."""

import time
from typing import Any, Final

from litestar import Litestar, Request
from litestar.enums import ScopeType
from litestar.exceptions import MethodNotAllowedException, NotFoundException
from litestar.utils import normalize_path

from engage import tracing
from engage.api.http.answers import SAFE, Answer
from engage.api.http.direct import DirectAnswers
from engage.api.http.operation import operation_of
from engage.api.http.problems import allowed_methods, to_problem
from engage.api.http.rate_limits import with_limit_headers
from engage.api.http.traced import traced
from engage.domain.refusals import Code, Refusal
from engage.metrics.catalogue import ApiNumbers
from engage.metrics.numbers import OTHER

CONSOLE: Final = "/console"

_ENCODED_SLASHES: Final = (b"%2f", b"%5c")

# No handler has this method, so the router answers with those of the path.
_NO_METHOD: Final[Any] = "-"


class Application(Litestar):
    """Litestar with exact paths and methods.

    By itself it takes `//v1/me` and `/v1%2Fme` for `/v1/me`, so that a proxy's rule for a path does not hold.
    It answers OPTIONS for one of a path's handlers, and HEAD for none.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.metrics: ApiNumbers | None = None
        self._direct = DirectAnswers(self.routes)

    def count_in(self, metrics: ApiNumbers) -> None:
        """Count the answers of this application."""
        self.metrics = self._direct.metrics = metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == ScopeType.HTTP:
            scope["app"] = scope["litestar_app"] = self
            if _is_another_spelling(scope) or scope["method"] == "OPTIONS":
                await self._without_handler(scope).send(scope, receive, with_limit_headers(scope, send))
                return
            if scope["method"] == "HEAD":
                scope, send = {**scope, "method": "GET"}, _without_body(send)
            send = with_limit_headers(scope, send)
            if tracing.is_on():
                await traced(self._answer, scope, receive, send)
                return
            await self._answer(scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        if await self._direct.send(scope, receive, send):
            return
        if self.metrics is not None:
            await self._count(self.metrics, scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    async def _count(self, metrics: ApiNumbers, scope: Any, receive: Any, send: Any) -> None:
        status, began = 0, time.perf_counter()

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await super().__call__(scope, receive, noting)
        name = "console" if scope["path"].startswith(CONSOLE) else operation_of(scope) or OTHER
        metrics.operation(name).answered(status, time.perf_counter() - began)

    def _without_handler(self, scope: Any) -> Answer[Any]:
        try:
            return self._options(scope)
        except Refusal as refusal:
            return to_problem(Request(scope), refusal)

    def _options(self, scope: Any) -> Answer[None]:
        """Tell the methods of a path. Raises Refusal not_found."""
        if _is_another_spelling(scope):
            raise Refusal(Code.NOT_FOUND)
        try:
            self.asgi_router.handle_routing(path=normalize_path(scope["path"]), method=_NO_METHOD)
        except MethodNotAllowedException as error:
            allowed = ", ".join(allowed_methods(error)).encode()
            return Answer(b"", [(b"allow", allowed), *SAFE], 204)
        except NotFoundException:
            pass
        raise Refusal(Code.NOT_FOUND)


def _is_another_spelling(scope: Any) -> bool:
    """Return whether there are empty parts in the path, or slashes that were encoded."""
    raw = scope["raw_path"]
    if b"//" in raw:
        return True
    return b"%" in raw and any(encoded in raw.lower() for encoded in _ENCODED_SLASHES)


def _without_body(send: Any) -> Any:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return sending
