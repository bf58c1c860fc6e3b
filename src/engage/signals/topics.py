"""Valkey for the feed: topics of balance changes, tickets and heartbeats.

All of it may be lost: after a lost change the feed reads balances again, and a client requests a new ticket.
"""

import os
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from importlib import resources
from typing import Final

import msgspec
from msgspec import Struct

from engage.clock import Clock
from engage.connections.functions import Functions
from engage.connections.servers import Call, Servers
from engage.connections.slots import Address
from engage.connections.valkey import answering
from engage.domain.identity import Identity
from engage.domain.keys import MemberKey
from engage.domain.refusals import Unavailable
from engage.signals.changes import Change, encode, topic
from engage.signals.subscriptions import Subscriptions
from engage.signals.traces import READS_AT_ONCE, Carried, keeping, reading, removal

TICKET_TTL_S: Final = 30
HEARTBEAT_TTL_S: Final = 6
DONE_TTL_S: Final = 30  # Workers sweep every five seconds.
CHECK_KEY: Final = "engage:health:topics"

LIBRARY: Final = resources.files("engage.signals").joinpath("topics.lua").read_text()

# A call of the server, which does nothing else meanwhile, for about 2 ms.
CHANGES_PER_CALL: Final = 1_000

# Tickets have random keys: another one may be on a server that answers.
TICKETS_TRIED: Final = 3

_TICKET_BYTES: Final = 32

Message = tuple[str, bytes]  # (topic, change)


class Heartbeat(Struct, frozen=True):
    """A live process, as host:pid, its loops that do not do their work, and its release."""

    id: str
    problems: list[str]
    release: str


_names = msgspec.msgpack.Decoder(list[str])
_identity = msgspec.msgpack.Decoder(Identity)
_encode = msgspec.msgpack.Encoder().encode
_NO_NAMES: Final = _encode([])


