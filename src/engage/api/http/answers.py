"""Answers: JSON that is encoded at once, with fixed headers."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
from litestar.response import Response
from litestar.types import ASGIApp, Receive, Scope, Send

T = TypeVar("T")

Headers = Sequence[tuple[bytes, bytes]]

encode = msgspec.json.Encoder().encode

SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
JSON: Final = ((b"content-type", b"application/json"), *SAFE)
NOT_STORED: Final = ((b"cache-control", b"no-store"), *JSON)


class Answer(Response[T]):
    """An answer with the JSON of a T. Litestar reads the T for the contract, and calls this to send."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, body: bytes, headers: Headers, status: int) -> None:
        self._body = body
        self._headers = headers
        self._status = status

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # type: ignore[override]  # Any ASGI app will do.
        return self.send

    @property
    def status(self) -> int:
        return self._status

    @property
    def parts(self) -> tuple[int, Headers, bytes]:
        """The status, all headers, the body."""
        return self._status, [*self._headers, (b"content-length", b"%d" % len(self._body))], self._body

    async def send(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, headers, body = self.parts
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def answer(value: T, status: int = 200, *, headers: Headers = NOT_STORED) -> Answer[T]:
    """Encode a value. Times become RFC 3339, those in UTC with a Z."""
    return Answer(encode(value), headers, status)
