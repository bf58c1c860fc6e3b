"""The topics that a feed process listens to: those of the members who are connected to it, and no others.

There is one connection for each server that has such a topic. A topic is **active** from that server's word:
a balance that is read afterwards, with the changes that follow, misses nothing. After a server was lost, its
topics are subscribed again where they belong by then, and become active again.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, Never

import hiredis
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as ValkeyConnectionError

from engage.connections import valkey
from engage.connections.cancellation import cancel_all
from engage.connections.servers import Servers
from engage.connections.slots import Address
from engage.connections.valkey import away_is_unavailable
from engage.domain.keys import MemberKey
from engage.domain.refusals import Unavailable
from engage.signals.changes import Change, decode, topic_of

# After this silence on a connection its server is pinged, and has to answer.
PROBE_AFTER_S: Final = 5.0

# Topics without a server are placed again this often.
PLACE_AGAIN_S: Final = 0.1
TURN_S: Final = 1.0
REFRESH_S: Final = 5.0

READ_BYTES: Final = 65_536
CHANGES_PER_YIELD: Final = 128
TOPICS_PER_COMMAND: Final = 1_000

Command = tuple[str, ...]


class _Topic(Struct):
    """A member, and the line that has the topic; none while no server is known for it."""

    member: MemberKey
    slot: int
    line: "_Line | None" = None
    active: bool = False


class Subscriptions:
    """`deliver` is called with changes, `activated` with members whose topics are active from now on."""

    def __init__(
        self,
        servers: Servers,
        *,
        deliver: Callable[[Sequence[Change]], None],
        activated: Callable[[list[MemberKey]], None],
    ) -> None:
        self._servers = servers
        self._deliver = deliver
        self._activated = activated
        self._topics: dict[str, _Topic] = {}
        self._unplaced: dict[str, None] = {}  # Topics without a line, in order.
        self._lines: dict[Address, _Line] = {}
        self._work = asyncio.Event()
        self.opened = 0  # Connections, of which some may have ended.
        self._map_version = -1
        self._refresh_at = 0.0

    def __len__(self) -> int:
        """Return the number of topics, active or not."""
        return len(self._topics)

    def watch(self, member: MemberKey) -> bool:
        """Subscribe to a member's changes; True if they are active already."""
        name = topic_of(member)
        topic = self._topics.get(name)
        if topic is None:
            self._topics[name] = _Topic(member, self._servers.slot(name))
            self._unplaced[name] = None
            self._work.set()
            return False
        return topic.active

    def unwatch(self, member: MemberKey) -> None:
        """End a member's subscription."""
        name = topic_of(member)
        topic = self._topics.pop(name, None)
        if topic is None:
            return
        self._unplaced.pop(name, None)
        if topic.line is not None:
            topic.line.unsubscribe(name)

    async def run(self, *, turned: Callable[[], None], failed: Callable[[BaseException], None]) -> Never:
        """Keep the subscriptions. Calls `turned` every few seconds while all have a server, and `failed` for
        each error.
        """
        try:
            while True:
                self._work.clear()
                await self._turn(failed)
                if not self._unplaced:
                    turned()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(TURN_S):
                            await self._work.wait()
                else:
                    await asyncio.sleep(PLACE_AGAIN_S)
        finally:
            await self._end_lines()

    async def _turn(self, failed: Callable[[BaseException], None]) -> None:
        for address, line in tuple(self._lines.items()):
            if line.task.done():
                del self._lines[address]
                self._unplace(line)
                error = line.task.exception() or EOFError("a subscription ended")
                if isinstance(error, Unavailable):
                    self._servers.lost(address)
                failed(error)
        try:
            await self._look_at_map()
        except Unavailable as error:
            failed(error)
        self._place(failed)

    async def _look_at_map(self) -> None:
        """Move topics whose primary is another one by now. A primary that was replaced may not say so."""
        now = asyncio.get_running_loop().time()
        if now >= self._refresh_at:
            self._refresh_at = now + REFRESH_S
            await self._servers.refresh()
        elif self._unplaced:
            await self._servers.locate()
        if self._map_version == self._servers.map_version:
            return
        self._map_version = self._servers.map_version
        for name, topic in self._topics.items():
            owner = self._servers.owner(topic.slot)
            if topic.line is not None and owner not in (None, topic.line.address):
                topic.line.unsubscribe(name)
                self._unplace(topic.line, [name])

    def _place(self, failed: Callable[[BaseException], None]) -> None:
        by_line: dict[_Line, dict[int, list[str]]] = {}
        for name in tuple(self._unplaced):
            topic = self._topics[name]
            owner = self._servers.owner(topic.slot)
            if owner is None:
                continue
            topic.line = self._line(owner)
            del self._unplaced[name]
            by_line.setdefault(topic.line, {}).setdefault(topic.slot, []).append(name)
        for line, slots in by_line.items():
            for names in slots.values():
                line.subscribe(names)
        if self._unplaced:
            failed(Unavailable("valkey"))

    def _line(self, address: Address) -> "_Line":
        line = self._lines.get(address)
        if line is None:
            self.opened += 1
            line = self._lines[address] = _Line(self._servers.node(address), address, self)
        return line

    def _unplace(self, line: "_Line", names: Iterable[str] | None = None) -> None:
        """Take topics from a line, or all: they belong elsewhere, or their changes are missed."""
        for name in [n for n, t in self._topics.items() if t.line is line] if names is None else names:
            topic = self._topics.get(name)
            if topic is not None and topic.line is line:
                topic.line, topic.active = None, False
                self._unplaced[name] = None
        self._work.set()

    async def _end_lines(self) -> None:
        lines, self._lines = list(self._lines.values()), {}
        await cancel_all(line.task for line in lines)
        for line in lines:
            self._unplace(line)

    def acknowledged(self, line: "_Line", names: Iterable[str]) -> None:
        """Take the server's word that topics are active."""
        members = []
        for name in names:
            topic = self._topics.get(name)
            if topic is not None and topic.line is line:
                topic.active = True
                members.append(topic.member)
        if members:
            self._activated(members)

    def received(self, changes: Sequence[Change]) -> None:
        self._deliver(changes)

    def left(self, line: "_Line", names: Iterable[str]) -> None:
        """Take the server's word that these topics belong to another one now."""
        self._unplace(line, names)

    def slot_of(self, name: str) -> int:
        return self._servers.slot(name)

    def redirected(self, line: "_Line", slot: int, to: Address) -> None:
        """Take the server's word who has the topics of a slot now."""
        self._servers.moved(slot, to)
        self._unplace(line, [n for n, t in self._topics.items() if t.line is line and t.slot == slot])

    def ended(self) -> None:
        self._work.set()


