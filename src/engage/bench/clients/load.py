"""Send HTTP requests over keep-alive connections and measure the responses.

The client must never be the bottleneck, so it works on bare sockets: a response costs a search for the end of
its head and a look at its status. `engage bench tap` measures how fast the client is.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from msgspec import Struct

from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import percentile
from engage.bench.setup.child_program import ChildProgram
from engage.bench.setup.constants import HOST

CONNECT_S = 10.0


class LoadResult(Struct, frozen=True):
    """Responses by status, and their latencies from the time when each request was to be sent.

    `seconds` is from the first request to the last response, `busy_s` the CPU time of the client in it.
    """

    seconds: float
    busy_s: float
    statuses: dict[int, int]
    p50_s: float
    p99_s: float
    max_s: float

    @property
    def rate(self) -> float:
        return sum(self.statuses.values()) / self.seconds


class Connection(asyncio.Protocol):
    """A connection with one request at a time. `response` is the last one, with its head.

    A server closes a connection that is idle for seconds. The next request opens it again.
    """

    __slots__ = (
        "_is_lost",
        "_is_waiting",
        "_load",
        "_partial",
        "_sent_at",
        "_unsent",
        "response",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._partial = b""
        self._sent_at = 0.0
        self._unsent = b""
        self._is_waiting = self._is_lost = False
        self.response = b""

    def send(self, request: bytes, due: float | None = None) -> None:
        """Send a request. Its latency counts from `due`, in seconds of perf_counter, or from now."""
        self._sent_at = time.perf_counter() if due is None else due
        self._is_waiting = True
        if self._is_lost:
            self._load.open_again(self, request)
        elif self.transport.is_closing():
            self._unsent = request
        else:
            self.transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport has the methods of asyncio.Transport but is no subclass.
        self.transport = cast(asyncio.Transport, transport)
        self._is_lost = False

    def data_received(self, data: bytes) -> None:
        if self._partial:
            data = self._partial + data
        end = _end(data)
        if end is None or end > len(data):
            self._partial = data
            return
        self._partial = b""
        self._is_waiting = False
        self.response = data
        self._load.receive(self, data[9:12], time.perf_counter() - self._sent_at)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        if self._unsent:
            request, self._unsent = self._unsent, b""
            self._load.open_again(self, request)
        elif self._is_waiting:
            self._load.fail(f"the server closed a connection without an answer ({exc})")


def _end(data: bytes) -> int | None:
    """Return the length of the first response, or None while its head is incomplete."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    at = data.find(b"content-length: ", 0, head)
    if at < 0 and data[9:12] == b"304":  # Has no body.
        return head + 4
    if at < 0:
        raise RuntimeError(f"a response without content-length: {data[:head]!r}")
    return head + 4 + int(data[at + 16 : data.index(b"\r", at)])


class Load:
    """Connections, until the expected number of responses is there. Calls `on_response` after each."""

    def __init__(self, responses: int, on_response: Callable[[Connection], None]) -> None:
        self._missing = responses
        self._on_response = on_response
        self._port = 0
        self._connections: list[Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._statuses: Counter[bytes] = Counter()
        self._latencies: list[float] = []
        self._finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def has_ended(self) -> bool:
        return self._finished.done()

    def receive(self, connection: Connection, status: bytes, latency: float) -> None:
        self._statuses[status] += 1
        self._latencies.append(latency)
        self._missing -= 1
        self._on_response(connection)
        if self._missing == 0:
            self.finish()

    def finish(self) -> None:
        """End the load: all responses are there."""
        if not self._finished.done():
            self._finished.set_result(None)

    def fail(self, reason: str) -> None:
        if not self._finished.done():
            self._finished.set_exception(RuntimeError(reason))

    async def run(
        self,
        port: int,
        connections: int,
        start: Callable[[Sequence[Connection]], Awaitable[None]],
        *,
        limit_s: float,
    ) -> LoadResult:
        """Connect, call `start` to send the first requests, and wait for all responses.

        Raises RuntimeError if a connection breaks or `fail` was called, TimeoutError after the limit.
        """
        try:
            await self._connect(port, connections)
            started, cpu = time.perf_counter(), time.process_time()
            async with asyncio.timeout(limit_s):
                await start(self._connections)
                await self._finished
            return self._result(time.perf_counter() - started, time.process_time() - cpu)
        finally:
            # Closing a connection is no failure any more.
            self._finished.cancel()
            for opening in self._opening:
                opening.cancel()
            await asyncio.gather(*self._opening, return_exceptions=True)
            for connection in self._connections:
                connection.transport.abort()
            await asyncio.sleep(0)

    async def _connect(self, port: int, count: int) -> None:
        self._port = port
        async with asyncio.timeout(CONNECT_S):
            for _ in range(count):
                connection = Connection(self)
                await self._open(connection)
                self._connections.append(connection)

    async def _open(self, connection: Connection) -> None:
        await asyncio.get_running_loop().create_connection(lambda: connection, HOST, self._port)

    def open_again(self, connection: Connection, request: bytes) -> None:
        """Open a connection that the server closed while it was idle, and send a request."""
        opening = asyncio.create_task(self._open_again(connection, request))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open_again(self, connection: Connection, request: bytes) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._open(connection)
        except OSError as error:  # TimeoutError too.
            self.fail(f"the server takes no connection ({error})")
        else:
            connection.transport.write(request)

    def _result(self, seconds: float, busy_s: float) -> LoadResult:
        return LoadResult(
            seconds,
            busy_s,
            {int(status): count for status, count in self._statuses.items()},
            percentile(self._latencies, 50),
            percentile(self._latencies, 99),
            max(self._latencies),
        )


async def request_load(client: ChildProgram, request: Struct, expected: dict[int, int]) -> LoadResult:
    """Let a client send its requests. Raises BenchmarkFailed unless the responses have these statuses."""
    result = await client.call(request, LoadResult)
    if result.statuses != expected:
        raise BenchmarkFailed(f"{client.name}: expected responses {expected}, got {result.statuses}")
    return result
