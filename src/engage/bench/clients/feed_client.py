"""A child program with thousands of websockets that count the messages they receive.

It parses frames itself, which costs a fraction of a library, so that the server is the bottleneck.
"""

import asyncio
import time
from asyncio import Future
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from msgspec import Struct

from engage import sandbox_secrets
from engage.bench.setup.child_program import answer_requests
from engage.bench.setup.constants import HOST, member_id, raise_file_limit
from engage.clock import machine_time
from engage.tokens.signing import sign

TOKEN_LIFE = timedelta(minutes=15)
CONCURRENT_OPENS = 50
OPEN_S = 60.0

TEXT, CLOSE, PING = 1, 8, 9
PONG = b"\x8a"
ACTIVE = b'"cause":"active"'


class OpenSockets(Struct, frozen=True, tag=True):
    """Open `count` sockets, for members `<prefix>0`, `<prefix><every>` and so on.

    Without `secrets` the server is one that needs no credentials and sends no snapshot.
    """

    port: int
    prefix: str
    count: int
    program_id: str = ""
    secrets: str | None = None
    every: int = 1


class CountMessages(Struct, frozen=True, tag=True):
    """Wait for so many messages to all sockets together.

    Send a byte to `pacer_port` whenever there was another message for each socket.
    """

    messages: int
    pacer_port: int
    limit_s: float = 120.0


class RecordActivations(Struct, frozen=True, tag=True):
    """Record from now on when each socket first receives an activation."""


class GetActivations(Struct, frozen=True, tag=True):
    """Return the recorded activations."""


class CloseSockets(Struct, frozen=True, tag=True):
    """Close all sockets."""


class SocketCount(Struct, frozen=True):
    count: int


class MessageCount(Struct, frozen=True):
    """Messages after the first, seconds from the first to the last, and the client's CPU time in them."""

    messages: int
    seconds: float
    busy_s: float

    @property
    def rate(self) -> float:
        return self.messages / self.seconds


class Activations(Struct, frozen=True):
    """Times of the first activation, by member number."""

    first: dict[int, datetime]


