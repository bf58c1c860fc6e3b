"""The gate: which slots are free, answered in one round trip for a whole batch.

It refuses fast and is never the truth: a granted slot counts once the database has taken its credit
(`confirm`), and everything here can be lost at any time. A member that the gate does not know, or is unsure
of, is UNKNOWN: the caller loads what the database knows (`load`) and asks again.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from importlib import resources
from typing import Any, TypeVar

import msgspec
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as ValkeyConnectionError

from engage.domain.earning.limits import OnceSlot, Slot, StreakSlot, WindowSlot
from engage.domain.earning.slots import short_code
from engage.domain.refusals import Unavailable
from engage.gate import keys

LIBRARY = resources.files("engage.gate").joinpath("library.lua").read_text()

# A month's records must outlive the month; whoever stays away longer is loaded again when they come.
HASH_TTL_S = 40 * 86_400
ONCE_TTL_S = 86_400
OLDEST_DAYS = 2
OLDEST_MONTHS = 1
TIMEOUT_S = 2.0
KEYS_PER_UNLINK = 1_000

# A server that is there and cannot serve now: full, without its disk, without its primary.
_CANNOT_NOW = (OutOfMemoryError, ReadOnlyError, ClusterDownError, TryAgainError)
_CANNOT_NOW_CODES = ("MISCONF", "MASTERDOWN", "NOREPLICAS")

_encoder = msgspec.msgpack.Encoder()
_status = msgspec.msgpack.Decoder(list[int])

T = TypeVar("T")


class ClaimStatus(IntEnum):
    GRANTED = 0
    REFUSED = 1
    UNKNOWN = 2


class ClaimResult(msgspec.Struct, frozen=True):
    """The gate's answer. `number` and `left` are the grant's (`engage.domain.earning.slots.Grant`)."""

    status: int
    number: int = 0
    left: int = 0


class SlotRequest(msgspec.Struct, frozen=True):
    """A slot asked for a member."""

    program_id: str
    member_id: str
    slot: Slot

    @property
    def key(self) -> str:
        slot = self.slot
        if isinstance(slot, OnceSlot):
            return keys.once(self.program_id, self.member_id, slot.source_key(1))
        return keys.bucket(self.program_id, self.member_id)


class Gate:
    """Raises Unavailable("valkey") from every call when Valkey is away."""

    def __init__(self, client: Redis | RedisCluster) -> None:
        self._client = client

    async def claim(self, asked: Sequence[SlotRequest]) -> list[ClaimResult]:
        answers = [ClaimResult(ClaimStatus.UNKNOWN)] * len(asked)
        for part in self._parts(asked, [ask.key for ask in asked]):
            claims = [_claim(ask) for _, _, ask in part]
            reply = await self._call("engage_claim", part, (HASH_TTL_S, ONCE_TTL_S, claims))
            flat = _status.decode(reply)
            for n, (index, _, _) in enumerate(part):
                answers[index] = ClaimResult(*flat[3 * n : 3 * n + 3])
        return answers

    async def confirm(self, granted: Sequence[tuple[SlotRequest, int]]) -> None:
        """The database has taken the credits of these grants (asked, number)."""
        for part in self._parts(granted, [ask.key for ask, _ in granted]):
            claims = [_confirmation(ask.member_id, ask.slot, number) for _, _, (ask, number) in part]
            await self._call("engage_confirm", part, (ONCE_TTL_S, claims))

    async def undo(self, asked: Sequence[SlotRequest]) -> None:
        """These grants came to nothing: what is known of their members is forgotten."""
        for part in self._parts(asked, [ask.key for ask in asked]):
            members = [(False,) if isinstance(ask.slot, OnceSlot) else (ask.member_id,) for _, _, ask in part]
            await self._call("engage_undo", part, members)

    async def forget(self, members: Sequence[tuple[str, str]]) -> None:
        """What is known of (program, member) is forgotten: the database knows better."""
        for part in self._parts(members, [keys.bucket(*member) for member in members]):
            await self._call("engage_undo", part, [(member_id,) for _, _, (_, member_id) in part])

    async def load(
        self, members: Sequence[tuple[str, str, list[keys.SlotRecord]]], *, day: int, month: int
    ) -> None:
        """What the database knows of (program, member), for members that are unknown here.

        `day` and `month` are the present periods: what lies before them may be dropped.
        """
        for part in self._parts(members, [keys.bucket(m[0], m[1]) for m in members]):
            oldest = day - OLDEST_DAYS, month - OLDEST_MONTHS
            names = [member_id for _, _, (_, member_id, _) in part]
            # Bytes of their own: the server's msgpack knows no binary strings.
            records = [keys.pack(known) for _, _, (_, _, known) in part]
            await self._call("engage_load", part, (HASH_TTL_S, *oldest, names), *records)

    async def read(self, program_id: str, member_id: str) -> list[keys.SlotRecord] | None:
        """What the gate knows of a member, None when it is unknown."""
        with _away_is_unavailable():
            packed = await self._client.hget(keys.bucket(program_id, member_id), member_id)  # type: ignore[misc]  # redis-py types it as maybe not awaitable.
        return None if packed is None else keys.unpack(packed)

    async def forget_all(self) -> None:
        """Drops every key of the gate, on every node."""
        found: list[bytes] = []
        with _away_is_unavailable():
            async for key in self._client.scan_iter(match=f"{keys.PREFIX}*", count=KEYS_PER_UNLINK):
                found.append(key)
                if len(found) == KEYS_PER_UNLINK:
                    await self._client.unlink(*found)
                    found.clear()
            if found:
                await self._client.unlink(*found)

    async def ping(self) -> None:
        with _away_is_unavailable():
            await self._client.ping()

    async def close(self) -> None:
        await self._client.aclose()

    def _parts(self, items: Iterable[T], names: list[str]) -> list[list[tuple[int, str, T]]]:
        """(index, key, item) grouped by what one call may touch: everything, or one hash tag of a Cluster."""
        indexed = [(i, name, item) for i, (name, item) in enumerate(zip(names, items, strict=True))]
        if not isinstance(self._client, RedisCluster):
            return [indexed] if indexed else []
        groups: dict[str, list[tuple[int, str, T]]] = {}
        for entry in indexed:
            groups.setdefault(entry[1].partition("}")[0], []).append(entry)
        return list(groups.values())

    async def _call(
        self, function: str, part: Sequence[tuple[int, str, Any]], argument: object, *rest: bytes
    ) -> Any:
        names = [name for _, name, _ in part]
        arguments = (_encoder.encode(argument), *rest)
        try:
            return await self._fcall(function, names, arguments)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            # An empty or new Valkey: the library belongs to what can be rebuilt.
            await self.install()
            return await self._fcall(function, names, arguments)

    async def _fcall(self, function: str, names: list[str], arguments: tuple[bytes, ...]) -> Any:
        with _away_is_unavailable():
            return await self._client.execute_command("FCALL", function, len(names), *names, *arguments)

    async def install(self) -> None:
        """Puts the Function library in place, replacing an older one."""
        with _away_is_unavailable():
            await self._client.execute_command("FUNCTION LOAD", "REPLACE", LIBRARY)


def open_gate(url: str) -> Gate:
    """A gate over `redis://…`, or a Cluster over `redis+cluster://…`. Connects when first used."""
    if url.startswith("redis+cluster://"):
        cluster = RedisCluster.from_url(
            url.replace("redis+cluster://", "redis://", 1), socket_timeout=TIMEOUT_S
        )
        return Gate(cluster)
    # A restarted Valkey closes idle connections: one retry on a new connection finds it again.
    client = Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[ValkeyConnectionError],
    )
    return Gate(client)


@contextmanager
def _away_is_unavailable() -> Iterator[None]:
    try:
        yield
    except ResponseError as error:
        if isinstance(error, _CANNOT_NOW) or str(error).startswith(_CANNOT_NOW_CODES):
            raise Unavailable("valkey") from error
        raise  # A call that the server does not understand is a mistake of ours.
    except (RedisError, RedisClusterException, OSError) as error:
        raise Unavailable("valkey") from error


def _claim(ask: SlotRequest) -> tuple[Any, ...]:
    match ask.slot:
        case StreakSlot(rule_id=rule_id, zone=zone) as slot:
            return "s", ask.member_id, short_code(rule_id), slot.period, short_code(zone)
        case WindowSlot(rule_id=rule_id, window=window, count=count):
            kind = keys.WINDOW_KINDS[window.kind]
            return "w", ask.member_id, short_code(rule_id), kind, window.period, count
        case OnceSlot():
            return ("k",)


def _confirmation(member_id: str, slot: Slot, number: int) -> tuple[Any, ...]:
    match slot:
        case StreakSlot(rule_id=rule_id, zone=zone):
            return member_id, short_code(rule_id), keys.STREAK, slot.period, number, short_code(zone)
        case WindowSlot(rule_id=rule_id, window=window):
            kind = keys.WINDOW_KINDS[window.kind]
            return member_id, short_code(rule_id), kind, window.period, number, 0
        case OnceSlot():
            return (False,)
