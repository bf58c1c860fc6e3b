"""The operations port: a small HTTP server within the event loop, for Prometheus, probes and people.

It serves a few GETs without a body, each on a connection of its own, and every connection has a deadline. Its
pages are made once a second at most, however many ask, so a flood costs no more than its bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Final

import h11
import structlog
from msgspec import Struct

from engage.metrics.numbers import Counter

log = structlog.get_logger()

CONNECTIONS: Final = 32
HEAD_BYTES: Final = 8_192
REQUEST_S: Final = 3.0
ANSWER_S: Final = 10.0
KEPT_S: Final = 1.0


class Page(Struct, frozen=True):
    """An answer to a GET."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200


Pages = Mapping[str, Callable[[], Awaitable[Page]]]


class OperationsPort:
    """Answers requests for `pages`, by path. `requests` counts what was answered."""

    def __init__(self, pages: Pages, requests: Counter) -> None:
        self._pages = {path: _Kept(make) for path, make in pages.items()}
        self._requests = requests
        self._open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, or close it where there are too many."""
        self._open.add(writer)
        try:
            if len(self._open) > CONNECTIONS:
                self._requests.add("refused")
            else:
                await self._answer(reader, writer)
        except (TimeoutError, OSError, EOFError, h11.RemoteProtocolError):
            self._requests.add("broken")
        finally:
            self._open.discard(writer)
            # Not `close`, which waits for a client that takes nothing.
            writer.transport.abort()

    def close(self) -> None:
        """End all connections."""
        for writer in self._open:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        async with asyncio.timeout(REQUEST_S):
            request = await _request(http, reader)
        async with asyncio.timeout(ANSWER_S):
            page = await self._page(request)
            writer.write(_encoded(http, page, with_body=request.method != b"HEAD"))
            await writer.drain()
            self._requests.add(str(page.status))
            writer.write_eof()
            # A client that has all of it ends the connection. Then nothing is lost by an abort.
            with suppress(OSError):
                while await reader.read(HEAD_BYTES):
                    pass

    async def _page(self, request: h11.Request) -> Page:
        if request.method not in (b"GET", b"HEAD"):
            return Page(b'{"status": "only GET"}\n', status=405)
        kept = self._pages.get(request.target.partition(b"?")[0].decode("latin-1"))
        if kept is None:
            return Page(b'{"status": "not found"}\n', status=404)
        return await kept.page()


class _Kept:
    """A page that is made once for all who ask at once, and kept for KEPT_S."""

    def __init__(self, make: Callable[[], Awaitable[Page]]) -> None:
        self._make = make
        self._making: asyncio.Task[Page] | None = None
        self._made_at = 0.0

    async def page(self) -> Page:
        now = asyncio.get_running_loop().time()
        making = self._making
        if making is None or (making.done() and now - self._made_at > KEPT_S):
            making = self._making = asyncio.create_task(self._made())
        return await asyncio.shield(making)

    async def _made(self) -> Page:
        try:
            return await self._make()
        except Exception:  # Whatever it is, whoever asks gets an answer, and the others get theirs.
            log.exception("a page of the operations port failed")
            return Page(b'{"status": "error"}\n', status=500)
        finally:
            self._made_at = asyncio.get_running_loop().time()


@asynccontextmanager
async def open_port(host: str, port: int, pages: Pages, requests: Counter) -> AsyncIterator[int]:
    """Serve `pages` while entered, on the port that is yielded; 0 takes a free one. Raises OSError."""
    operations = OperationsPort(pages, requests)
    server = await asyncio.start_server(
        operations.serve, host, port, limit=HEAD_BYTES, backlog=CONNECTIONS, reuse_address=True
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        operations.close()


async def _request(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Request:
    """Read the head of a request. Raises EOFError, RemoteProtocolError."""
    while True:
        event = http.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            raise EOFError
        http.receive_data(await reader.read(HEAD_BYTES))


def _encoded(http: h11.Connection, page: Page, *, with_body: bool) -> bytes:
    headers = [
        ("content-type", page.content_type),
        ("content-length", str(len(page.body))),
        ("cache-control", "no-store"),
        ("connection", "close"),
    ]
    response = h11.Response(
        status_code=page.status, reason=HTTPStatus(page.status).phrase.encode(), headers=headers
    )
    head = http.send(response) or b""
    return head + page.body if with_body else head
