"""A child program with thousands of apps, each with a websocket that knows its member's balance.

An app whose socket is lost connects again after a short random wait, with the highest `seq` that it has seen.
"""

import asyncio
import random
import time
from asyncio import Future, Task
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final, cast

import msgspec
from msgspec import Struct

from engage import sandbox_secrets
from engage.bench.clients.frames import CLOSE, PING, TEXT, pong, read_frames, text_frame
from engage.bench.errors import BenchmarkFailed
from engage.bench.setup.child_program import answer_requests
from engage.bench.setup.constants import HOST, member_id, raise_file_limit
from engage.sandbox_secrets import SandboxSecrets
from engage.tokens.signing import sign

TOKEN_LIFE: Final = timedelta(minutes=15)
FRESH_S: Final = 600.0  # An app takes a new token after this time.
OPEN_AT_ONCE: Final = 50  # Of those that open in peace.
FIRST_WAIT_S: Final = 0.5  # Up to so long, and twice as long after each attempt that failed.
LAST_WAIT_S: Final = 4.0
ANSWER_S: Final = 10.0


class OpenApps(Struct, frozen=True, tag=True):
    """Open an app of each member `<prefix><first>` and on, or of every so many of them, in peace."""

    port: int
    prefix: str
    count: int
    program_id: str
    secrets: str
    first: int = 0
    every: int = 1
    limit_s: float = 280.0


class ExpectStorm(Struct, frozen=True, tag=True):
    """Forget until now who was served when."""


class AwaitServed(Struct, frozen=True, tag=True):
    """Wait until each app was served again, after a loss."""

    limit_s: float


class GetStates(Struct, frozen=True, tag=True):
    """Return what each app shows."""


class AppCount(Struct, frozen=True):
    count: int


class Served(Struct, frozen=True):
    """The times when apps were served again, in seconds of time.monotonic, and all attempts to connect."""

    at: list[float]
    attempts: int


class State(Struct, frozen=True, array_like=True):
    seq: int
    active: int
    pending: int
    held: int
    debt: int


class States(Struct, frozen=True):
    """The messages that apps show, by member number, and how often one was lost."""

    of: dict[int, State]
    lost: int


class _Balance(Struct):
    active: int
    pending: int
    held: int
    debt: int


class _Message(Struct):
    type: str
    seq: int
    balance: _Balance


_message = msgspec.json.Decoder(_Message)


class AppClient:
    """All apps of this process."""

    def __init__(self) -> None:
        self.apps: list[App] = []
        self.served: dict[int, float] = {}
        self.all_served = asyncio.Event()
        self.attempts = self.lost = 0
        self.failure: str | None = None

    async def handle(self, request: OpenApps | ExpectStorm | AwaitServed | GetStates) -> Struct:
        if self.failure is not None:
            raise BenchmarkFailed(self.failure)
        match request:
            case OpenApps():
                return await self._open(request)
            case ExpectStorm():
                self.served, self.attempts = {}, 0
                self.all_served.clear()
                return AppCount(len(self.apps))
            case AwaitServed():
                return await self._await_served(request)
            case GetStates():
                return States({app.number: app.state for app in self.apps if app.state}, self.lost)

    async def _open(self, request: OpenApps) -> AppCount:
        raise_file_limit()
        secrets = sandbox_secrets.read(Path(request.secrets))
        apps = [App(self, request, secrets, request.first + n * request.every) for n in range(request.count)]
        turn = asyncio.Semaphore(OPEN_AT_ONCE)

        async def open_app(app: App) -> None:
            async with turn:
                await app.connect()

        async with asyncio.timeout(request.limit_s):
            await asyncio.gather(*(open_app(app) for app in apps))
        self.apps += apps
        return AppCount(len(self.apps))

    async def _await_served(self, request: AwaitServed) -> Served:
        try:
            async with asyncio.timeout(request.limit_s):
                await self.all_served.wait()
        except TimeoutError:
            raise BenchmarkFailed(
                f"{len(self.served):,} of {len(self.apps):,} apps were served within {request.limit_s:.0f} s"
            ) from None
        return Served(list(self.served.values()), self.attempts)

    def serve(self, number: int) -> None:
        """Note that an app shows a balance since it connected."""
        self.served[number] = time.monotonic()
        if len(self.served) >= len(self.apps):
            self.all_served.set()


