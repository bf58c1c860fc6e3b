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
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ResponseError

from engage.connections.server_version import check_valkey
from engage.connections.valkey import answering, away_is_unavailable, open_client, open_cluster
from engage.domain import calendar
from engage.domain.earning.limits import OnceSlot, Slot, StreakSlot, WindowSlot
from engage.domain.earning.slots import Grant, WindowGrant, granted_day, short_code
from engage.domain.earning.streak import Streak
from engage.gate import boards, keys
from engage.gate.boards import Boards

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


class FurtherResult(msgspec.Struct, frozen=True):
    """The claim of a slot of a further limit."""

    status: int
    number: int
    left: int


class StreakEvent(msgspec.Struct, frozen=True):
    """A streak after an event, and how many events it has had."""

    streak: Streak
    seq: int


class ClaimResult(msgspec.Struct, frozen=True):
    """`number` and `left` are those of the grant (`engage.domain.earning.slots.Grant`). `own` is the status
    without the further slots: nothing is claimed unless all are granted. `event` is that of a streak,
    granted.
    """

    own: int
    number: int = 0
    left: int = 0
    further: tuple[FurtherResult, ...] = ()
    event: StreakEvent | None = None

    @property
    def status(self) -> int:
        """The status of the whole. Which windows refuse it is known only when all are known."""
        return max(self.own, *(one.status for one in self.further)) if self.further else self.own

    def grant(self, slot: Slot) -> Grant:
        """The grant of `slot`, which all limits allow."""
        if isinstance(slot, StreakSlot):
            assert self.event is not None
            granted = granted_day(slot, self.event.streak)
        else:
            granted = Grant(slot, self.number, self.left)
        if not self.further:
            return granted
        further = zip(slot.further, self.further, strict=True)
        places = tuple(WindowGrant(window, one.number, one.left) for window, one in further)
        return replace(granted, further=places)

    def taken(self, slot: Slot) -> list[WindowSlot]:
        """The windows that refuse `slot`; none where its own limit refuses it and is no window."""
        own = [slot] if isinstance(slot, WindowSlot) and self.own == ClaimStatus.REFUSED else []
        if self.own == ClaimStatus.REFUSED and not own:
            return []
        further = zip(slot.further, self.further, strict=True)
        return [*own, *(s for s, one in further if one.status == ClaimStatus.REFUSED)]


class SlotRequest(msgspec.Struct, frozen=True):
    """A slot for a member. `event`: the event of a streak that is confirmed."""

    program_id: str
    member_id: str
    slot: Slot
    event: StreakEvent | None = None

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
        self.boards = Boards(self._call_boards, self._get)

    async def claim(self, requests: Sequence[SlotRequest]) -> list[ClaimResult]:
        """Claims slots; a result for each, in order."""
        results = [ClaimResult(ClaimStatus.UNKNOWN)] * len(requests)
        for group in self._group(requests, [request.key for request in requests]):
            claims = [_claim(request) for _, _, request in group]
            names, further = _further(group)
            argument = (HASH_TTL_S, ONCE_TTL_S, claims, *([further] if further else []))
            flat = _integers.decode(await self._call("engage_claim", names, argument))
            behind = 3 * len(group)
            runs = behind + 3 * sum(len(request.slot.further) for _, _, request in group)
            for n, (index, _, request) in enumerate(group):
                own, number, left = flat[3 * n : 3 * n + 3]
                places: tuple[FurtherResult, ...] = ()
                if request.slot.further:
                    end = behind + 3 * len(request.slot.further)
                    places = tuple(FurtherResult(*flat[at : at + 3]) for at in range(behind, end, 3))
                    behind = end
                event = None
                if own == ClaimStatus.GRANTED and isinstance(request.slot, StreakSlot):
                    event = _event(request.slot, number, *flat[runs : runs + 5])
                    runs += 5
                results[index] = ClaimResult(own, number, left, places, event)
        return results

    async def confirm(self, granted: Sequence[tuple[SlotRequest, int]]) -> None:
        """Confirms grants (slot, number) whose credits the database has accepted, each further slot too."""
        for group in self._group(granted, [request.key for request, _ in granted]):
            claims = [_confirmation(request, number) for _, _, (request, number) in group]
            await self._call("engage_confirm", _names(group), (ONCE_TTL_S, claims))

    async def undo(self, requests: Sequence[SlotRequest]) -> None:
        """Forgets the members of grants that the database has not accepted."""
        items: list[tuple[str, tuple[str | bool]]] = []
        for request in requests:
            once = isinstance(request.slot, OnceSlot)
            items.append((request.key, (False if once else request.member_id,)))
            if once and request.slot.further:
                items.append((keys.bucket(request.program_id, request.member_id), (request.member_id,)))
        for group in self._group([item for _, item in items], [name for name, _ in items]):
            await self._call("engage_undo", _names(group), [item for _, _, item in group])

    async def forget(self, members: Sequence[tuple[str, str]]) -> None:
        """Forgets members (program, member): their next claim is UNKNOWN."""
        for group in self._group(members, [keys.bucket(*member) for member in members]):
            await self._call("engage_undo", _names(group), [(member_id,) for _, _, (_, member_id) in group])

    async def load(
        self, members: Sequence[tuple[str, str, list[keys.Record]]], *, day: int, month: int
    ) -> None:
        """Loads the records of members (program, member, records) that the gate does not know.

        `day` and `month` are the current periods: older records may be dropped.
        """
        for group in self._group(members, [keys.bucket(member[0], member[1]) for member in members]):
            oldest = day - OLDEST_DAYS, month - OLDEST_MONTHS
            member_ids = [member_id for _, _, (_, member_id, _) in group]
            # An argument each: the server's msgpack has no binary strings.
            packed = [keys.pack(records) for _, _, (_, _, records) in group]
            await self._call("engage_load", _names(group), (HASH_TTL_S, *oldest, member_ids), *packed)

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

    def _group(self, items: Iterable[T], names: list[str]) -> list[list[tuple[int, str, T]]]:
        """(index, key, item) in groups, one for a call: all items, or those of one hash tag in a Cluster."""
        indexed = [(i, name, item) for i, (name, item) in enumerate(zip(names, items, strict=True))]
        if not isinstance(self._client, RedisCluster):
            return [indexed] if indexed else []
        groups: dict[str, list[tuple[int, str, T]]] = {}
        for entry in indexed:
            groups.setdefault(entry[1].partition("}")[0], []).append(entry)
        return list(groups.values())

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


