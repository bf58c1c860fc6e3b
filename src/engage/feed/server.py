"""The feed's I/O: websockets, the topics of Valkey and the balance reader, connected by the hub."""

import asyncio
import json
import logging
import socket as sockets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence, Set
from contextlib import asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Protocol

from msgspec import Struct
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from engage.clock import Clock
from engage.domain.identity import Identity
from engage.domain.refusals import Refusal, Unavailable
from engage.feed import messages
from engage.feed.arrivals import Arrivals
from engage.feed.connection import Connection
from engage.feed.hub import Hub, Socket
from engage.feed.keepalive import Keepalive
from engage.feed.places import Places
from engage.feed.reader import BalanceReader, ReadBalances
from engage.feed.session import NOTHING, Actions, Member, Redeem, Timeouts
from engage.logs import BoundedLog
from engage.metrics.catalogue import FeedNumbers
from engage.runtime.background import Loop, Loops, running
from engage.runtime.liveness import FEED, HEARTBEAT_S, beat, problems_of, works
from engage.runtime.operations import Ready
from engage.signals.changes import Change
from engage.signals.topics import Topics

TICK_S: Final = 0.25
REFUSED: Final = "credentials were refused"
CHECK_KEYS_S: Final = 2.0
PROBE_TIMEOUT_S: Final = 1.0
KEEPALIVE_S: Final = 20

# Unsent bytes of a connection above which its client is slow, and below which it no longer is. A message has
# some 120 bytes.
BUFFER_BYTES: Final = (4096, 1024)

# The kernel's send buffer. Without a limit it grows to megabytes of old states, which a slow client would
# have to read.
SOCKET_BUFFER_BYTES: Final = 16_384
RECEIVED_FRAMES: Final = 4
BACKLOG: Final = 1_024

_refusals = BoundedLog(__name__)

# Replaces a connection's request when its credentials have been read: a request takes 2 KiB.
_EMPTY_REQUEST: Final = Request("/", Headers())

# Read to check that the database answers. No member has this key.
_NOBODY: Final[Member] = ("", "")


class Credentials(Protocol):
    """Tokens and the keys that sign them."""

    async def identify(self, token: str) -> Identity:
        """Return a token's member. Raises Refusal."""

    async def withdrawn(self, in_use: Set[str]) -> Set[str]:
        """Return the keys in use that are valid no more."""


# Charges a connection; returns in how many seconds there may be one with this address and these headers.
Admit = Callable[[str, Iterable[tuple[bytes, bytes]]], int]


def admit_all(_address: str, _headers: object) -> int:
    """Limit nobody."""
    return 0


class Limits(Struct, frozen=True, kw_only=True):
    """Limits of a feed process."""

    connections: int = 50_000
    keepalive_s: int = KEEPALIVE_S
    timeouts: Timeouts = Timeouts()


