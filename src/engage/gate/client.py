"""The gate in Valkey: claims the slots of a batch in one round trip.

It refuses fast, and it may be wrong: a granted slot counts once the database has accepted its credit
(`confirm`), and all keys can be lost at any time. For a member that the gate does not know, or is unsure of,
the claim is UNKNOWN: the caller loads the member from the database (`load`) and claims again.
"""

import asyncio
from collections.abc import Callable, Sequence
from importlib import resources
from operator import itemgetter
from typing import Any, TypeVar

import msgspec

from engage.connections.cluster import open_servers
from engage.connections.functions import Functions
from engage.connections.logins import Url
from engage.connections.primary import PART, Primary, Timeline, timeline_of
from engage.connections.servers import Call, Servers
from engage.domain.refusals import Unavailable
from engage.gate import boards, keys, limits
from engage.gate.boards import Boards
from engage.gate.claims import AWAY, ClaimCall, ClaimResult, ConfirmCall, SlotRequest
from engage.gate.limits import Limits

LIBRARY = resources.files("engage.gate").joinpath("library.lua").read_text()

# Longer than a month, for the records of a month. A member who stays away longer is loaded again.
HASH_TTL_S = 40 * 86_400
ONCE_TTL_S = 86_400
OLDEST_DAYS = 2
OLDEST_MONTHS = 1
KEYS_PER_UNLINK = 1_000
CHECK_KEY = "engage:health:state"
CHECK_TTL_S = 10

# The timeline of the database with which the gate was filled. No key of the gate: it outlives them.
TIMELINE_KEY = "engage:timeline"

_encoder = msgspec.msgpack.Encoder()
_integers = msgspec.msgpack.Decoder(list[int])

T = TypeVar("T")