class FeedClient:
    """All sockets of this process and the messages they received."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.received = 0
        self.started = 0.0
        self.round_end = 0  # Number of messages at which the next byte is due; 0 is never.
        self.round_size = 0
        self.expected = 0
        self.pacer: asyncio.Transport | None = None
        self.complete: Future[None] | None = None
        self.failure: str | None = None
        self.activations: dict[int, datetime] | None = None

    def receive(self, messages: int) -> None:
        if not self.received:
            self.started = time.perf_counter()
        self.received += messages
        while self.round_end and self.received >= self.round_end:
            self.round_end += self.round_size
            assert self.pacer is not None
            self.pacer.write(b".")
        if self.complete is not None and self.received >= self.expected and not self.complete.done():
            self.complete.set_result(None)

    def fail(self, reason: str) -> None:
        self.failure = reason
        if self.complete is not None and not self.complete.done():
            self.complete.set_exception(RuntimeError(reason))

    async def handle(
        self, request: OpenSockets | CountMessages | RecordActivations | GetActivations | CloseSockets
    ) -> Struct:
        match request:
            case OpenSockets():
                return await self._open(request)
            case CountMessages():
                return await self._count(request)
            case RecordActivations():
                self.activations = {}
                return SocketCount(len(self.sockets))
            case GetActivations():
                return Activations(self.activations or {})
            case CloseSockets():
                closed, self.sockets = self.sockets, []
                for socket in closed:
                    socket.close()
                return SocketCount(len(closed))

    async def _open(self, request: OpenSockets) -> SocketCount:
        raise_file_limit()
        loop = asyncio.get_running_loop()
        secrets = None if request.secrets is None else sandbox_secrets.read(Path(request.secrets))
        semaphore = asyncio.Semaphore(CONCURRENT_OPENS)

        async def connect(number: int) -> Socket:
            authorization = ""
            if secrets is not None:
                member = member_id(request.prefix, number)
                token = sign(secrets, request.program_id, member, TOKEN_LIFE)
                authorization = f"Authorization: Bearer {token}\r\n"
            async with semaphore:
                # A socket of the feed is ready after the snapshot.
                socket = Socket(self, number, authorization, request.port, 0 if secrets is None else 1)
                await loop.create_connection(lambda: socket, HOST, request.port)
                await socket.ready
            return socket

        async with asyncio.timeout(OPEN_S):
            self.sockets += await asyncio.gather(
                *(connect(n) for n in range(0, request.count * request.every, request.every))
            )
        if self.failure is not None:
            raise RuntimeError(self.failure)
        return SocketCount(len(self.sockets))

    async def _count(self, request: CountMessages) -> MessageCount:
        loop = asyncio.get_running_loop()
        self.round_end = self.round_size = len(self.sockets)
        self.expected, self.received = request.messages, 0
        self.complete = loop.create_future()
        # The connection starts the sender.
        self.pacer, _ = await loop.create_connection(asyncio.Protocol, HOST, request.pacer_port)
        cpu = time.process_time()
        try:
            async with asyncio.timeout(request.limit_s):
                await self.complete
            seconds = time.perf_counter() - self.started
            return MessageCount(self.received - 1, seconds, time.process_time() - cpu)
        finally:
            self.round_end = 0
            self.complete = None
            if self.pacer is not None:
                self.pacer.abort()


class Socket(asyncio.Protocol):
    """A websocket. It is `ready` after the handshake and `greetings` messages, which are not counted."""

    def __init__(
        self, client: FeedClient, number: int, authorization: str, port: int, greetings: int
    ) -> None:
        self.ready: Future[None] = asyncio.get_running_loop().create_future()
        self._client = client
        self._number = number
        self._greetings = greetings
        self._is_open = False
        self._is_closing = False
        self._partial = b""
        self._handshake = (
            f"GET / HTTP/1.1\r\nHost: {HOST}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"{authorization}\r\n"
        ).encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._handshake)
        self._handshake = b""

    def data_received(self, data: bytes) -> None:
        if self._partial:
            data = self._partial + data
        if not self._is_open:
            self._partial = data
            head, separator, rest = data.partition(b"\r\n\r\n")
            if not separator:
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self._fail(f"a socket was refused: {head[:80]!r}")
                return
            self._is_open = True
            data = rest
            if not self._greetings:
                self.ready.set_result(None)
        messages, self._partial = self._read(data)
        if self._greetings and messages:
            self._greetings -= 1
            messages -= 1
            self.ready.set_result(None)
        if messages:
            self._client.receive(messages)

    def _read(self, data: bytes) -> tuple[int, bytes]:
        """Parse frames. Return the number of text messages and the incomplete rest."""
        messages, at, size = 0, 0, len(data)
        while size - at >= 2:
            length, start = data[at + 1], at + 2
            if length == 126:
                if size - at < 4:
                    break
                length, start = int.from_bytes(data[at + 2 : at + 4]), at + 4
            if start + length > size:
                break
            kind = data[at] & 15
            if kind == TEXT:
                messages += 1
                if self._client.activations is not None and data.find(ACTIVE, start, start + length) >= 0:
                    self._client.activations.setdefault(self._number, machine_time())
            elif kind == PING:
                # The protocol allows a mask of zeros.
                self._transport.write(
                    PONG + bytes((0x80 | length,)) + bytes(4) + data[start : start + length]
                )
            elif kind == CLOSE:
                self._fail(f"the server closed a socket: {data[start : start + length]!r}")
            at = start + length
        return messages, data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_closing:
            self._fail(f"a socket was lost ({exc})")

    def close(self) -> None:
        self._is_closing = True
        self._transport.abort()

    def _fail(self, reason: str) -> None:
        self._client.fail(reason)
        if not self.ready.done():
            self.ready.set_exception(RuntimeError(reason))


if __name__ == "__main__":
    answer_requests(
        OpenSockets | CountMessages | RecordActivations | GetActivations | CloseSockets, FeedClient().handle
    )
