"""The load client sends every request once, measures latencies and reports broken connections."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from engage.bench.clients.http_client import SendAll, SendAtRate, send_all, send_at_rate
from engage.bench.clients.load import Connection, Load
from engage.bench.setup.constants import HOST

RESPONSE = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok"
REQUESTS = [f"POST /{number} HTTP/1.1\r\n\r\n".encode() for number in range(20)]
DELAY_S = 0.05
END_S = 30.0  # A guard against hanging, not a tested limit.


class Server:
    """Answers after a delay, or closes the connection after some requests. With `keeps_open` false, it closes
    each when it has answered.
    """

    def __init__(
        self, *, delay_s: float = 0.0, closes_after: int | None = None, keeps_open: bool = True
    ) -> None:
        self.received: list[bytes] = []
        self.port = 0
        self._delay_s = delay_s
        self._closes_after = closes_after
        self._keeps_open = keeps_open

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(1_000):
            self.received.append(request)
            await asyncio.sleep(self._delay_s)
            if self._closes_after is not None and len(self.received) > self._closes_after:
                break
            # In two parts, as a network may deliver a response.
            writer.write(RESPONSE[:10])
            await asyncio.sleep(0)
            writer.write(RESPONSE[10:])
            if not self._keeps_open:
                break
        writer.close()


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    listener = await asyncio.start_server(server.serve, HOST, 0)
    async with listener:
        server.port = listener.sockets[0].getsockname()[1]
        yield server


async def test_each_request_is_sent_once() -> None:
    async with running(Server()) as server:
        request = SendAll(server.port, "POST", "/", "m-", 0, len(REQUESTS), connections=4)
        result = await send_all(request, REQUESTS)
    assert result.statuses == {202: len(REQUESTS)}
    assert sorted(server.received) == sorted(REQUESTS)


async def test_latency_includes_the_wait_for_a_free_connection() -> None:
    async with running(Server(delay_s=DELAY_S)) as server:
        request = SendAtRate(server.port, "POST", "/", "m-", 4, connections=1, rate=1_000)
        result = await send_at_rate(request, REQUESTS[:4])
    assert result.statuses == {202: 4}
    assert result.max_s > 3 * DELAY_S


async def test_a_closed_connection_fails_the_load() -> None:
    async with running(Server(closes_after=2)) as server:
        request = SendAll(server.port, "POST", "/", "m-", 0, len(REQUESTS), connections=1)
        with pytest.raises(RuntimeError, match="the server closed a connection"):
            await send_all(request, REQUESTS)


@pytest.mark.parametrize("turns", [0, 5], ids=["at_once", "later"])
async def test_a_connection_that_was_closed_while_idle_is_opened_again(turns: int) -> None:
    sending: list[asyncio.Task[None]] = []

    async def send_when_closed(connection: Connection) -> None:
        async with asyncio.timeout(END_S):
            while not connection.transport.is_closing():
                await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        connection.send(REQUESTS[1])

    def on_response(connection: Connection) -> None:
        if not sending:
            sending.append(asyncio.create_task(send_when_closed(connection)))

    async def start(connections: Sequence[Connection]) -> None:
        connections[0].send(REQUESTS[0])

    async with running(Server(keeps_open=False)) as server:
        result = await Load(2, on_response).run(server.port, 1, start, limit_s=END_S)
    assert result.statuses == {202: 2}
    assert server.received == REQUESTS[:2]