class _Line:
    """The subscriptions at one server, through one connection, until it is lost."""

    def __init__(self, client: Redis, address: Address, events: Subscriptions) -> None:
        self._client = client
        self.address = address
        self._events = events
        self._outgoing: list[Command] = []
        self._wake = asyncio.Event()
        self._unacknowledged: Counter[str] = Counter()
        self._leaving: Counter[str] = Counter()
        self.task = asyncio.create_task(self._run())
        self.task.add_done_callback(lambda _: events.ended())

    def subscribe(self, names: Sequence[str]) -> None:
        """Subscribe to topics of one slot."""
        for first in range(0, len(names), TOPICS_PER_COMMAND):
            some = names[first : first + TOPICS_PER_COMMAND]
            self._unacknowledged.update(some)
            self._send("SSUBSCRIBE", *some)

    def unsubscribe(self, name: str) -> None:
        self._leaving[name] += 1
        self._send("SUNSUBSCRIBE", name)

    def _send(self, *command: str) -> None:
        self._outgoing.append(command)
        self._wake.set()

    async def _run(self) -> None:
        """Raises Unavailable when the connection is lost."""
        with away_is_unavailable():
            connection = await self._client.connection_pool.get_connection()
            try:
                both = [asyncio.create_task(part(connection)) for part in (self._read, self._write)]
                try:
                    done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                finally:
                    await cancel_all(both)
            finally:
                # It is subscribed to something: nobody else can use it.
                await connection.disconnect()
                await self._client.connection_pool.release(connection)

    async def _write(self, connection: Any) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            commands, self._outgoing = self._outgoing, []
            packed = b"".join(part for command in commands for part in connection.pack_command(*command))
            await connection.send_packed_command([packed])

    async def _read(self, connection: Any) -> None:
        frames = hiredis.Reader(notEnoughData=_NOTHING)
        pinged = False
        while True:
            try:
                async with asyncio.timeout(valkey.ANSWER_S if pinged else PROBE_AFTER_S):
                    read = await connection.read_bytes(READ_BYTES)
            except TimeoutError:
                if pinged:
                    raise ValkeyConnectionError("no answer on the topics") from None
                self._send("PING")
                pinged = True
                continue
            pinged = False
            frames.feed(read)
            if self._take(frames) >= CHANGES_PER_YIELD:
                # More may be there already: let the sockets run.
                await asyncio.sleep(0)

    def _take(self, frames: "hiredis.Reader") -> int:
        """Take all frames that have come. Return how many changes there were."""
        changes: list[Change] = []
        active: list[str] = []
        gone: list[str] = []
        while (frame := frames.gets()) is not _NOTHING:
            if isinstance(frame, hiredis.ReplyError):
                self._refused(str(frame))
            elif frame[0] == b"smessage":
                changes.append(decode(frame[2]))
            elif frame[0] == b"ssubscribe":
                self._count(self._unacknowledged, frame[1].decode(), active)
            elif frame[0] == b"sunsubscribe" and frame[1] is not None:
                name = frame[1].decode()
                if self._leaving[name]:
                    self._count(self._leaving, name, [])
                else:
                    gone.append(name)
        if active:
            self._events.acknowledged(self, active)
        if changes:
            self._events.received(changes)
        if gone:
            self._events.left(self, gone)
        return len(changes)

    def _count(self, waiting: Counter[str], name: str, done: list[str]) -> None:
        """Count one answer. The last of a topic's subscriptions counts, if it was begun more than once."""
        waiting[name] -= 1
        if waiting[name] <= 0:
            del waiting[name]
            done.append(name)

    def _refused(self, error: str) -> None:
        """Take the refusal of a subscription: MOVED names its slot, and who has it now. Raises all others."""
        words = error.split()
        if words[0] != "MOVED":
            raise ValkeyConnectionError(error)
        host, _, port = words[2].rpartition(":")
        slot = int(words[1])
        for name in [n for n in self._unacknowledged if self._events.slot_of(n) == slot]:
            del self._unacknowledged[name]
        self._events.redirected(self, slot, (host or self.address[0], int(port)))


_NOTHING: Final = object()
