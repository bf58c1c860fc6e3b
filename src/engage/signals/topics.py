"""Valkey for the feed: topics of balance changes, tickets and heartbeats.

All of it may be lost: after a lost change the feed reads balances again, and a client requests a new ticket.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, cast
from zlib import crc32

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from engage.clock import Clock
from engage.domain.accounts.balance import Balance
from engage.signals.answering import ANSWER_S, answering

SHARDS: Final = 16
TICKET_TTL_S: Final = 30
HEARTBEAT_TTL_S: Final = 6

# After this silence on the topics the server is pinged; it must answer within ANSWER_S.
PROBE_AFTER_S: Final = 5.0
FIRST_RETRY_S: Final = 0.05
LAST_RETRY_S: Final = 2.0

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


class Reconnected(Struct, frozen=True):
    """The subscription is active from here on. Changes that were published before it are lost."""


_changes = msgspec.msgpack.Decoder(list[Change])
_member = msgspec.msgpack.Decoder(tuple[str, str])
_encode = msgspec.msgpack.Encoder().encode


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

    async def subscribe(self) -> AsyncGenerator[list[Change] | Reconnected, None]:
        """Yields all changes. Subscribes again by itself when the connection was lost.

        Yields Reconnected after each subscription, the first one included: balances that are read after it,
        with the changes that follow, miss nothing.
        """
        retry_s = FIRST_RETRY_S
        while True:
            pubsub = self._client.pubsub()
            try:
                async with asyncio.timeout(ANSWER_S):
                    await pubsub.subscribe(*map(topic, range(SHARDS)))
                async for message in _listen(pubsub):
                    retry_s = FIRST_RETRY_S
                    yield message
            except (RedisError, OSError):
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, LAST_RETRY_S)
            finally:
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def issue_ticket(self, program_id: str, member_id: str) -> tuple[str, datetime]:
        """Returns (ticket, wall time at which it expires). Raises Unavailable.

        Valkey has only a hash of it: tickets cannot be read from the server.
        """
        ticket = secrets.token_urlsafe(_TICKET_BYTES)
        expires_at = self._clock.wall() + timedelta(seconds=TICKET_TTL_S)
        async with answering():
            await self._client.set(_ticket_key(ticket), _encode((program_id, member_id)), ex=TICKET_TTL_S)
        return ticket, expires_at

    async def redeem_ticket(self, ticket: str) -> tuple[str, str] | None:
        """Returns (program, member) once and within TICKET_TTL_S, or else None. Raises Unavailable."""
        async with answering():
            found = await self._client.getdel(_ticket_key(ticket))
        return None if found is None else _member.decode(found)

    async def heartbeat(self, process: str) -> None:
        """Marks this process, such as "feed", as alive for HEARTBEAT_TTL_S. Raises Unavailable."""
        key, now = _health_key(process), self._clock.wall().timestamp()
        async with answering(), self._client.pipeline(transaction=False) as pipe:
            pipe.zadd(key, {f"{socket.gethostname()}:{os.getpid()}": now + HEARTBEAT_TTL_S})
            pipe.zremrangebyscore(key, "-inf", now)
            pipe.expire(key, HEARTBEAT_TTL_S)
            await pipe.execute()

    async def end_heartbeat(self, process: str) -> None:
        """Removes this process's heartbeat. Raises Unavailable."""
        async with answering():
            await self._client.zrem(_health_key(process), f"{socket.gethostname()}:{os.getpid()}")

    async def count_alive(self, process: str) -> int:
        """The number of live processes of this name. Raises Unavailable."""
        key, now = _health_key(process), self._clock.wall().timestamp()
        async with answering():
            return int(await self._client.zcount(key, now, "+inf"))


async def _listen(pubsub: PubSub) -> AsyncIterator[list[Change] | Reconnected]:
    """Yields the messages of a subscription. Raises redis-py's ConnectionError if the server does not answer.

    Reconnected follows the server's acknowledgement of the last topic, so it also comes when the client
    library has reconnected by itself.
    """
    pinged = False
    while True:
        message = await pubsub.get_message(timeout=PROBE_AFTER_S)
        if message is None:
            if pinged:
                raise RedisConnectionError("no answer on the topics")
            await cast(Awaitable[None], pubsub.ping())
            pinged = True
            continue
        pinged = False
        if message["type"] == "message":
            yield _changes.decode(message["data"])
        elif message["type"] == "subscribe" and message["data"] == SHARDS:
            yield Reconnected()


def _ticket_key(ticket: str) -> str:
    return f"engage:ticket:{sha256(ticket.encode()).hexdigest()}"


def _health_key(process: str) -> str:
    # A sorted set, scored by the end of each heartbeat. Counting it does not depend on the other keys of the
    # server, as a SCAN would.
    return f"engage:health:{process}"