class App:
    """A member's app. `state` is what it shows."""

    def __init__(self, client: AppClient, request: OpenApps, secrets: SandboxSecrets, number: int) -> None:
        self.client = client
        self.number = number
        self.state: State | None = None
        self._request = request
        self._secrets = secrets
        self._token, self._token_at = "", -FRESH_S
        self._again: Task[None] | None = None

    async def connect(self) -> None:
        """Connect, and wait for the balance. Raises OSError if that is not possible."""
        self.client.attempts += 1
        socket = _Socket(self, self._handshake())
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_S):
                await loop.create_connection(lambda: socket, HOST, self._request.port)
                await socket.ready
        except BaseException:
            socket.abandon()
            raise

    def _handshake(self) -> bytes:
        now = time.monotonic()
        if now - self._token_at >= FRESH_S:
            member = member_id(self._request.prefix, self.number)
            self._token = sign(self._secrets, self._request.program_id, member, TOKEN_LIFE)
            self._token_at = now
        return (
            f"GET / HTTP/1.1\r\nHost: {HOST}:{self._request.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Version: 13\r\nAuthorization: Bearer {self._token}\r\n\r\n"
        ).encode()

    def show(self, payload: bytes) -> None:
        message = _message.decode(payload)
        balance = message.balance
        if self.state is not None and message.seq < self.state.seq:
            self.client.failure = f"a balance of seq {message.seq} came after {self.state.seq}"
        self.state = State(message.seq, balance.active, balance.pending, balance.held, balance.debt)

    def lost(self) -> None:
        """Connect again."""
        self.client.lost += 1
        self._again = asyncio.create_task(self._connect_again())

    async def _connect_again(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            await asyncio.sleep(random.uniform(0, wait_s))  # noqa: S311 — Not a secret.
            with suppress(OSError, TimeoutError):
                await self.connect()
                self.client.serve(self.number)
                return
            wait_s = min(2 * wait_s, LAST_WAIT_S)


class _Socket(asyncio.Protocol):
    """A websocket of an app. It is `ready` with the first balance, or has an error."""

    def __init__(self, app: App, handshake: bytes) -> None:
        self.ready: Future[None] = asyncio.get_running_loop().create_future()
        self._app = app
        self._handshake = handshake
        self._partial = b""
        self._is_open = self._is_abandoned = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport has the methods of asyncio.Transport but is no subclass.
        self._transport = cast(asyncio.Transport, transport)
        if self._is_abandoned:
            self._transport.abort()
        else:
            self._transport.write(self._handshake)
        self._handshake = b""

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        data = self._partial + data
        if not self._is_open:
            head, separator, rest = data.partition(b"\r\n\r\n")
            if not separator:
                self._partial = data
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self._transport.abort()
                return
            self._is_open, data = True, rest
            if self._app.state is not None:
                self._transport.write(text_frame(b'{"type":"resume","seq":%d}' % self._app.state.seq))
        frames, self._partial = read_frames(data)
        for frame in frames:
            if frame.kind == TEXT:
                self._app.show(frame.payload)
                if not self.ready.done():
                    self.ready.set_result(None)
            elif frame.kind == PING:
                self._transport.write(pong(frame.payload))
            elif frame.kind == CLOSE:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("a socket was lost before it was served"))
        elif not self._is_abandoned:
            self._app.lost()

    def abandon(self) -> None:
        """Give this attempt up."""
        self._is_abandoned = True
        if self.ready.done() and not self.ready.cancelled():
            self.ready.exception()  # It is raised already.
        self.ready.cancel()
        if self._transport is not None:
            self._transport.abort()


if __name__ == "__main__":
    answer_requests(OpenApps | ExpectStorm | AwaitServed | GetStates, AppClient().handle)
