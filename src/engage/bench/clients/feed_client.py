"""The feed's clients, a hand: thousands of websockets that count what they are sent.

Frames are read by hand, which costs a fraction of a library, so that the server is what is measured.
"""

import asyncio
import time
from asyncio import Future
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from msgspec import Struct

from engage import sandbox_secrets
from engage.bench.setup.child_program import obey
from engage.bench.setup.constants import HOST, many_files, member_id
from engage.clock import Clock
from engage.tokens.signing import sign

TOKEN_LIFE = timedelta(minutes=15)
OPENED_AT_ONCE = 50
OPEN_S = 60.0

TEXT, CLOSE, PING = 1, 8, 9
PONG = b"\x8a"
ACTIVE = b'"cause":"active"'


class Open(Struct, frozen=True, tag=True):
    """So many sockets of the feed, for members `<prefix>0`, `<prefix><every>` and so on. Without `secrets`:
    of a server that asks for no credentials and sends no snapshot.
    """

    port: int
    prefix: str
    count: int
    program_id: str = ""
    secrets: str | None = None
    every: int = 1


class Count(Struct, frozen=True, tag=True):
    """So many messages to all sockets together. Each time that all could have got one, a byte is sent to
    `pace_port`.
    """

    messages: int
    pace_port: int
    limit_s: float = 120.0


class Listen(Struct, frozen=True, tag=True):
    """From now on, note when which socket first hears of points that became active."""


class Heard(Struct, frozen=True, tag=True):
    """What has been noted since."""


class Leave(Struct, frozen=True, tag=True):
    """All sockets end."""


class Opened(Struct, frozen=True):
    count: int


class Counted(Struct, frozen=True):
    """Messages after the first, the time from the first to the last, and how much of it we were busy."""

    messages: int
    seconds: float
    busy_s: float

    @property
    def rate(self) -> float:
        return self.messages / self.seconds


class Noted(Struct, frozen=True):
    """Wall times by the number of the member."""

    first_heard: dict[int, datetime]


class Crowd:
    """What all sockets of this process have been sent."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.received = 0
        self.began = 0.0
        self.round = 0  # A byte is due when so many have been received; 0 is never.
        self.step = 0
        self.wanted = 0
        self.pace: asyncio.Transport | None = None
        self.counted: Future[None] | None = None
        self.broken: str | None = None
        self.heard: dict[int, datetime] | None = None

    def take(self, messages: int) -> None:
        if not self.received:
            self.began = time.perf_counter()
        self.received += messages
        while self.round and self.received >= self.round:
            self.round += self.step
            assert self.pace is not None
            self.pace.write(b".")
        if self.counted is not None and self.received >= self.wanted and not self.counted.done():
            self.counted.set_result(None)

    def lost(self, why: str) -> None:
        self.broken = why
        if self.counted is not None and not self.counted.done():
            self.counted.set_exception(RuntimeError(why))

    async def act(self, order: Open | Count | Listen | Heard | Leave) -> Struct:
        match order:
            case Open():
                return await self._open(order)
            case Count():
                return await self._count(order)
            case Listen():
                self.heard = {}
                return Opened(len(self.sockets))
            case Heard():
                return Noted(self.heard or {})
            case Leave():
                gone, self.sockets = self.sockets, []
                for socket in gone:
                    socket.leave()
                return Opened(len(gone))

    async def _open(self, order: Open) -> Opened:
        many_files()
        loop = asyncio.get_running_loop()
        secrets = None if order.secrets is None else sandbox_secrets.read(Path(order.secrets))
        turns = asyncio.Semaphore(OPENED_AT_ONCE)

        async def connect(number: int) -> Socket:
            authorization = ""
            if secrets is not None:
                member = member_id(order.prefix, number)
                token = sign(secrets, order.program_id, member, TOKEN_LIFE)
                authorization = f"Authorization: Bearer {token}\r\n"
            async with turns:
                # The feed is ready for us when it has sent its snapshot.
                made = Socket(self, number, authorization, order.port, 0 if secrets is None else 1)
                await loop.create_connection(lambda: made, HOST, order.port)
                await made.ready
            return made

        async with asyncio.timeout(OPEN_S):
            self.sockets += await asyncio.gather(
                *(connect(n) for n in range(0, order.count * order.every, order.every))
            )
        if self.broken is not None:
            raise RuntimeError(self.broken)
        return Opened(len(self.sockets))

    async def _count(self, order: Count) -> Counted:
        loop = asyncio.get_running_loop()
        self.round = self.step = len(self.sockets)
        self.wanted, self.received = order.messages, 0
        self.counted = loop.create_future()
        # Connecting begins it.
        self.pace, _ = await loop.create_connection(asyncio.Protocol, HOST, order.pace_port)
        busy = time.process_time()
        try:
            async with asyncio.timeout(order.limit_s):
                await self.counted
            seconds = time.perf_counter() - self.began
            return Counted(self.received - 1, seconds, time.process_time() - busy)
        finally:
            self.round = 0
            self.counted = None
            if self.pace is not None:
                self.pace.abort()


class Socket(asyncio.Protocol):
    """`ready` once the server has said yes, and sent `greetings` messages, which do not count."""

    def __init__(self, crowd: Crowd, number: int, authorization: str, port: int, greetings: int) -> None:
        self.ready: Future[None] = asyncio.get_running_loop().create_future()
        self._crowd = crowd
        self._number = number
        self._greetings = greetings
        self._shaken = False
        self._leaving = False
        self._rest = b""
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
        if self._rest:
            data = self._rest + data
        if not self._shaken:
            self._rest = data
            head, ended, rest = data.partition(b"\r\n\r\n")
            if not ended:
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self._fail(f"a socket was refused: {head[:80]!r}")
                return
            self._shaken = True
            data = rest
            if not self._greetings:
                self.ready.set_result(None)
        messages, self._rest = self._read(data)
        if self._greetings and messages:
            self._greetings -= 1
            messages -= 1
            self.ready.set_result(None)
        if messages:
            self._crowd.take(messages)

    def _read(self, data: bytes) -> tuple[int, bytes]:
        """(text messages, what is left over)."""
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
                if self._crowd.heard is not None and data.find(ACTIVE, start, start + length) >= 0:
                    self._crowd.heard.setdefault(self._number, Clock().wall())
            elif kind == PING:
                # Masked by zeros, which the protocol allows.
                self._transport.write(
                    PONG + bytes((0x80 | length,)) + bytes(4) + data[start : start + length]
                )
            elif kind == CLOSE:
                self._fail(f"the server closed a socket: {data[start : start + length]!r}")
            at = start + length
        return messages, data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._leaving:
            self._fail(f"a socket was lost ({exc})")

    def leave(self) -> None:
        self._leaving = True
        self._transport.abort()

    def _fail(self, why: str) -> None:
        self._crowd.lost(why)
        if not self.ready.done():
            self.ready.set_exception(RuntimeError(why))


if __name__ == "__main__":
    obey(Open | Count | Listen | Heard | Leave, Crowd().act)
