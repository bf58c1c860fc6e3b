"""Answers without Litestar's Request and Response, for the requests that come most often.

To make both takes as long as everything else of a tap together.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar.types import ASGIApp, Receive, Scope, Send

from engage.api.http.answers import Answer
from engage.api.http.bodies import has_body
from engage.api.http.callers import Middleware


def answered_directly(respond: Callable[[Scope], Awaitable[Answer[Any]]]) -> Middleware:
    """Make a middleware that answers requests without a body. The handler gets those with one."""

    def of_app(app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            if has_body(scope):
                await app(scope, receive, send)
            else:
                await (await respond(scope)).send(scope, receive, send)

        return middleware

    return of_app
