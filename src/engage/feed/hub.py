"""Who is connected, and the pushing: a change costs no task and no await.

The hub has the sockets of this operating system process by member, gives events to their sessions, and does
what the sessions answer.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from engage.domain.accounts.balance import Balance
from engage.feed.messages import HEALED
from engage.feed.session import (
    Abort,
    Actions,
    Close,
    Member,
    Push,
    ReadSnapshot,
    Send,
    Session,
    push_of,
)
from engage.signals.topics import CLOSED, Change

# A member's phones, tablets and browser tabs. The oldest connection makes room for one more.
SOCKETS_PER_MEMBER: Final = 10

# Whose member is gone is told to come back when every process has heard of it.
LEAVES_AFTER_S: Final = 3.0


class Socket(Protocol):
    """A connection as the hub needs it. `member` is None until its credentials are known."""

    session: Session
    member: Member | None

    def send_text(self, message: bytes) -> None:
        """Write one text message, or nothing when the connection is on its way out. Never blocks."""

    def send_close(self, code: int, reason: str) -> None:
        """Write a close frame. Never blocks."""

    def abort(self) -> None:
        """End the connection without a word."""


class Hub:
    """`ask` is called with a socket whose member's balance is wanted; answer by `snapshot_read`."""

    def __init__(self, ask: Callable[[Socket], None]) -> None:
        self._ask = ask
        self._sockets: set[Socket] = set()
        self._by_member: dict[Member, list[Socket]] = {}
        self._timed: set[Socket] = set()  # Those whose session has, or had, a deadline.
        self._leaving: dict[Socket, float | None] = {}  # Those whose member is gone, and when they go too.

    def __len__(self) -> int:
        """How many sockets there are, with and without a member."""
        return len(self._sockets)

    def members(self) -> list[Member]:
        return list(self._by_member)

    # Coming and going.

    def opened(self, socket: Socket) -> None:
        self._sockets.add(socket)
        self.watch(socket)

    def authenticated(self, socket: Socket, member: Member, now: float) -> None:
        """From here on the member's changes reach the socket, so a balance read later misses none."""
        actions = socket.session.authenticated(now)
        if not actions:
            return  # It was closed while its ticket was looked up.
        socket.member = member
        sockets = self._by_member.setdefault(member, [])
        if len(sockets) >= SOCKETS_PER_MEMBER:
            self.perform(sockets[0], sockets[0].session.crowded_out(now))
            self._forget(sockets[0])
        sockets.append(socket)
        self.perform(socket, actions)

    def gone(self, socket: Socket) -> None:
        """The connection has ended."""
        socket.session.ended()
        self._forget(socket)
        self._sockets.discard(socket)
        self._timed.discard(socket)
        self._leaving.pop(socket, None)

    def restart(self, now: float) -> None:
        """Tell every client to come back."""
        for socket in self._sockets:
            self.perform(socket, socket.session.restarting(now))

    def abort(self) -> None:
        """Part from every client at once."""
        for socket in self._sockets:
            socket.abort()

    # Balances.

    def deliver(self, changes: Sequence[Change]) -> None:
        """Push the changes of members who are connected here."""
        by_member = self._by_member
        for change in changes:
            sockets = by_member.get((change.program_id, change.member_id))
            if sockets is None:
                continue
            if change.cause == CLOSED:
                self._leaving.update(dict.fromkeys(sockets))
            else:
                self._push(sockets, push_of(change.balance, change.cause))

    def snapshot_read(self, socket: Socket, balance: Balance | None, now: float) -> None:
        self.perform(socket, socket.session.snapshot_read(balance, now))

    def heal(self, member: Member, balance: Balance) -> None:
        """The balance was read again, since changes may not have been heard."""
        sockets = self._by_member.get(member)
        if sockets is not None:
            self._push(sockets, push_of(balance, HEALED))

    def _push(self, sockets: list[Socket], push: Push) -> None:
        for socket in sockets:
            message = socket.session.changed(push)
            if message is not None:
                socket.send_text(message)

    # What sessions ask for, and when.

    def perform(self, socket: Socket, actions: Actions) -> None:
        """Do what a session has answered, except to redeem a ticket, which takes waiting."""
        for action in actions:
            match action:
                case Send(message):
                    socket.send_text(message)
                case Close(code, reason):
                    socket.send_close(code, reason)
                case ReadSnapshot():
                    self._ask(socket)
                case Abort():
                    socket.abort()
                case other:
                    raise AssertionError(f"not for the hub: {other}")
        if socket.session.deadline is not None:
            self._timed.add(socket)

    def watch(self, socket: Socket) -> None:
        """The socket's session may have set a deadline."""
        self.perform(socket, ())

    def tick(self, now: float) -> None:
        """Let pass what deadlines have passed. To be called a few times a second."""
        for socket in tuple(self._timed):
            deadline = socket.session.deadline
            if deadline is None:
                self._timed.discard(socket)
            elif deadline <= now:
                self.perform(socket, socket.session.expired(now))
        for socket, at in tuple(self._leaving.items()):
            if at is None:
                self._leaving[socket] = now + LEAVES_AFTER_S
            elif at <= now:
                del self._leaving[socket]
                self.perform(socket, socket.session.restarting(now))

    def _forget(self, socket: Socket) -> None:
        """Changes do not reach the socket any more."""
        if socket.member is None:
            return
        sockets = self._by_member.get(socket.member, [])
        if socket in sockets:
            sockets.remove(socket)
        if not sockets:
            self._by_member.pop(socket.member, None)
        socket.member = None


def members_of(sockets: Iterable[Socket]) -> set[Member]:
    return {socket.member for socket in sockets if socket.member is not None}