class Gate:
    """Every call raises Unavailable("valkey") when Valkey cannot be reached. The members of a call may be on
    several servers: it does what it can on the others.

    What it knows comes from one timeline of the database. It is emptied before it is used with another one,
    which may have lost what the gate knows.
    """

    def __init__(self, servers: Servers, primary: Primary | None = None) -> None:
        self._servers = servers
        self._primary = primary or Primary()
        self._agreed: Timeline | None = None
        self._agreeing = asyncio.Lock()
        self.calls: dict[str, int] = {}  # By function.
        self.loaded = 0  # Members.
        self._functions = Functions(servers, (LIBRARY, boards.LIBRARY, limits.LIBRARY))
        self.boards = Boards(self._call_boards, self._get)
        self.limits = Limits(self._group, self._command, self._functions.run)

    @property
    def installs(self) -> int:
        """Return the number of times that the libraries were loaded."""
        return self._functions.installs

    async def agree(self, *, again: bool = False) -> None:
        """Empty the gate unless it was filled with the newest timeline of the database. `again`: ask also
        what other processes have seen.

        Raises Unavailable, also where another process knows a newer timeline than this one.
        """
        if self._agreed == self._primary.newest and not again:
            return
        async with self._agreeing:
            newest = self._primary.newest
            if newest is None or (self._agreed == newest and not again):
                return
            stored = await self._functions.run_one(Call(TIMELINE_KEY, ("GET", TIMELINE_KEY)))
            filled_with = None if stored is None else timeline_of(stored.decode())
            if filled_with is not None and newest.is_older_than(filled_with):
                self._primary.note(filled_with)
                raise Unavailable(PART)
            # What this process knew of an older timeline may have been written after another one emptied it.
            changed = self._agreed is not None and self._agreed != newest
            if changed or (stored is not None and filled_with != newest):
                await self.forget_all()
            if filled_with != newest:
                await self._functions.run_one(Call(TIMELINE_KEY, ("SET", TIMELINE_KEY, str(newest))))
            self._agreed = newest

    async def claim(self, requests: Sequence[SlotRequest]) -> list[ClaimResult]:
        """Claims slots; a result for each, in order: AWAY for members whose server is away."""
        await self.agree()
        results = [AWAY] * len(requests)
        groups = self._group(requests, lambda request: request.key)
        calls = [ClaimCall(group) for _, group in groups]
        commands = [
            self._command("engage_claim", c.names, c.argument(hash_ttl_s=HASH_TTL_S, once_ttl_s=ONCE_TTL_S))
            for c in calls
        ]
        for (indexes, _), call, answer in zip(
            groups, calls, await self._functions.run(commands), strict=True
        ):
            if isinstance(answer, Unavailable):
                continue
            for index, result in zip(indexes, call.results(_integers.decode(answer)), strict=True):
                results[index] = result
        if requests and all(result is AWAY for result in results):
            raise Unavailable("valkey")
        return results

    async def confirm(self, granted: Sequence[tuple[SlotRequest, int]]) -> None:
        """Confirms grants (slot, number) whose credits the database has accepted, each further slot too."""
        await self.agree()
        calls = [ConfirmCall(group) for _, group in self._group(granted, lambda one: one[0].key)]
        await self._functions.run_all(
            self._command("engage_confirm", call.names, (ONCE_TTL_S, call.claims), *call.records)
            for call in calls
        )

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
        await self.agree()
        await self._functions.run_all(
            self._command("engage_undo", [name for name, _ in group], [(field,) for _, field in group])
            for _, group in self._group(items, itemgetter(0))
        )

    async def load(
        self, members: Sequence[tuple[str, str, list[keys.Record]]], *, day: int, month: int
    ) -> None:
        """Loads the records of members (program, member, records) that the gate does not know.

        `day` and `month` are the current periods: older records may be dropped.
        """
        await self.agree()
        oldest = day - OLDEST_DAYS, month - OLDEST_MONTHS
        commands = []
        for _, group in self._group(members, lambda member: keys.bucket(member[0], member[1])):
            names = [keys.bucket(program_id, member_id) for program_id, member_id, _ in group]
            member_ids = [member_id for _, member_id, _ in group]
            # An argument each: the server's msgpack has no binary strings.
            packed = [keys.pack(records) for _, _, records in group]
            commands.append(self._command("engage_load", names, (HASH_TTL_S, *oldest, member_ids), *packed))
        await self._functions.run_all(commands)
        self.loaded += len(members)

    async def read(self, program_id: str, member_id: str) -> list[keys.Record] | None:
        """The records of a member, or None if the gate does not know the member."""
        await self.agree()
        name = keys.bucket(program_id, member_id)
        packed = await self._functions.run_one(Call(name, ("HGET", name, member_id)))
        return None if packed is None else keys.unpack(packed)

    async def forget_all(self) -> None:
        """Drops every key of the gate, on every primary."""
        async for names in self._servers.scan(keys.PREFIX, KEYS_PER_UNLINK):
            await self._functions.run_all(Call(name, ("UNLINK", name)) for name in names)

    async def check(self) -> None:
        """Writes to the server, or to every primary of a Cluster: it may answer and refuse writes."""
        await self._functions.run_all(
            Call(name, ("SET", name, 1, "EX", CHECK_TTL_S)) for name in self._servers.keys_on_each(CHECK_KEY)
        )

    async def memory_bytes(self) -> int:
        """Return the memory of the server, or of all primaries of a Cluster. Raises Unavailable."""
        return sum(int(info["used_memory"]) for info in await self._servers.on_each("INFO", "memory"))

    async def close(self) -> None:
        await self._servers.aclose()

    def _group(
        self, items: Sequence[T], name_of: Callable[[T], str]
    ) -> list[tuple[Sequence[int], Sequence[T]]]:
        """(indexes, items) of each call: all items, or in a Cluster those of one slot."""
        groups: dict[int, list[int]] = {}
        for index, item in enumerate(items):
            groups.setdefault(self._servers.slot(name_of(item)), []).append(index)
        if len(groups) == 1:
            return [(range(len(items)), items)]
        return [(indexes, [items[index] for index in indexes]) for indexes in groups.values()]

    def _command(self, function: str, names: list[str], argument: object, *rest: bytes) -> Call:
        self._count(function)
        return _function_call(function, names, _encoder.encode(argument), *rest)

    def _count(self, function: str) -> None:
        self.calls[function] = self.calls.get(function, 0) + 1

    async def _call_boards(self, function: str, names: list[str], *arguments: str | bytes | int) -> Any:
        await self.agree()
        self._count(function)
        return await self._functions.run_one(_function_call(function, names, *arguments))

    async def _get(self, name: str) -> bytes | None:
        await self.agree()
        found: bytes | None = await self._functions.run_one(Call(name, ("GET", name)))
        return found

    async def install(self) -> None:
        """Loads the Function libraries on every primary, replacing older ones. Raises ServerTooOld."""
        await self._functions.install()


def _function_call(function: str, names: list[str], *arguments: str | bytes | int) -> Call:
    return Call(names[0], ("FCALL", function, len(names), *names, *arguments))


def open_gate(url: Url, primary: Primary | None = None) -> Gate:
    """Opens a gate on `redis://…`, or on a Cluster with `redis+cluster://…`. Connects when first used.

    `primary` tells of the database; without one the gate is used whatever the database is.
    """
    return Gate(open_servers(url), primary)
