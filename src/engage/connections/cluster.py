"""A Valkey Cluster: commands go to the primaries of their keys, those of one primary in one round trip.

A primary that is away makes only the commands of its own keys unavailable, and those at once: nobody waits
for it. A loop looks for its successor. Redirections are followed within a call (docs/decisions/0028).
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterParser
from redis.exceptions import AskError, MovedError, RedisError, ResponseError, TryAgainError

from engage.connections import valkey
from engage.connections.cancellation import cancel_all
from engage.connections.logins import Url
from engage.connections.servers import Call, Servers, Standalone, run_on, scan_one
from engage.connections.slots import Address, SlotMap, others_first, slot_of
from engage.connections.valkey import (
    answering,
    away_is_unavailable,
    error_of,
    logins_of,
    open_client,
    open_node,
)
from engage.domain.refusals import Unavailable

log = structlog.get_logger()

SCHEMES: Final = ("redis+cluster://", "rediss+cluster://")
DEFAULT_PORT: Final = 6379

# Of the time for an answer. A primary that is silent for longer is away, and the rest is for its successor.
SILENT: Final = 0.75

# While a primary is away, the Cluster is asked this often who has succeeded it, and the primary itself if it
# is back.
LOOK_AGAIN_S: Final = 0.1
PROBE_S: Final = 0.5

# A slot that moves may have one of a call's keys on either side, until all have moved.
TRY_AGAIN_S: Final = 0.02

# Redirections of a call, one after the other. With more than one the Cluster changes faster than we learn.
REDIRECTIONS: Final = 5

# A node to which a call was redirected for once belongs to the primaries for this long: it will be one.
IMPORTING_S: Final = 60.0

_ASKING: Final = ("ASKING",)


class _Routed:
    """A call on its way to an answer: of the owner of its slot, or of where it was redirected to."""

    def __init__(self, number: int, call: Call, slot: int) -> None:
        self.number = number
        self.command = call.command
        self.slot = slot
        self.ask: Address | None = None
        self.redirections = 0
        self.retried = False  # After the loss of its primary.
        self.waits = False  # For the other keys of its slot, which is being moved.


class Cluster:
    """A client of a Cluster, `redis+cluster://host:port,host:port…`. Connects when first used."""

    def __init__(self, url: Url) -> None:
        self._logins = logins_of(url)
        self._url = _NodeUrl(self._logins.url)
        self._map = SlotMap()
        self._clients: dict[Address, Redis] = {}
        self._away: set[Address] = set()
        self._importing: dict[Address, float] = {}  # Nodes that take over slots, and when they were seen.
        self._watching: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[bool] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def slot(self, key: str) -> int:
        return slot_of(key)

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        answers: list[Any] = [Unavailable("valkey")] * len(calls)
        with suppress(Unavailable):
            async with answering():
                await self.locate()
                left = [_Routed(n, call, slot_of(call.key)) for n, call in enumerate(calls)]
                while left:
                    left = await self._round(left, answers)
        return answers

    async def on_each(self, *command: str | bytes | int) -> list[Any]:
        async with answering():
            await self.locate()
            found = await asyncio.gather(*(self._on(address, command) for address in self._primaries()))
        for answer in found:
            if isinstance(answer, Exception):
                raise answer
        return found

    def _primaries(self) -> list[Address]:
        """The primaries, with those that have no slots yet and take some over."""
        seen_after = asyncio.get_running_loop().time() - IMPORTING_S
        importing = [address for address, seen_at in self._importing.items() if seen_at > seen_after]
        return list(dict.fromkeys([*self._map.primaries(), *importing]))

    def keys_on_each(self, prefix: str) -> list[str]:
        return self._map.keys_on_each(prefix) or [prefix]

    async def scan(self, prefix: str, count: int) -> AsyncIterator[list[str]]:
        async with answering():
            await self.refresh()
        for address in self._map.primaries():
            async for keys in scan_one(self.node(address), prefix, count):
                yield keys

    async def aclose(self) -> None:
        tasks = [task for task in (self._watching, self._refreshing, *self._closing) if task is not None]
        await cancel_all(tasks)
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    @property
    def map_version(self) -> int:
        return self._map.version

    async def locate(self) -> None:
        if not self._map:
            await self.refresh()

    def owner(self, slot: int) -> Address | None:
        owner = self._map.owners[slot]
        return None if owner in self._away else owner

    def moved(self, slot: int, to: Address) -> None:
        """Note a redirection. More slots have probably moved: the whole map is read again, later."""
        self._map.moved(slot, to)
        self._begin_refresh()

    def node(self, address: Address) -> Redis:
        """Return the client of one node."""
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = open_node(
                Redis, self._url.of(address), self._logins, parser_class=ClusterParser
            )
        return client

    def lost(self, address: Address) -> None:
        """Note that a primary is away. Its calls are unavailable until it is back or succeeded."""
        if address not in self._away:
            log.warning("a primary of the cluster is away", host=address[0], port=address[1])
        self._away.add(address)
        self._keep_watching()

    async def refresh(self) -> None:
        """Read the map of slots from any node. Raises Unavailable."""
        # Others may wait for the same answer.
        if not await asyncio.shield(self._begin_refresh()):
            raise Unavailable("valkey")

    def _begin_refresh(self) -> asyncio.Task[bool]:
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._read_map())
        return self._refreshing

    def _keep_watching(self) -> None:
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    async def _round(self, calls: list[_Routed], answers: list[Any]) -> list[_Routed]:
        """Ask all primaries of these calls at once. Return the calls that have to be asked again."""
        groups: dict[Address, list[_Routed]] = {}
        for call in calls:
            to = call.ask or self._map.owners[call.slot]
            if to in self._away:
                self._keep_watching()
            elif to is not None:
                groups.setdefault(to, []).append(call)
        rounds = [self._ask(address, group, answers) for address, group in groups.items()]
        again = [call for part in await asyncio.gather(*rounds) for call in part]
        if any(call.retried for call in again):
            await self.refresh()
        elif any(call.waits for call in again):
            await asyncio.sleep(TRY_AGAIN_S)
        return again

    async def _ask(self, address: Address, calls: list[_Routed], answers: list[Any]) -> list[_Routed]:
        commands = [
            command for call in calls for command in ((_ASKING,) if call.ask else ()) + (call.command,)
        ]
        try:
            async with asyncio.timeout(SILENT * valkey.ANSWER_S):
                found = await run_on(self.node(address), commands)
        except ResponseError as error:
            found = [error]
        except (RedisError, OSError, RuntimeError) as error:
            return self._unanswered(address, calls, error_of(error))
        again = []
        behind = iter(found)
        for call in calls:
            if call.ask:
                next(behind)
            answer = next(behind)
            call.ask, call.waits = None, isinstance(answer, TryAgainError)
            if call.waits or (isinstance(answer, AskError) and self._redirected(call, answer, address)):
                again.append(call)
            else:
                answers[call.number] = error_of(answer) if isinstance(answer, Exception) else answer
        return again

    def _unanswered(self, address: Address, calls: list[_Routed], error: Exception) -> list[_Routed]:
        """Note that a node is away. Its calls are tried once more, in case others know of a successor."""
        if not isinstance(error, Unavailable):
            raise error
        self.lost(address)
        again = [call for call in calls if not call.retried]
        for call in again:
            call.ask, call.retried = None, True
        return again

    def _redirected(self, call: _Routed, answer: AskError, by: Address) -> bool:
        if call.redirections >= REDIRECTIONS:
            return False
        call.redirections += 1
        to = (answer.host or by[0], answer.port)
        if isinstance(answer, MovedError):
            self.moved(call.slot, to)
        else:
            call.ask = to
            self._importing[to] = asyncio.get_running_loop().time()
        return True

    async def _on(self, address: Address, command: tuple[str | bytes | int, ...]) -> Any:
        try:
            return await self.node(address).execute_command(*command)  # type: ignore[no-untyped-call]
        except (RedisError, OSError, RuntimeError) as error:
            return error_of(error)

    async def _watch(self) -> None:
        """Look for primaries that are away, and for their successors, until none is missing."""
        try:
            while self._away:
                await asyncio.sleep(LOOK_AGAIN_S)
                with suppress(Unavailable):
                    await self.refresh()
                self._away.intersection_update(self._map.primaries())
                await asyncio.gather(*(self._look_for(address) for address in tuple(self._away)))
        finally:
            self._watching = None

    async def _look_for(self, address: Address) -> None:
        with suppress(Unavailable):
            await self._probe(address, "PING")
            self._away.discard(address)

    async def _probe(self, address: Address, *command: str) -> Any:
        """Ask one node, which has to answer fast. Raises Unavailable."""
        with away_is_unavailable():
            async with asyncio.timeout(PROBE_S):
                return await self.node(address).execute_command(*command)  # type: ignore[no-untyped-call]

    async def _read_map(self) -> bool:
        """Read the map from the first node that has one; False if no node answers."""
        nodes = [*self._map.nodes, *self._url.seeds]
        random.shuffle(nodes)
        try:
            for address in others_first(nodes, self._away):
                try:
                    answer = await self._probe(address, "CLUSTER", "SLOTS")
                except Unavailable:
                    continue
                except ResponseError as error:
                    log.warning("no node of a cluster", host=address[0], port=address[1], error=str(error))
                    continue
                if self._map.replace(answer, address):
                    self._forget_removed()
                    return True
            return False
        finally:
            self._refreshing = None

    def _forget_removed(self) -> None:
        """Close the clients of nodes that the Cluster has no more."""
        kept = {*self._map.nodes, *self._url.seeds, *self._primaries()}
        for address in set(self._clients) - kept:
            closing = asyncio.create_task(self._clients.pop(address).aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


class _NodeUrl:
    """The URL of a Cluster: credentials and options, and the nodes to begin with."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url.replace("+cluster://", "://", 1))
        credentials, at, hosts = parts.netloc.rpartition("@")
        self._begin, self._end = (
            f"{parts.scheme}://{credentials}{at}",
            f"?{parts.query}" if parts.query else "",
        )
        self.seeds = [_seed(host) for host in hosts.split(",") if host]

    def of(self, address: Address) -> str:
        host, port = address
        name = f"[{host}]" if ":" in host else host
        return f"{self._begin}{name}:{port}{self._end}"


def first_node(url: str) -> str:
    """Return the URL of the first node that is named, or of the standalone server."""
    if not url.startswith(SCHEMES):
        return url
    nodes = _NodeUrl(url)
    return nodes.of(nodes.seeds[0])


def _seed(host: str) -> Address:
    parts = urlsplit(f"//{host}")
    return parts.hostname or "", parts.port or DEFAULT_PORT


def open_servers(url: Url) -> Servers:
    """Open `redis://…`, or a Cluster at `redis+cluster://…`. Connects when first used."""
    is_cluster = (url if isinstance(url, str) else url()).startswith(SCHEMES)
    return Cluster(url) if is_cluster else Standalone(open_client(Redis, url))