class Topics:
    """Works on a standalone server or on a Cluster."""

    def __init__(self, servers: Servers, clock: Clock) -> None:
        self._servers = servers
        self._functions = Functions(servers, (LIBRARY,))
        self._clock = clock

    async def publish(self, changes: Sequence[Change]) -> None:
        """Publishes changes to the feeds that watch their members, in one round trip a server. The changes of
        a member keep their order.

        Raises Unavailable, after it has published what it can: feeds then get the new balance with the
        member's next change, or when they subscribe again.
        """
        if not changes:
            return
        left = await self._publish([(topic(c.program_id, c.member_id), encode(c)) for c in changes])
        if left:
            # Their topics may have another server by now.
            await self._servers.refresh()
            left = await self._publish(left)
        if left:
            raise Unavailable("valkey")

    async def _publish(self, messages: list[Message]) -> list[Message]:
        """Publish messages (topic, change). Return those that their server did not take."""
        async with answering():
            await self._servers.locate()
        left: list[Message] = []
        groups: dict[Address, list[Message]] = {}
        for message in messages:
            owner = self._servers.owner(self._servers.slot(message[0]))
            if owner is None:
                left.append(message)
            else:
                groups.setdefault(owner, []).append(message)
        parts = [
            group[first : first + CHANGES_PER_CALL]
            for group in groups.values()
            for first in range(0, len(group), CHANGES_PER_CALL)
        ]
        answers = await self._functions.run([_publication(part) for part in parts])
        for part, answer in zip(parts, answers, strict=True):
            left += part if isinstance(answer, Unavailable) else [part[n] for n in answer]
        return left

    def subscriptions(
        self,
        *,
        deliver: Callable[[Sequence[Change]], None],
        activated: Callable[[list[MemberKey]], None],
    ) -> Subscriptions:
        """Make the subscriptions of a feed process."""
        return Subscriptions(self._servers, deliver=deliver, activated=activated)

    async def issue_ticket(self, identity: Identity) -> tuple[str, datetime]:
        """Returns (ticket, wall time at which it expires). Raises Unavailable.

        Valkey has only a hash of it: tickets cannot be read from the server.
        """
        for _ in range(TICKETS_TRIED):
            ticket = secrets.token_urlsafe(_TICKET_BYTES)
            expires_at = self._clock.wall() + timedelta(seconds=TICKET_TTL_S)
            key = _ticket_key(ticket)
            with suppress(Unavailable):
                await self._functions.run_one(Call(key, ("SET", key, _encode(identity), "EX", TICKET_TTL_S)))
                return ticket, expires_at
        raise Unavailable("valkey")

    async def redeem_ticket(self, ticket: str) -> Identity | None:
        """Returns whose ticket it is, once and within TICKET_TTL_S, or else None. Raises Unavailable."""
        key = _ticket_key(ticket)
        found = await self._functions.run_one(Call(key, ("GETDEL", key)))
        try:
            return None if found is None else _identity.decode(found)
        except msgspec.ValidationError:
            return None  # An API of another release issued it.

    async def check(self) -> None:
        """Writes to the server, or to each primary: it may answer and refuse writes. Raises Unavailable."""
        await self._functions.run_all(
            Call(key, ("SET", key, 1, "EX", HEARTBEAT_TTL_S)) for key in self._servers.keys_on_each(CHECK_KEY)
        )

    async def carry_traces(self, carried: Sequence[Carried]) -> None:
        """Keeps the traces of credits until they are due. Raises Unavailable, once it has kept the others."""
        now = self._clock.now()
        await self._functions.run_all(call for each in carried for call in keeping(each, now))

    async def take_traces(self, members: Sequence[MemberKey]) -> dict[MemberKey, list[str]]:
        """Takes the traces of the credits of these members that are due by now. Those on a server that is
        away are lost.
        """
        now = self._clock.now()
        taken: dict[MemberKey, list[str]] = {}
        wanted = list(dict.fromkeys(members))
        for first in range(0, len(wanted), READS_AT_ONCE):
            part = wanted[first : first + READS_AT_ONCE]
            answers = await self._functions.run([reading(member, now) for member in part])
            if all(isinstance(found, Unavailable) for found in answers):
                break  # No server answers. Each part would wait for that.
            for member, found in zip(part, answers, strict=True):
                if found and not isinstance(found, Unavailable):
                    taken[member] = [trace.decode() for trace in found]
        await self._functions.run([removal(member, now) for member in taken])
        return taken

    async def heartbeat(self, process: str, problems: Sequence[str] = (), *, release: str = "") -> None:
        """Marks this process, such as "feed", as alive for HEARTBEAT_TTL_S, with the names of its loops that
        do not do their work, and its release. Raises Unavailable.
        """
        key, me, now = _health_key(process), this_process(), self._clock.wall().timestamp()
        own = _problems_key(process), _releases_key(process)
        values: tuple[bytes | str, ...] = _encode(list(problems)), release
        await self._functions.run_all(
            [
                Call(key, ("ZADD", key, f"{now + HEARTBEAT_TTL_S}", me)),
                Call(key, ("ZREMRANGEBYSCORE", key, "-inf", f"{now}")),
                Call(key, ("EXPIRE", key, HEARTBEAT_TTL_S)),
                *(Call(name, ("HSET", name, me, value)) for name, value in zip(own, values, strict=True)),
                *(Call(name, ("EXPIRE", name, HEARTBEAT_TTL_S)) for name in own),
            ]
        )

    async def note_done(self, work: str) -> None:
        """Notes that periodic work was done just now, by any process. Raises Unavailable."""
        key = _done_key(work)
        await self._functions.run_one(Call(key, ("SET", key, 1, "EX", DONE_TTL_S)))

    async def not_done(self, works: Sequence[str]) -> list[str]:
        """Those of these that no process has done within DONE_TTL_S. Raises Unavailable."""
        keys = [_done_key(work) for work in works]
        found = await self._functions.run_all(Call(key, ("GET", key)) for key in keys)
        return [work for work, done in zip(works, found, strict=True) if done is None]

    async def close(self) -> None:
        await self._servers.aclose()

    async def end_heartbeat(self, process: str) -> None:
        """Removes this process's heartbeat. Raises Unavailable."""
        key = _health_key(process)
        await self._functions.run_one(Call(key, ("ZREM", key, this_process())))

    async def read_heartbeats(self, process: str) -> list[Heartbeat]:
        """The live processes of this name. Raises Unavailable."""
        key, now = _health_key(process), self._clock.wall().timestamp()
        own = _problems_key(process), _releases_key(process)
        alive, problems, releases = await self._functions.run_all(
            [
                Call(key, ("ZRANGEBYSCORE", key, f"{now}", "+inf")),
                *(Call(name, ("HGETALL", name)) for name in own),
            ]
        )
        return [
            Heartbeat(
                id_.decode(),
                _names.decode(problems.get(id_, _NO_NAMES)),
                releases.get(id_, b"").decode(),
            )
            for id_ in alive
        ]


def _publication(messages: Sequence[Message]) -> Call:
    arguments: list[str | bytes] = []
    for message in messages:
        arguments += message
    return Call(messages[0][0], ("FCALL", "engage_publish", 0, *arguments))


def _ticket_key(ticket: str) -> str:
    return f"engage:ticket:{sha256(ticket.encode()).hexdigest()}"


def this_process() -> str:
    """Name this process among those of all hosts, as host:pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _problems_key(process: str) -> str:
    return f"engage:health:{process}:problems"


def _releases_key(process: str) -> str:
    return f"engage:health:{process}:releases"


def _done_key(work: str) -> str:
    return f"engage:done:{work}"


def _health_key(process: str) -> str:
    # A sorted set, scored by the end of each heartbeat. Counting it does not depend on the other keys of the
    # server, as a SCAN would.
    return f"engage:health:{process}"
