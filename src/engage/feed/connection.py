"""A websocket of the feed, with the session that decides what is sent on it."""

import asyncio
from collections.abc import Iterable
from sys import intern
from typing import Any, Final
from uuid import UUID

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from engage.feed.hub import Hub
from engage.feed.places import Places
from engage.feed.session import Member, Session, Timeouts

# The headers of text frames, by their length. Longer frames have a longer header.
_SHORT_HEADERS: Final = [bytes((0x80 | Opcode.TEXT, size)) for size in range(126)]

# The library's name of a connection, for logs that this process does not write.
_UNNAMED: Final = UUID(int=0)


class _Frames(list[Frame]):
    """Received frames, of which there are very few. A deque takes 0.6 KiB where it is empty."""

    __slots__ = ()

    def popleft(self) -> Frame:
        return self.pop(0)

    def extendleft(self, frames: Iterable[Frame]) -> None:
        self[:0] = list(frames)[::-1]


class Connection(ServerConnection):
    """A connection of the library, with a session after `open_session`."""

    __slots__ = ("_address", "_hub", "_places", "awaits_pong", "ends_in", "key", "member", "session", "turn")

    session: Session
    member: Member | None
    key: str
    ends_in: int
    turn: int

    def __init__(self, places: "Places[Connection]", *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._hub: Hub | None = None
        self._places = places
        self._address = ""
        self.awaits_pong = False
        self._keep_little()

    def _keep_little(self) -> None:
        """Drop what the library keeps for each connection, and this process does not use: some 1.2 KiB."""
        self.logger = self.protocol.logger = self.server.logger
        self.id = self.protocol.id = _UNNAMED
        self.drain_waiters = []  # type: ignore[assignment]  # It appends, removes and iterates.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.recv_messages.frames.queue = _Frames()  # type: ignore[assignment]  # All that it calls is there.
        self._address = intern((transport.get_extra_info("peername") or ("",))[0])
        closed = self._places.take(self, self._address)
        if closed is not None:
            closed.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._places.leave(self, self._address)
        super().connection_lost(exc)

    def keep_place(self) -> None:
        """Give way to nobody any more."""
        self._places.keep(self, self._address)

    def open_session(self, hub: Hub, timeouts: Timeouts) -> None:
        self._hub = hub
        self.member = None
        self.key, self.ends_in = "", 0
        self.session = Session(self.loop.time(), timeouts)
        hub.opened(self)

    def send_text(self, message: bytes) -> None:
        # Equal to the protocol's send_text, whose four calls would double the cost of a push. There are no
        # fragments and no extensions, so a frame can be written at any time.
        if self.protocol.state is State.OPEN:
            self.transport.write(_frame(message))

    def send_ping(self) -> None:
        if self.protocol.state is State.OPEN:
            self.awaits_pong = True
            self.protocol.send_ping(b"")
            self.send_data()

    def acknowledge_pings(self, data: bytes) -> None:
        """Take any pong as a sign of life."""
        self.awaits_pong = False

    def send_close(self, code: int, reason: str) -> None:
        if self.protocol.state is State.OPEN:
            self.protocol.send_close(code, reason)
            self.send_data()

    def abort(self) -> None:
        self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._hub is None:
            return
        self.session.stalled(self.loop.time())
        self._hub.watch(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._hub is None:
            return
        self._hub.perform(self, self.session.drained())


def _frame(message: bytes) -> bytes:
    """Encode an unmasked text frame."""
    if len(message) < len(_SHORT_HEADERS):
        return _SHORT_HEADERS[len(message)] + message
    return Frame(Opcode.TEXT, message).serialize(mask=False)
