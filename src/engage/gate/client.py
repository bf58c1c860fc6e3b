"""The gate in Valkey: claims the slots of a batch in one round trip.

It refuses fast, and it may be wrong: a granted slot counts once the database has accepted its credit
(`confirm`), and all keys can be lost at any time. For a member that the gate does not know, or is unsure of,
the claim is UNKNOWN: the caller loads the member from the database (`load`) and claims again.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from importlib import resources
from typing import Any, TypeVar

import msgspec
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ResponseError

from engage.connections.valkey import answering, away_is_unavailable, open_client, open_cluster
from engage.domain.earning.limits import OnceSlot, Slot, StreakSlot, WindowSlot
from engage.domain.earning.slots import short_code
from engage.gate import keys

LIBRARY = resources.files("engage.gate").joinpath("library.lua").read_text()

# Longer than a month, for the records of a month. A member who stays away longer is loaded again.
HASH_TTL_S = 40 * 86_400
ONCE_TTL_S = 86_400
OLDEST_DAYS = 2
OLDEST_MONTHS = 1
KEYS_PER_UNLINK = 1_000
CHECK_KEY = "engage:health:state"
CHECK_TTL_S = 10

_encoder = msgspec.msgpack.Encoder()
_integers = msgspec.msgpack.Decoder(list[int])

T = TypeVar("T")


class ClaimStatus(IntEnum):
    GRANTED = 0
    REFUSED = 1
    UNKNOWN = 2


class ClaimResult(msgspec.Struct, frozen=True):
    """`number` and `left` are those of the grant (`engage.domain.earning.slots.Grant`)."""

    status: int
    number: int = 0
    left: int = 0


class SlotRequest(msgspec.Struct, frozen=True):
    """A slot for a member."""

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
    """Every call raises Unavailable("valkey") when Valkey cannot be reached."""

    def __init__(self, client: Redis | RedisCluster) -> None:
        self._client = client

    async def claim(self, requests: Sequence[SlotRequest]) -> list[ClaimResult]:
        """Claims slots; a result for each, in order."""
        results = [ClaimResult(ClaimStatus.UNKNOWN)] * len(requests)
        for group in self._group(requests, [request.key for request in requests]):
            claims = [_claim(request) for _, _, request in group]
            reply = await self._call("engage_claim", group, (HASH_TTL_S, ONCE_TTL_S, claims))
            flat = _integers.decode(reply)
            for n, (index, _, _) in enumerate(group):
                results[index] = ClaimResult(*flat[3 * n : 3 * n + 3])
        return results

    async def confirm(self, granted: Sequence[tuple[SlotRequest, int]]) -> None:
        """Confirms grants (slot, number) whose credits the database has accepted."""
        for group in self._group(granted, [request.key for request, _ in granted]):
            claims = [_confirmation(request, number) for _, _, (request, number) in group]
            await self._call("engage_confirm", group, (ONCE_TTL_S, claims))

    async def undo(self, requests: Sequence[SlotRequest]) -> None:
        """Forgets the members of grants that the database has not accepted."""
        for group in self._group(requests, [request.key for request in requests]):
            members = [
                (False,) if isinstance(request.slot, OnceSlot) else (request.member_id,)
                for _, _, request in group
            ]
            await self._call("engage_undo", group, members)

    async def forget(self, members: Sequence[tuple[str, str]]) -> None:
        """Forgets members (program, member): their next claim is UNKNOWN."""
        for group in self._group(members, [keys.bucket(*member) for member in members]):
            await self._call("engage_undo", group, [(member_id,) for _, _, (_, member_id) in group])

    async def load(
        self, members: Sequence[tuple[str, str, list[keys.SlotRecord]]], *, day: int, month: int
    ) -> None:
        """Loads the records of members (program, member, records) that the gate does not know.

        `day` and `month` are the current periods: older records may be dropped.
        """
        for group in self._group(members, [keys.bucket(member[0], member[1]) for member in members]):
            oldest = day - OLDEST_DAYS, month - OLDEST_MONTHS
            member_ids = [member_id for _, _, (_, member_id, _) in group]
            # An argument each: the server's msgpack has no binary strings.
            packed = [keys.pack(records) for _, _, (_, _, records) in group]
            await self._call("engage_load", group, (HASH_TTL_S, *oldest, member_ids), *packed)

    async def read(self, program_id: str, member_id: str) -> list[keys.SlotRecord] | None:
        """The records of a member, or None if the gate does not know the member."""
        async with answering():
            packed = await self._client.hget(keys.bucket(program_id, member_id), member_id)  # type: ignore[misc]  # redis-py types it as maybe not awaitable.
        return None if packed is None else keys.unpack(packed)

    async def forget_all(self) -> None:
        """Drops every key of the gate, on every node."""
        batch: list[bytes] = []
        with away_is_unavailable():
            async for key in self._client.scan_iter(match=f"{keys.PREFIX}*", count=KEYS_PER_UNLINK):
                batch.append(key)
                if len(batch) == KEYS_PER_UNLINK:
                    await self._client.unlink(*batch)
                    batch.clear()
            if batch:
                await self._client.unlink(*batch)

    async def check(self) -> None:
        """Writes to the server, or asks every primary of a Cluster: it may answer and refuse writes."""
        async with answering():
            await self._client.set(CHECK_KEY, 1, ex=CHECK_TTL_S)
            if isinstance(self._client, RedisCluster):
                await self._client.ping(target_nodes=RedisCluster.PRIMARIES)

    async def close(self) -> None:
        await self._client.aclose()

    def _group(self, items: Iterable[T], names: list[str]) -> list[list[tuple[int, str, T]]]:
        """(index, key, item) in groups, one for a call: all items, or those of one hash tag in a Cluster."""
        indexed = [(i, name, item) for i, (name, item) in enumerate(zip(names, items, strict=True))]
        if not isinstance(self._client, RedisCluster):
            return [indexed] if indexed else []
        groups: dict[str, list[tuple[int, str, T]]] = {}
        for entry in indexed:
            groups.setdefault(entry[1].partition("}")[0], []).append(entry)
        return list(groups.values())

    async def _call(
        self, function: str, group: Sequence[tuple[int, str, Any]], argument: object, *rest: bytes
    ) -> Any:
        names = [name for _, name, _ in group]
        arguments = (_encoder.encode(argument), *rest)
        try:
            return await self._fcall(function, names, arguments)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            # An empty or new Valkey: the library can be loaded again, as everything here can.
            await self.install()
            return await self._fcall(function, names, arguments)

    async def _fcall(self, function: str, names: list[str], arguments: tuple[bytes, ...]) -> Any:
        async with answering():
            return await self._client.execute_command("FCALL", function, len(names), *names, *arguments)

    async def install(self) -> None:
        """Loads the Function library, replacing an older one."""
        async with answering():
            await self._client.execute_command("FUNCTION LOAD", "REPLACE", LIBRARY)


def open_gate(url: str) -> Gate:
    """Opens a gate on `redis://…`, or on a Cluster with `redis+cluster://…`. Connects when first used."""
    if url.startswith("redis+cluster://"):
        return Gate(open_cluster(url.replace("redis+cluster://", "redis://", 1)))
    return Gate(open_client(Redis, url))


def _claim(request: SlotRequest) -> tuple[Any, ...]:
    match request.slot:
        case StreakSlot(rule_id=rule_id, zone=zone) as slot:
            return "s", request.member_id, short_code(rule_id), slot.period, short_code(zone)
        case WindowSlot(rule_id=rule_id, window=window, count=count):
            kind = keys.WINDOW_KINDS[window.kind]
            return "w", request.member_id, short_code(rule_id), kind, window.period, count
        case OnceSlot():
            return ("k",)


def _confirmation(request: SlotRequest, number: int) -> tuple[Any, ...]:
    match request.slot:
        case StreakSlot(rule_id=rule_id, zone=zone) as slot:
            return request.member_id, short_code(rule_id), keys.STREAK, slot.period, number, short_code(zone)
        case WindowSlot(rule_id=rule_id, window=window):
            kind = keys.WINDOW_KINDS[window.kind]
            return request.member_id, short_code(rule_id), kind, window.period, number, 0
        case OnceSlot():
            return (False,)
