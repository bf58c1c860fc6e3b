"""Valkey pub/sub and what else the feed keeps there: topics of changed balances, tickets, heartbeats.

Nothing here is the truth: a change that nobody heard is healed by reading balances again, a lost ticket by
asking for another.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
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
from engage.domain.refusals import Unavailable

SHARDS: Final = 16
TICKET_TTL_S: Final = 30
HEARTBEAT_TTL_S: Final = 6

# Silence on the topics after which the server is asked whether it is there, and how long it has to answer.
PROBE_AFTER_S: Final = 5.0
ANSWER_S: Final = 2.0
FIRST_RETRY_S: Final = 0.05
LAST_RETRY_S: Final = 2.0

_TICKET_BYTES: Final = 32

# The cause of the last change of an account: its member was merged into another one, or erased.
CLOSED: Final = "closed"


class Change(Struct, frozen=True, array_like=True, gc=False):
    """A member's balance after a change, and what changed it (`cause`)."""

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
    """From here on every change is heard; what was published before, while nobody listened, is lost."""


_changes = msgspec.msgpack.Decoder(list[Change])
_member = msgspec.msgpack.Decoder(tuple[str, str])
_encode = msgspec.msgpack.Encoder().encode


def topic(shard: int) -> str:
    return f"engage:feed:{shard}"


def shard_of(program_id: str, member_id: str) -> int:
    return crc32(f"{program_id}:{member_id}".encode()) % SHARDS


class Topics:
    """The feed's side of Valkey, over one client of a standalone server."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def publish(self, changes: Sequence[Change]) -> None:
        """Tell every feed, in one round trip. The changes of a member keep their order.

        Raises Unavailable: the feeds then learn of these changes with the member's next one, or when they
        subscribe again.
        """
        shards: dict[int, list[Change]] = {}
        for change in changes:
            shards.setdefault(shard_of(change.program_id, change.member_id), []).append(change)
        if not shards:
            return
        async with _asking(), self._client.pipeline(transaction=False) as pipe:
            for shard, of_shard in shards.items():
                pipe.publish(topic(shard), _encode(of_shard))
            await pipe.execute()

    async def subscribe(self) -> AsyncGenerator[list[Change] | Reconnected, None]:
        """All changes, for as long as it is iterated; comes back by itself when Valkey does.

        Yields Reconnected whenever the topics are subscribed to, the first time included: balances read after
        it, together with the changes that follow, miss nothing.
        """
        retry_s = FIRST_RETRY_S
        while True:
            pubsub = self._client.pubsub()
            try:
                async with asyncio.timeout(ANSWER_S):
                    await pubsub.subscribe(*map(topic, range(SHARDS)))
                async for heard in _listen(pubsub):
                    retry_s = FIRST_RETRY_S
                    yield heard
            except (RedisError, OSError):
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, LAST_RETRY_S)
            finally:
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def issue_ticket(self, program_id: str, member_id: str) -> tuple[str, datetime]:
        """(ticket, the wall time at which it expires). Raises Unavailable.

        Valkey keeps a hash of it: who can read the server cannot use what is there.
        """
        ticket = secrets.token_urlsafe(_TICKET_BYTES)
        expires_at = self._clock.wall() + timedelta(seconds=TICKET_TTL_S)
        async with _asking():
            await self._client.set(_ticket_key(ticket), _encode((program_id, member_id)), ex=TICKET_TTL_S)
        return ticket, expires_at

    async def redeem_ticket(self, ticket: str) -> tuple[str, str] | None:
        """(program id, member id) the first time and within 30 s, None otherwise. Raises Unavailable."""
        async with _asking():
            found = await self._client.getdel(_ticket_key(ticket))
        return None if found is None else _member.decode(found)

    async def heartbeat(self, part: str) -> None:
        """Say that this process is alive as such a part, for the next seconds. Raises Unavailable."""
        key, now = _health_key(part), self._clock.wall().timestamp()
        async with _asking(), self._client.pipeline(transaction=False) as pipe:
            pipe.zadd(key, {f"{socket.gethostname()}:{os.getpid()}": now + HEARTBEAT_TTL_S})
            pipe.zremrangebyscore(key, "-inf", now)
            pipe.expire(key, HEARTBEAT_TTL_S)
            await pipe.execute()

    async def end_heartbeat(self, part: str) -> None:
        """Take this process's heartbeat back. Raises Unavailable."""
        async with _asking():
            await self._client.zrem(_health_key(part), f"{socket.gethostname()}:{os.getpid()}")

    async def count_alive(self, part: str) -> int:
        """How many processes of a part have said lately that they are alive. Raises Unavailable."""
        async with _asking():
            return int(await self._client.zcount(_health_key(part), self._clock.wall().timestamp(), "+inf"))


async def _listen(pubsub: PubSub) -> AsyncIterator[list[Change] | Reconnected]:
    """What a subscription hears. Raises redis-py's ConnectionError when the server is gone or silent.

    The marker follows the server's own acknowledgement of the last topic, so that it also comes where the
    client library has connected again without telling.
    """
    asked = False
    while True:
        message = await pubsub.get_message(timeout=PROBE_AFTER_S)
        if message is None:
            if asked:
                raise RedisConnectionError("no answer on the topics")
            await cast(Awaitable[None], pubsub.ping())
            asked = True
            continue
        asked = False
        if message["type"] == "message":
            yield _changes.decode(message["data"])
        elif message["type"] == "subscribe" and message["data"] == SHARDS:
            yield Reconnected()


@asynccontextmanager
async def _asking() -> AsyncIterator[None]:
    """A server that does not answer in time is away."""
    try:
        async with asyncio.timeout(ANSWER_S):
            yield
    except (RedisError, OSError) as error:
        raise Unavailable("valkey") from error


def _ticket_key(ticket: str) -> str:
    return f"engage:ticket:{sha256(ticket.encode()).hexdigest()}"


def _health_key(part: str) -> str:
    # One sorted set a part, scored by when the sign of life ends: counting it costs the same however many
    # other keys the server holds, which a SCAN would not.
    return f"engage:health:{part}"
