"""Valkey for the feed: topics of balance changes, tickets and heartbeats.

All of it may be lost: after a lost change the feed reads balances again, and a client requests a new ticket.
"""

import os
import secrets
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, cast
from zlib import crc32

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError

from engage.clock import Clock
from engage.connections.valkey import answering, away_is_unavailable
from engage.domain.accounts.balance import Balance
from engage.domain.identity import Identity
from engage.domain.refusals import Unavailable

SHARDS: Final = 16
TICKET_TTL_S: Final = 30
HEARTBEAT_TTL_S: Final = 6
DONE_TTL_S: Final = 30  # Workers sweep every five seconds.
CHECK_KEY: Final = "engage:health:topics"

# After this silence on the topics the server is pinged; it must answer within ANSWER_S.
PROBE_AFTER_S: Final = 5.0

_TICKET_BYTES: Final = 32

# The cause of the last change of an account: its member was merged or erased.
CLOSED: Final = "closed"


class Change(Struct, frozen=True, array_like=True, gc=False):
    """A member's balance after a change, and the cause of the change."""

    program_id: str
    member_id: str
    active: int
    pending: int
    held: int
    debt: int
    seq: int
    cause: str

    @property
    def balance(self) -> Balance:
        return Balance(self.active, self.pending, self.held, self.debt, self.seq)


def change_of(program_id: str, member_id: str, balance: Balance, cause: str) -> Change:
    return Change(
        program_id,
        member_id,
        balance.active,
        balance.pending,
        balance.held,
        balance.debt,
        balance.seq,
        cause,
    )


class Subscribed(Struct, frozen=True):
    """The subscription is active from here on. Changes that were published before it are lost."""


class Heartbeat(Struct, frozen=True):
    """A live process, as host:pid, its loops that do not do their work, and its release."""

    id: str
    problems: list[str]
    release: str


_changes = msgspec.msgpack.Decoder(list[Change])
_names = msgspec.msgpack.Decoder(list[str])
_identity = msgspec.msgpack.Decoder(Identity)
_encode = msgspec.msgpack.Encoder().encode
_NO_NAMES: Final = _encode([])


def topic(shard: int) -> str:
    return f"engage:feed:{shard}"


def shard_of(program_id: str, member_id: str) -> int:
    return crc32(f"{program_id}:{member_id}".encode()) % SHARDS


