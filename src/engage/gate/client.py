"""The gate in Valkey: claims the slots of a batch in one round trip.

It refuses fast, and it may be wrong: a granted slot counts once the database has accepted its credit
(`confirm`), and all keys can be lost at any time. For a member that the gate does not know, or is unsure of,
the claim is UNKNOWN: the caller loads the member from the database (`load`) and claims again.
"""

from collections.abc import Callable, Sequence
from importlib import resources
from operator import itemgetter
from typing import Any, TypeVar

import msgspec
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ResponseError

from engage.connections.server_version import check_valkey
from engage.connections.valkey import answering, away_is_unavailable, open_client, open_cluster
from engage.gate import boards, keys
from engage.gate.boards import Boards
from engage.gate.claims import UNKNOWN, ClaimCall, ClaimResult, ConfirmCall, SlotRequest

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


class Gate:
    """Every call raises Unavailable("valkey") when Valkey cannot be reached."""

    def __init__(self, client: Redis | RedisCluster) -> None:
        self._client = client
        self.boards = Boards(self._call_boards, self._get)

    async def claim(self, requests: Sequence[SlotRequest]) -> list[ClaimResult]:
        """Claims slots; a result for each, in order."""
        results = [UNKNOWN] * len(requests)
        for indexes, group in self._group(requests, lambda request: request.key):
            call = ClaimCall(group)
            argument = call.argument(hash_ttl_s=HASH_TTL_S, once_ttl_s=ONCE_TTL_S)
            answer = _integers.decode(await self._call("engage_claim", call.names, argument))
            for index, result in zip(indexes, call.results(answer), strict=True):
                results[index] = result
        return results

    async def confirm(self, granted: Sequence[tuple[SlotRequest, int]]) -> None:
        """Confirms grants (slot, number) whose credits the database has accepted, each further slot too."""
        for _, group in self._group(granted, lambda one: one[0].key):
            call = ConfirmCall(group)
            await self._call("engage_confirm", call.names, (ONCE_TTL_S, call.claims), *call.records)

    async def undo(self, requests: Sequence[SlotRequest]) -> None:
        """Forgets the members of grants that the database has not accepted."""
        items: list[tuple[str, str | bool]] = []
        for request in requests:
            items.append((request.key, not request.is_once and request.member_id))
            if request.is_once and request.slot.further:
                items.append((request.bucket, request.member_id))
        await self._forget(items)

    async def forget(self, members: Sequence[tuple[str, str]]) -> None:
        """Forgets members (program, member): their next claim is UNKNOWN."""
        await self._forget([(keys.bucket(*member), member[1]) for member in members])

    async def _forget(self, items: Sequence[tuple[str, str | bool]]) -> None:
        """Drops (key, field of its hash), or the whole of a key where the field is False."""
        for _, group in self._group(items, itemgetter(0)):
            await self._call("engage_undo", [name for name, _ in group], [(field,) for _, field in group])

    async def load(
        self, members: Sequence[tuple[str, str, list[keys.Record]]], *, day: int, month: int
    ) -> None:
        """Loads the records of members (program, member, records) that the gate does not know.

        `day` and `month` are the current periods: older records may be dropped.
        """
        for _, group in self._group(members, lambda member: keys.bucket(member[0], member[1])):
            oldest = day - OLDEST_DAYS, month - OLDEST_MONTHS
            names = [keys.bucket(program_id, member_id) for program_id, member_id, _ in group]
            member_ids = [member_id for _, member_id, _ in group]
            # An argument each: the server's msgpack has no binary strings.
            packed = [keys.pack(records) for _, _, records in group]
            await self._call("engage_load", names, (HASH_TTL_S, *oldest, member_ids), *packed)

    async def read(self, program_id: str, member_id: str) -> list[keys.Record] | None:
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

    def _group(
        self, items: Sequence[T], name_of: Callable[[T], str]
    ) -> list[tuple[Sequence[int], Sequence[T]]]:
        """(indexes, items) of each call: all items, or in a Cluster those of one hash tag."""
        if not isinstance(self._client, RedisCluster):
            return [(range(len(items)), items)] if items else []
        groups: dict[str, list[int]] = {}
        for index, item in enumerate(items):
            groups.setdefault(name_of(item).partition("}")[0], []).append(index)
        return [(indexes, [items[index] for index in indexes]) for indexes in groups.values()]

    async def _call(self, function: str, names: list[str], argument: object, *rest: bytes) -> Any:
        arguments = (_encoder.encode(argument), *rest)
        try:
            return await self._fcall(function, names, arguments)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            # An empty or new Valkey: the library can be loaded again, as everything here can.
            await self.install()
            return await self._fcall(function, names, arguments)

    async def _fcall(self, function: str, names: list[str], arguments: tuple[str | bytes | int, ...]) -> Any:
        async with answering():
            return await self._client.execute_command("FCALL", function, len(names), *names, *arguments)

    async def _call_boards(self, function: str, names: list[str], *arguments: str | bytes | int) -> Any:
        try:
            return await self._fcall(function, names, arguments)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            await self.install()
            return await self._fcall(function, names, arguments)

    async def _get(self, name: str) -> bytes | None:
        async with answering():
            found: bytes | None = await self._client.get(name)
            return found

    async def install(self) -> None:
        """Loads the Function libraries, replacing older ones. Raises ServerTooOld."""
        async with answering():
            check_valkey(await self._info())
            for library in (LIBRARY, boards.LIBRARY):
                await self._client.execute_command("FUNCTION LOAD", "REPLACE", library)

    async def _info(self) -> dict[str, object]:
        """The server's answer to INFO, of any node of a Cluster."""
        if isinstance(self._client, RedisCluster):
            found = await self._client.info("server", target_nodes=RedisCluster.RANDOM)
        else:
            found = await self._client.info("server")
        return dict(found)


def open_gate(url: str) -> Gate:
    """Opens a gate on `redis://…`, or on a Cluster with `redis+cluster://…`. Connects when first used."""
    if url.startswith("redis+cluster://"):
        return Gate(open_cluster(url.replace("redis+cluster://", "redis://", 1)))
    return Gate(open_client(Redis, url))
