"""The operations port against many, slow and hostile clients."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from engage.metrics import port as operations
from engage.metrics.numbers import Counter
from engage.metrics.port import HEAD_BYTES, Page, open_port
from tests.support.eventually import WITHIN_S

HOST = "127.0.0.1"
BODY = b"engage_taps_total 1\n" * 20_000


class Server:
    """A port with one page, and a count of how often the page was made."""

    def __init__(self) -> None:
        self.requests = Counter("engage_operations_requests", "…", ("answer",))
        self.made = 0
        self.port = 0
        self.fails = False

    async def page(self) -> Page:
        self.made += 1
        await asyncio.sleep(0)
        if self.fails:
            raise ValueError("a bug")
        return Page(BODY, "text/plain")

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/metrics"

    def count(self, answer: str) -> float:
        return self.requests.numbers.get((answer,), 0)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    async with open_port(HOST, 0, {"/metrics": server.page}, server.requests) as server.port:
        yield server


async def send(server: Server, request: bytes) -> bytes:
    """Send bytes, and read until the server ends the connection."""
    reader, writer = await asyncio.open_connection(HOST, server.port)
    try:
        writer.write(request)
        async with asyncio.timeout(WITHIN_S):
            with suppress(ConnectionError):
                return await reader.read()
        return b""
    finally:
        writer.close()


async def test_a_page_is_made_once_for_all_who_ask() -> None:
    async with serving() as server, httpx.AsyncClient() as client:
        for _ in range(3):
            answers = await asyncio.gather(*(client.get(server.url) for _ in range(10)))
            assert {(answer.status_code, answer.content) for answer in answers} == {(200, BODY)}
        assert server.made <= 3
        assert server.count("200") == 30


async def test_a_flood_is_bounded_and_ends() -> None:
    async with serving() as server:
        request = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"
        answers = await asyncio.gather(*(send(server, request) for _ in range(300)))
        answered = sum(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        assert 0 < answered <= 300
        assert server.made <= 5
        async with httpx.AsyncClient() as client:
            assert (await client.get(server.url)).status_code == 200


async def test_a_silent_client_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "REQUEST_S", 0.1)
    async with serving() as server:
        assert await send(server, b"") == b""
        assert await send(server, b"GET /metrics HTTP/1.1\r\nhost: ") == b""
        assert server.count("broken") == 2


async def test_a_client_that_takes_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "ANSWER_S", 0.1)
    async with serving() as server:
        reader, writer = await asyncio.open_connection(HOST, server.port, limit=1)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        async with asyncio.timeout(WITHIN_S):
            while not server.count("broken"):
                await asyncio.sleep(0.01)
        writer.close()
        assert not reader.at_eof()


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 405 "),
        (b"GET /other HTTP/1.1\r\nhost: x\r\n\r\n", b"HTTP/1.1 404 "),
        (b"GET /metrics?a=b HTTP/1.1\r\nhost: x\r\n\r\n", b"HTTP/1.1 200 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100, b""),
        (b"GET /metrics HTTP/1.1\r\nx: " + b"y" * (10 * HEAD_BYTES), b""),
    ],
)
async def test_other_requests_are_refused(request_: bytes, answer: bytes) -> None:
    async with serving() as server:
        assert (await send(server, request_))[: len(answer) or None] == answer


async def test_head_has_no_body() -> None:
    async with serving() as server, httpx.AsyncClient() as client:
        answer = await client.head(server.url)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-length"] == str(len(BODY))


async def test_a_page_that_fails_is_an_answer_and_the_port_goes_on() -> None:
    async with serving() as server, httpx.AsyncClient() as client:
        server.fails = True
        assert (await client.get(server.url)).status_code == 500
        server.fails = False
        async with asyncio.timeout(WITHIN_S):
            while (await client.get(server.url)).status_code != 200:
                await asyncio.sleep(0.05)