class Topics:
    """Works on one client of a standalone server."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def publish(self, changes: Sequence[Change]) -> None:
        """Publishes changes to all feeds, in one round trip. The changes of a member keep their order.

        Raises Unavailable: feeds then get the new balance with the member's next change, or when they
        subscribe again.
        """
        shards: dict[int, list[Change]] = {}
        for change in changes:
            shards.setdefault(shard_of(change.program_id, change.member_id), []).append(change)
        if not shards:
            return
        async with answering(), self._client.pipeline(transaction=False) as pipe:
            for shard, of_shard in shards.items():
                pipe.publish(topic(shard), _encode(of_shard))
            await pipe.execute()

    async def subscribe(self) -> AsyncGenerator[list[Change] | Subscribed, None]:
        """Yields all changes: Subscribed first, then changes, and an empty list at least every PROBE_AFTER_S
        seconds while the server answers. Raises Unavailable when the subscription is lost.

        Balances that are read after Subscribed, with the changes that follow, miss nothing.
        """
        pubsub = self._client.pubsub()
        try:
            async with answering():
                await pubsub.subscribe(*map(topic, range(SHARDS)))
            with away_is_unavailable():
                async for message in _listen(pubsub):
                    yield message
        finally:
            with suppress(Unavailable), away_is_unavailable():
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def issue_ticket(self, identity: Identity) -> tuple[str, datetime]:
        """Returns (ticket, wall time at which it expires). Raises Unavailable.

        Valkey has only a hash of it: tickets cannot be read from the server.
        """
        ticket = secrets.token_urlsafe(_TICKET_BYTES)
        expires_at = self._clock.wall() + timedelta(seconds=TICKET_TTL_S)
        async with answering():
            await self._client.set(_ticket_key(ticket), _encode(identity), ex=TICKET_TTL_S)
        return ticket, expires_at

    async def redeem_ticket(self, ticket: str) -> Identity | None:
        """Returns whose ticket it is, once and within TICKET_TTL_S, or else None. Raises Unavailable."""
        async with answering():
            found = await self._client.getdel(_ticket_key(ticket))
        try:
            return None if found is None else _identity.decode(found)
        except msgspec.ValidationError:
            return None  # An API of another release issued it.

    async def check(self) -> None:
        """Writes to the server: it may answer and refuse writes. Raises Unavailable."""
        async with answering():
            await self._client.set(CHECK_KEY, 1, ex=HEARTBEAT_TTL_S)

    async def heartbeat(self, process: str, problems: Sequence[str] = (), *, release: str = "") -> None:
        """Marks this process, such as "feed", as alive for HEARTBEAT_TTL_S, with the names of its loops that
        do not do their work, and its release. Raises Unavailable.
        """
        key, me, now = _health_key(process), this_process(), self._clock.wall().timestamp()
        async with answering(), self._client.pipeline(transaction=False) as pipe:
            pipe.zadd(key, {me: now + HEARTBEAT_TTL_S})
            pipe.zremrangebyscore(key, "-inf", now)
            pipe.expire(key, HEARTBEAT_TTL_S)
            pipe.hset(_problems_key(process), mapping={me: _encode(list(problems))})
            pipe.expire(_problems_key(process), HEARTBEAT_TTL_S)
            pipe.hset(_releases_key(process), me, release)
            pipe.expire(_releases_key(process), HEARTBEAT_TTL_S)
            await pipe.execute()

    async def note_done(self, work: str) -> None:
        """Notes that periodic work was done just now, by any process. Raises Unavailable."""
        async with answering():
            await self._client.set(_done_key(work), 1, ex=DONE_TTL_S)

    async def not_done(self, works: Sequence[str]) -> list[str]:
        """Those of these that no process has done within DONE_TTL_S. Raises Unavailable."""
        async with answering():
            found = await self._client.mget([_done_key(work) for work in works])
        return [work for work, done in zip(works, found, strict=True) if done is None]

    async def end_heartbeat(self, process: str) -> None:
        """Removes this process's heartbeat. Raises Unavailable."""
        async with answering():
            await self._client.zrem(_health_key(process), this_process())

    async def read_heartbeats(self, process: str) -> list[Heartbeat]:
        """The live processes of this name. Raises Unavailable."""
        key, now = _health_key(process), self._clock.wall().timestamp()
        async with answering(), self._client.pipeline(transaction=False) as pipe:
            pipe.zrangebyscore(key, now, "+inf")
            pipe.hgetall(_problems_key(process))
            pipe.hgetall(_releases_key(process))
            alive, problems, releases = await pipe.execute()
        return [
            Heartbeat(
                id_.decode(),
                _names.decode(problems.get(id_, _NO_NAMES)),
                releases.get(id_, b"").decode(),
            )
            for id_ in alive
        ]


async def _listen(pubsub: PubSub) -> AsyncIterator[list[Change] | Subscribed]:
    """Yields the messages of a subscription. Raises redis-py's ConnectionError if the server does not answer.

    Subscribed follows the server's acknowledgement of the last topic, so it also comes when the client
    library has reconnected by itself.
    """
    pinged = False
    while True:
        message = await pubsub.get_message(timeout=PROBE_AFTER_S)
        if message is None:
            if pinged:
                raise RedisConnectionError("no answer on the topics")
            async with answering():
                await cast(Awaitable[None], pubsub.ping())
            pinged = True
            continue
        pinged = False
        if message["type"] == "message":
            yield _changes.decode(message["data"])
        elif message["type"] == "pong":
            yield []
        elif message["type"] == "subscribe" and message["data"] == SHARDS:
            yield Subscribed()


def _ticket_key(ticket: str) -> str:
    return f"engage:ticket:{sha256(ticket.encode()).hexdigest()}"


def this_process() -> str:
    """Name this process among those of all hosts, as host:pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _problems_key(process: str) -> str:
    return f"engage:health:{process}:problems"


def _releases_key(process: str) -> str:
    return f"engage:health:{process}:releases"


def _done_key(work: str) -> str:
    return f"engage:done:{work}"


def _health_key(process: str) -> str:
    # A sorted set, scored by the end of each heartbeat. Counting it does not depend on the other keys of the
    # server, as a SCAN would.
    return f"engage:health:{process}"