def _names(group: Sequence[tuple[int, str, Any]]) -> list[str]:
    return [name for _, name, _ in group]


def _further(
    group: Sequence[tuple[int, str, SlotRequest]],
) -> tuple[list[str], dict[int, list[int | str]]]:
    """(all keys of a call, the further limits of its claims by their numbers, as library.lua has them)"""
    names, limits = _names(group), {}
    for n, (_, _, request) in enumerate(group, start=1):
        if not request.slot.further:
            continue
        key = keys.bucket(request.program_id, request.member_id)
        if names[n - 1] != key:
            names.append(key)
        at = n if names[n - 1] == key else len(names)
        places: list[int | str] = [at, request.member_id, short_code(request.slot.rule_id)]
        for slot in request.slot.further:
            places += [keys.WINDOW_KINDS[slot.window.kind], slot.period, slot.count]
        limits[n] = places
    return names, limits


def _claim(request: SlotRequest) -> tuple[Any, ...]:
    match request.slot:
        case StreakSlot(rule_id=rule_id) as slot:
            second, zone = keys.seconds(slot.at), short_code(slot.zone)
            freezes = () if (offer := slot.terms.freezes) is None else offer.numbers
            code = short_code(rule_id)
            return "s", request.member_id, code, slot.period, zone, second, slot.may_be_before, freezes
        case WindowSlot(rule_id=rule_id, window=window, count=count):
            kind = keys.WINDOW_KINDS[window.kind]
            return "w", request.member_id, short_code(rule_id), kind, window.period, count
        case OnceSlot():
            return ("k",)


def _event(
    slot: StreakSlot, days: int, period: int, frozen: int, freezes: int, best: int, seq: int
) -> StreakEvent:
    streak = Streak(
        last_day=slot.day if period == slot.period else calendar.day_of_number(period),
        days=days,
        zone=slot.zone,
        at=slot.at,
        frozen=frozen,
        freezes=None if freezes == keys.NO_FREEZES else freezes,
        best=best,
    )
    return StreakEvent(streak, seq)


def _confirmation(request: SlotRequest, number: int) -> tuple[Any, ...]:
    match request.slot:
        case StreakSlot(rule_id=rule_id):
            assert request.event is not None
            record = keys.streak_record(rule_id, request.event.streak, request.event.seq)
            return request.member_id, *msgspec.structs.astuple(record)
        case WindowSlot(rule_id=rule_id, window=window):
            kind = keys.WINDOW_KINDS[window.kind]
            return request.member_id, short_code(rule_id), kind, window.period, number
        case OnceSlot():
            return (False,)
