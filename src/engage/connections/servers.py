"""One standalone Valkey, or the primaries of a Cluster, behind one interface."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engage.connections.slots import Address
from engage.connections.valkey import answering, away_is_unavailable, error_of
from engage.domain.refusals import Unavailable

# The address of a standalone server, which only its client knows.
ALONE: Final[Address] = ("", 0)


class Call(NamedTuple):
    """A command, and a key of it. All keys of a command must have one slot."""

    key: str
    command: tuple[str | bytes | int, ...]


class Servers(Protocol):
    """Commands run on the server of their key. Servers that are away raise no errors of the library."""

    def slot(self, key: str) -> int:
        """Return the slot of a key. A command may have keys of one slot only."""

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Run all calls at once. Return for each its answer, Unavailable, or its ResponseError."""

    async def on_each(self, *command: str | bytes | int) -> list[Any]:
        """Run a command on each primary. Raises Unavailable or ResponseError, after all have answered."""

    def keys_on_each(self, prefix: str) -> list[str]:
        """Return a key with this prefix for each primary that is known."""

    def scan(self, prefix: str, count: int) -> AsyncIterator[list[str]]:
        """Yield the keys with this prefix, some at a time. Raises Unavailable."""

    @property
    def map_version(self) -> int:
        """A number that is another one when a slot has another primary."""

    async def locate(self) -> None:
        """Find out which primaries there are, unless that is known. Raises Unavailable."""

    def owner(self, slot: int) -> Address | None:
        """Return the primary that owns a slot; None while it is away or nobody knows."""

    def node(self, address: Address) -> Redis:
        """Return the client of one primary."""

    def lost(self, address: Address) -> None:
        """Note that a primary is away."""

    def moved(self, slot: int, to: Address) -> None:
        """Note that a primary has said who owns a slot now."""

    async def refresh(self) -> None:
        """Ask again which primary owns which slots. Raises Unavailable."""

    async def aclose(self) -> None: ...


class Standalone:
    """A standalone server. Connects when first used."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def slot(self, key: str) -> int:
        return 0

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        try:
            async with answering():
                return await run_on(self._client, [call.command for call in calls])
        except (Unavailable, ResponseError) as error:
            return [error] * len(calls)

    async def on_each(self, *command: str | bytes | int) -> list[Any]:
        async with answering():
            return [await self._client.execute_command(*command)]  # type: ignore[no-untyped-call]

    def keys_on_each(self, prefix: str) -> list[str]:
        return [prefix]

    async def scan(self, prefix: str, count: int) -> AsyncIterator[list[str]]:
        async for keys in scan_one(self._client, prefix, count):
            yield keys

    @property
    def map_version(self) -> int:
        return 0

    async def locate(self) -> None:
        """Do nothing: there is one server."""

    def owner(self, slot: int) -> Address | None:
        return ALONE

    def node(self, address: Address) -> Redis:
        return self._client

    def lost(self, address: Address) -> None:
        """Do nothing: it has no successor."""

    def moved(self, slot: int, to: Address) -> None:
        """Do nothing: a standalone server does not redirect."""

    async def refresh(self) -> None:
        """Do nothing: there is one server."""

    async def aclose(self) -> None:
        await self._client.aclose()


async def run_on(client: Redis, commands: Sequence[tuple[str | bytes | int, ...]]) -> list[Any]:
    """Run commands on one server, in one round trip. Return for each its answer or its error.

    Raises the library's errors where the server is away, and for a single command its ResponseError.
    """
    if len(commands) == 1:
        return [await client.execute_command(*commands[0])]  # type: ignore[no-untyped-call]
    async with client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        answers = await pipe.execute(raise_on_error=False)
    return [error_of(answer) if isinstance(answer, Exception) else answer for answer in answers]


async def scan_one(client: Redis, prefix: str, count: int) -> AsyncIterator[list[str]]:
    """Yield the keys of one server with this prefix, some at a time. Raises Unavailable."""
    cursor = 0
    while True:
        with away_is_unavailable():
            async with answering():
                cursor, keys = await client.scan(cursor, match=f"{prefix}*", count=count)
        if keys:
            yield [key.decode() for key in keys]
        if not cursor:
            return