class Feed:
    """A running feed on `port`, made by `open_feed`."""

    def __init__(
        self,
        topics: Topics,
        credentials: Credentials,
        read_balances: ReadBalances,
        limits: Limits,
        loops: Loops,
        clock: Clock,
        admit: Admit = admit_all,
    ) -> None:
        self.port = 0
        self._admit = admit
        self._loops = loops
        self._topics = topics
        self._credentials = credentials
        self._clock = clock
        self._read_balances = read_balances
        self._limits = limits
        self._reader = BalanceReader(read_balances)
        self.places: Places[Connection] = Places(limits.connections)
        self._subscriptions = topics.subscriptions(deliver=self._deliver, activated=self._activated)
        self._arrivals = Arrivals()
        now = asyncio.get_running_loop().time()
        self._keepalive: Keepalive[Connection] = Keepalive(limits.keepalive_s, now)
        self._hub = Hub(self._request_snapshot, now, left=self._subscriptions.unwatch)
        self._answering = {"valkey": False, "postgres": False}
        self._stopping = False
        self._full = self._resumes = 0

    def __len__(self) -> int:
        """Return the number of connections."""
        return len(self._hub)

    async def handle(self, connection: ServerConnection) -> None:
        """Serve a connection until it ends. Called by the library."""
        assert isinstance(connection, Connection)
        credentials = _authorization(connection)
        connection.request, connection.response = _EMPTY_REQUEST, None
        connection.open_session(self._hub, self._limits.timeouts)
        self._keepalive.add(connection, connection.loop.time())
        try:
            await self._begin(connection, credentials)
            while True:
                await self._received(connection, await connection.recv(decode=False))
        except ConnectionClosed:
            pass
        finally:
            self._keepalive.leave(connection)
            self._hub.ended(connection)

    async def _begin(self, connection: Connection, credentials: list[str]) -> None:
        if self._stopping:
            self._hub.perform(connection, connection.session.restarting(connection.loop.time()))
        elif credentials:
            self._hub.perform(connection, await self._authenticated_by(connection, credentials))

    async def _authenticated_by(self, connection: Connection, credentials: list[str]) -> Actions:
        now = connection.loop.time
        scheme, _, token = credentials[0].partition(" ")
        if len(credentials) > 1 or scheme.lower() != "bearer":
            _refusals.write("warning", REFUSED, reason="another authorization than one bearer token")
            return connection.session.refused(now())
        try:
            self._clock.check()
            identity = await self._credentials.identify(token.strip())
        except Unavailable:
            return connection.session.unavailable(now())
        except Refusal as refusal:
            _refusals.write("warning", REFUSED, reason=refusal.reason)
            return connection.session.refused(now())
        self._authenticated(connection, identity, now())
        return NOTHING

    def _authenticated(self, connection: Connection, identity: Identity, now: float) -> None:
        left_s = identity.expires_at - self._clock.wall().timestamp()
        until = now + max(left_s, 0) + self._limits.timeouts.renew_s
        self._hub.authenticated(connection, identity, until, now)
        connection.keep_place()

    async def _received(self, connection: Connection, raw: bytes) -> None:
        now = connection.loop.time()
        message = messages.decode(raw)
        self._resumes += isinstance(message, messages.Resume)
        actions = connection.session.received(message, now)
        match actions:
            case (Redeem(ticket),):
                await self._redeem(connection, ticket)
            case _:
                self._hub.perform(connection, actions)

    async def _redeem(self, connection: Connection, ticket: str) -> None:
        now = connection.loop.time
        try:
            identity = await self._topics.redeem_ticket(ticket)
        except Unavailable:
            self._hub.perform(connection, connection.session.unavailable(now()))
            return
        if identity is None:
            _refusals.write("warning", REFUSED, reason="an unknown, used or expired ticket")
            self._hub.perform(connection, connection.session.refused(now()))
        else:
            self._authenticated(connection, identity, now())

    def database_changed(self) -> None:
        """Take that another server is the primary, which may have lost changes that were pushed."""
        self._hub.forget(asyncio.get_running_loop().time())

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer health checks, and refuse connections above the limit; None continues the handshake."""
        path = request.path.partition("?")[0]
        if path == "/health/live":
            stuck = self._loops.are_stuck()
            return _health(connection, not stuck, {})
        if path == "/health/ready":
            problems = problems_of(self._loops, self._clock)
            ready = self._is_ready(problems)
            return _health(connection, ready, {"parts": self._answering, "problems": problems})
        if wait_s := self._admit(_peer_of(connection), _headers_of(request)):
            throttled = _json(connection, HTTPStatus.TOO_MANY_REQUESTS, {"status": "throttled"})
            throttled.headers["Retry-After"] = str(wait_s)
            return throttled
        if self.places.are_full:
            self._full += 1
            full = _json(connection, HTTPStatus.SERVICE_UNAVAILABLE, {"status": "full"})
            full.headers["Retry-After"] = "5"
            return full
        return None

    def _is_ready(self, problems: list[str]) -> bool:
        return all(self._answering.values()) and works(problems) and not self._stopping

    async def check(self) -> Ready:
        """Return what the health checks have found last."""
        problems = problems_of(self._loops, self._clock)
        parts = {part: "up" if answers else "down" for part, answers in self._answering.items()}
        return Ready("up" if self._is_ready(problems) else "down", parts, problems)

    def count(self, numbers: FeedNumbers) -> None:
        """Set the metrics of the feed."""
        hub = self._hub
        numbers.sockets.set(len(hub))
        numbers.members.set(hub.member_count)
        numbers.connections.reached(hub.opened_count)
        numbers.pushes.reached(hub.pushed)
        numbers.held_back.reached(hub.held_back)
        for (code, reason), count in hub.closed.items():
            numbers.closed.reached(count, str(code), reason)
        numbers.resumes.reached(self._resumes)
        numbers.full.reached(self._full)
        numbers.subscriptions.reached(self._subscriptions.opened)

    async def run(self) -> None:
        """Run the background loops until cancelled."""
        async with running(
            self._loops.keep("changes", self._subscribe),
            self._loops.keep("balances", lambda loop: self._reader.run(self._hub, loop)),
            self._loops.repeat("deadlines", self._tick, every_s=TICK_S),
            self._loops.repeat("keys", self._check_keys, every_s=CHECK_KEYS_S),
            self._loops.repeat("heartbeat", self._check_services, every_s=HEARTBEAT_S, first=True),
        ):
            await asyncio.Event().wait()

    async def _subscribe(self, loop: Loop) -> None:
        """Keep the topics of the members who are connected here."""
        await self._subscriptions.run(turned=loop.turned, failed=loop.failed)

    def _request_snapshot(self, socket: Socket) -> None:
        """Read a socket's balance once its member's topic is active: it misses no change then."""
        assert socket.member is not None
        if self._subscriptions.watch(socket.member):
            self._reader.request_snapshot(socket)
        else:
            self._arrivals.add(socket.member, socket, asyncio.get_running_loop().time())

    def _deliver(self, changes: Sequence[Change]) -> None:
        self._hub.deliver(changes)

    def _activated(self, members: list[Member]) -> None:
        """Read the balances of sockets that have waited, and again those that may have missed a change."""
        missed = []
        for member in members:
            arrived = self._arrivals.take(member)
            for socket in arrived:
                self._reader.request_snapshot(socket)
            if self._hub.count(member) > len(arrived):
                missed.append(member)
        if missed:
            self._reader.read_again(missed)

    async def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        self._hub.tick(now)
        for silent in self._keepalive.tick(now):
            self._hub.perform(silent, silent.session.silent(now))
        for socket in self._arrivals.overdue(now):
            self._reader.request_snapshot(socket)

    async def _check_keys(self) -> None:
        """Close the connections whose tokens were signed by a key that has been withdrawn."""
        for key in await self._credentials.withdrawn(self._hub.keys()):
            self._hub.key_withdrawn(key, asyncio.get_running_loop().time())

    async def _check_services(self) -> None:
        """Announce that this process is alive, and check the services."""
        self._answering["valkey"] = await self._valkey_answers()
        self._answering["postgres"] = await self._postgres_answers()

    async def _valkey_answers(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await beat(self._topics, self._loops, self._clock, FEED)
        except (Unavailable, TimeoutError):
            return False
        return True

    async def _postgres_answers(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self._read_balances([_NOBODY])
        except (Unavailable, OSError):
            return False
        return True

    async def close(self, server: Server) -> None:
        """Close every connection (1012). Abort those that have not ended in time."""
        self._stopping = True
        server.close(close_connections=False)
        self._hub.restart(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(self._limits.timeouts.close_s):
                await server.wait_closed()
        except TimeoutError:
            self._hub.abort()
            await server.wait_closed()


@asynccontextmanager
async def open_feed(
    *,
    host: str,
    port: int,
    topics: Topics,
    credentials: Credentials,
    read_balances: ReadBalances,
    clock: Clock,
    limits: Limits = Limits(),  # noqa: B008 — It is frozen.
    loops: Loops | None = None,
    admit: Admit = admit_all,
) -> AsyncIterator[Feed]:
    """Serve while entered; port 0 takes a free one. On leaving, connections are closed for a restart.

    `loops` are those of the process. `admit` limits connections: each shows credentials once, so it limits
    guesses too. Several processes of a user can share the port. Raises OSError where
    the port is taken.
    """
    feed = Feed(topics, credentials, read_balances, limits, loops or Loops(), clock, admit)
    server = await serve(
        feed.handle,
        sock=_listening_socket(host, port),
        process_request=feed.answer,
        create_connection=partial(Connection, feed.places),  # type: ignore[arg-type]  # Any factory will do.
        server_header=None,
        compression=None,
        open_timeout=limits.timeouts.auth_s,
        max_size=messages.MESSAGE_BYTES,
        max_queue=RECEIVED_FRAMES,
        write_limit=BUFFER_BYTES,
        ping_interval=None,
        logger=_quiet_logger(),
    )
    feed.port = next(iter(server.sockets)).getsockname()[1]
    try:
        async with running(feed.run()):
            try:
                yield feed
            finally:
                await feed.close(server)
    finally:
        with suppress(Unavailable):
            await topics.end_heartbeat(FEED)


def _listening_socket(host: str, port: int) -> sockets.socket:
    """Listen with a limited send buffer, which accepted sockets inherit."""
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    listening = sockets.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=True)
    listening.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    return listening


def _quiet_logger() -> logging.Logger:
    """The library logs every connection at level INFO."""
    logger = logging.getLogger("engage.feed.websockets")
    logger.setLevel(logging.WARNING)
    return logger


def _peer_of(connection: ServerConnection) -> str:
    address: tuple[str, int] | None = connection.remote_address
    return "" if address is None else address[0]


def _headers_of(request: Request) -> list[tuple[bytes, bytes]]:
    return [
        (name.lower().encode(), value.encode("latin-1", "replace"))
        for name, value in request.headers.raw_items()
    ]


def _authorization(connection: ServerConnection) -> list[str]:
    assert connection.request is not None
    return connection.request.headers.get_all("Authorization")


def _health(connection: ServerConnection, up: bool, body: dict[str, Any]) -> Response:
    status = HTTPStatus.OK if up else HTTPStatus.SERVICE_UNAVAILABLE
    response = _json(connection, status, {"status": "ok" if up else "unavailable", **body})
    if not up:
        response.headers["Retry-After"] = "1"
    return response


def _json(connection: ServerConnection, status: HTTPStatus, body: dict[str, Any]) -> Response:
    response = connection.respond(status, json.dumps(body) + "\n")
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response
