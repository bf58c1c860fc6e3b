"""The load client, a hand: keep-alive connections over bare sockets, with requests made beforehand.

It has to be so cheap that it never is what is measured: an answer costs a search for the end of its head and
a look at its status. `engage bench` measures its ceiling too.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import cast

from msgspec import Struct

from engage import sandbox_secrets
from engage.bench.figures import percentile
from engage.bench.setup.child_program import obey
from engage.bench.setup.constants import HOST, member_id
from engage.tokens.signing import sign

CONNECT_S = 10.0
TOKEN_LIFE = timedelta(minutes=15)
PACE_S = 0.002


class Sign(Struct, frozen=True, tag=True):
    """Have tokens for members `<prefix>0` to `<prefix>count`. `secrets` is the file of the signing key."""

    secrets: str
    program_id: str
    prefix: str
    count: int


class Rush(Struct, frozen=True, tag=True):
    """One request for each member from `first` on, each connection sending its next when it is answered."""

    port: int
    method: str
    path: str
    prefix: str
    first: int
    count: int
    connections: int
    limit_s: float = 120.0


class Stream(Struct, frozen=True, tag=True):
    """One request for each member from `first` on, `rate` a second however fast they are answered."""

    port: int
    method: str
    path: str
    prefix: str
    count: int
    connections: int
    rate: int
    first: int = 0
    limit_s: float = 300.0


class Signed(Struct, frozen=True):
    count: int


class Load(Struct, frozen=True):
    """Answers by status, the time from the first request to the last answer, how much of it this process was
    busy, and how long answers took, from when a request was to be sent.
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


class Line(asyncio.Protocol):
    """A connection, with one request under way. `answered` is called with the line, free again; `answer` is
    then what came, head and all.
    """

    __slots__ = ("_answered", "_began", "_taken", "answer", "broken", "statuses", "took", "transport")

    transport: asyncio.Transport

    def __init__(
        self, answered: Callable[["Line"], None], statuses: Counter[bytes], took: list[float]
    ) -> None:
        self._answered = answered
        self._taken = b""
        self._began = 0.0
        self.answer = b""
        self.statuses = statuses
        self.took = took
        self.broken: str | None = None

    def send(self, request: bytes, began: float) -> None:
        self._began = began
        self.transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # As uvloop's is, without being its subclass.

    def data_received(self, data: bytes) -> None:
        if self._taken:
            data = self._taken + data
        ends = _end(data)
        if ends is None or ends > len(data):
            self._taken = data
            return
        self._taken = b""
        self.answer = data
        self.statuses[data[9:12]] += 1
        self.took.append(time.perf_counter() - self._began)
        self._answered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.broken = f"the server closed a connection ({exc})"
        self._answered(self)


def _end(data: bytes) -> int | None:
    """Where the first answer ends, or will; None while its head is not there."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    at = data.find(b"content-length: ", 0, head)
    if at < 0:
        raise RuntimeError(f"an answer without content-length: {data[:head]!r}")
    return head + 4 + int(data[at + 16 : data.index(b"\r", at)])


class Client:
    """Keeps the tokens of all who were signed for."""

    def __init__(self) -> None:
        self._tokens: dict[str, list[str]] = {}

    async def act(self, order: Sign | Rush | Stream) -> Struct:
        match order:
            case Sign():
                secrets = sandbox_secrets.read(Path(order.secrets))
                self._tokens[order.prefix] = [
                    sign(secrets, order.program_id, member_id(order.prefix, n), TOKEN_LIFE)
                    for n in range(order.count)
                ]
                return Signed(order.count)
            case Rush():
                return await rush(order, self._requests(order))
            case Stream():
                return await stream(order, self._requests(order))

    def _requests(self, order: Rush | Stream) -> list[bytes]:
        tokens = self._tokens[order.prefix][order.first : order.first + order.count]
        assert len(tokens) == order.count
        length = "" if order.method == "GET" else "content-length: 0\r\n"
        head = f"{order.method} {order.path} HTTP/1.1\r\nhost: {HOST}\r\n{length}authorization: Bearer "
        return [f"{head}{token}\r\n\r\n".encode() for token in tokens]


async def rush(order: Rush, requests: list[bytes]) -> Load:
    """Raises RuntimeError where a connection breaks, TimeoutError after the limit."""
    done = asyncio.get_running_loop().create_future()
    remaining = iter(requests)
    left = len(requests)

    def answered(line: Line) -> None:
        nonlocal left
        if line.broken is not None:
            if not done.done():
                done.set_exception(RuntimeError(line.broken))
            return
        left -= 1
        request = next(remaining, None)
        if request is not None:
            line.send(request, time.perf_counter())
        elif left == 0 and not done.done():
            done.set_result(None)

    lines, statuses, took = await connect(order.port, min(order.connections, len(requests)), answered)
    try:
        began, busy = time.perf_counter(), time.process_time()
        for line in lines:
            line.send(next(remaining), time.perf_counter())
        async with asyncio.timeout(order.limit_s):
            await done
        return load_of(time.perf_counter() - began, time.process_time() - busy, statuses, took)
    finally:
        await hang_up(lines)


async def stream(order: Stream, requests: list[bytes]) -> Load:
    """Raises as `rush`. A request that finds no connection free waits for one, and its time runs."""
    done = asyncio.get_running_loop().create_future()
    # In turn, so that none is idle for so long that the server closes it.
    free: deque[Line] = deque()
    waiting: deque[tuple[bytes, float]] = deque()
    left = len(requests)

    def answered(line: Line) -> None:
        nonlocal left
        if line.broken is not None:
            if not done.done():
                done.set_exception(RuntimeError(line.broken))
            return
        left -= 1
        if waiting:
            line.send(*waiting.popleft())
        else:
            free.append(line)
        if left == 0 and not done.done():
            done.set_result(None)

    lines, statuses, took = await connect(order.port, order.connections, answered)
    free.extend(lines)
    try:
        began, busy = time.perf_counter(), time.process_time()
        async with asyncio.timeout(order.limit_s):
            sent = 0
            while sent < len(requests) and not done.done():
                now_due = min(int((time.perf_counter() - began) * order.rate) + 1, len(requests))
                for number in range(sent, now_due):
                    was_due = began + number / order.rate
                    if free:
                        free.popleft().send(requests[number], was_due)
                    else:
                        waiting.append((requests[number], was_due))
                sent = now_due
                await asyncio.sleep(PACE_S)
            await done
        return load_of(time.perf_counter() - began, time.process_time() - busy, statuses, took)
    finally:
        await hang_up(lines)


async def connect(
    port: int, count: int, answered: Callable[[Line], None]
) -> tuple[list[Line], Counter[bytes], list[float]]:
    statuses: Counter[bytes] = Counter()
    took: list[float] = []
    loop = asyncio.get_running_loop()
    lines = []
    async with asyncio.timeout(CONNECT_S):
        for _ in range(count):
            _, line = await loop.create_connection(lambda: Line(answered, statuses, took), HOST, port)
            lines.append(line)
    return lines, statuses, took


async def hang_up(lines: list[Line]) -> None:
    for line in lines:
        line.transport.abort()
    await asyncio.sleep(0)


def load_of(seconds: float, busy_s: float, statuses: Counter[bytes], took: list[float]) -> Load:
    return Load(
        seconds,
        busy_s,
        {int(status): count for status, count in statuses.items()},
        percentile(took, 50),
        percentile(took, 99),
        max(took),
    )


if __name__ == "__main__":
    obey(Sign | Rush | Stream, Client().act)
