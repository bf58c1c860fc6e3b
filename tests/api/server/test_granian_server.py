"""The server: deadlines for heads, idle connections, other protocols; and an end without a broken request."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import chain, islice, repeat
from typing import Any

import pytest

from engage.api.server import granian_server
from engage.api.server.connections import Limits
from engage.api.server.granian_server import HttpServer
from engage.api.server.listening import listening_socket

HOST = "127.0.0.1"
HEAD_S = 0.3
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n"
LIMIT_S = 60.0  # A guard against hanging.


class Running:
    """A server with an application that answers when it may."""

    def __init__(self, port: int, limits: Limits) -> None:
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.closing_calls = 0
        self.begun = asyncio.Event()
        self.server = HttpServer(self.app, listening_socket(HOST, port), limits, self._closing)
        self.ended = asyncio.create_task(self.server.run())

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message.get("more_body", False)
        self.begun.set()
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok", "more_body": False})

    def _closing(self) -> None:
        self.closing_calls += 1


@pytest.fixture
async def port() -> int:
    with listening_socket(HOST, 0) as free:
        port: int = free.getsockname()[1]
    return port


@pytest.fixture
def head_s() -> float:
    """A test parametrizes it to have another one."""
    return HEAD_S


@pytest.fixture
async def running(port: int, head_s: float, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(granian_server, "HEAD_S", head_s)
    running = Running(port, Limits())
    yield running
    running.may_answer.set()
    running.server.stop()
    async with asyncio.timeout(LIMIT_S):
        await running.ended


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self._writer = reader, writer

    def send(self, octets: bytes) -> None:
        self._writer.write(octets)

    async def answer(self) -> bytes:
        """Return the head of the next answer in lower case."""
        async with asyncio.timeout(LIMIT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            assert await self.reader.readexactly(2) == b"ok"
        return head.lower()

    async def end(self) -> float:
        """Wait until the server ends the connection; return after how many seconds it did."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with asyncio.timeout(LIMIT_S):
            with suppress(ConnectionResetError):  # Something was on its way to the server.
                while await self.reader.read(1024):
                    pass
        return loop.time() - begun

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def trickle(self, octets: Iterable[int]) -> None:
        for octet in octets:
            self.send(bytes((octet,)))
            await asyncio.sleep(HEAD_S / 10)


Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
async def connect(running: Running, port: int) -> AsyncIterator[Connect]:
    """Connect and send something. Connections are closed at the end of the test."""
    clients: list[Client] = []

    async def connect(sent: bytes = b"") -> Client:
        clients.append(Client(*await asyncio.open_connection(HOST, port)))
        clients[-1].send(sent)
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HT", GET, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00"],
    ids=["silent", "half a head", "idle after an answer", "the preface of HTTP/2", "TLS"],
)
async def test_a_client_is_not_waited_for_without_a_deadline(connect: Connect, sent: bytes) -> None:
    client = await connect(sent)
    assert await client.end() < HEAD_S + 1.0


async def test_a_head_that_trickles_has_the_same_deadline(connect: Connect) -> None:
    client = await connect()
    endless = chain(b"GET / HTTP/1.1\r\nx: ", repeat(ord("a")))
    trickling = asyncio.create_task(client.trickle(endless))
    assert await client.end() < HEAD_S + 1.0
    trickling.cancel()


async def test_a_head_that_is_too_long_is_refused(connect: Connect) -> None:
    client = await connect(b"GET / HTTP/1.1\r\nx: " + b"a" * granian_server.HEAD_BYTES)
    async with asyncio.timeout(LIMIT_S):
        assert b" 431 " in await client.reader.readline()


@pytest.mark.parametrize("head_s", [2 * LIMIT_S])
async def test_an_address_with_too_many_connections_loses_its_silent_ones(
    running: Running, connect: Connect, head_s: float
) -> None:
    running.server.connections.limits = Limits(per_address=5, total=100)
    running.may_answer.clear()
    waiting = [await connect(GET) for _ in range(4)]
    await running.begun.wait()
    silent = [await connect() for _ in range(4)] + [await connect(POST + b"half") for _ in range(4)]
    async with asyncio.timeout(LIMIT_S):
        while running.server.connections.answering < 4 or len(running.server.connections.open()) < 12:
            await asyncio.sleep(0.01)
    running.server.connections.close_excess(1.0)
    ends = [asyncio.create_task(client.end()) for client in silent]
    assert [await end < head_s for end in islice(asyncio.as_completed(ends), 7)] == [True] * 7
    for end in ends:
        end.cancel()
    running.may_answer.set()
    for client in waiting:
        assert b" 200 " in await client.answer()


NEXT = """
import asyncio, sys
from engage.api.server.listening import listening_socket

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok")

async def main():
    server = await asyncio.start_server(answer, sock=listening_socket("127.0.0.1", int(sys.argv[1])))
    print("listening", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@asynccontextmanager
async def next_process(port: int) -> AsyncIterator[None]:
    """Run a process that listens on the same port and answers."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", NEXT, str(port), stdout=PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"listening\n"
    yield
    process.kill()
    await process.wait()


@pytest.mark.parametrize("head_s", [120.0])  # Starting the next process takes longer than the usual one.
async def test_a_drain_breaks_no_request_and_refuses_no_connection(
    running: Running, connect: Connect, port: int
) -> None:
    """The next process shares the port. Clients with a connection to this one learn to leave it."""
    held = await connect(GET)
    assert b"connection: close" not in await held.answer()
    async with next_process(port):
        running.server.drain()
        assert running.closing_calls == 1
        held.send(GET)
        assert b"connection: close" in await held.answer()
        while not running.ended.done():
            client = await connect(GET)
            assert b" 200 " in await client.answer()
            await client.close()
        assert b" 200 " in await (await connect(GET)).answer()


async def test_a_drain_waits_for_requests_in_progress_and_for_nobody_else(
    running: Running, connect: Connect, head_s: float
) -> None:
    running.may_answer.clear()
    waiting = await connect(GET)
    silent, half, arriving = (
        await connect(),
        await connect(b"GET"),
        await connect(POST + b"x"),
    )
    await running.begun.wait()
    running.server.drain()
    running.server.drain()  # A second time: at once.
    await asyncio.gather(silent.end(), half.end(), arriving.end())
    assert not running.ended.done()
    running.may_answer.set()
    assert b" 200 " in await waiting.answer()
    await asyncio.wait_for(running.ended, LIMIT_S)
