"""The connected sockets by member. Pushing a change needs no task and no await.

The hub passes events to the sessions of its sockets and performs the actions that they return.
"""

from collections.abc import Callable, Iterable, Sequence
from math import ceil, floor
from sys import intern
from typing import Final, Protocol

from engage import tracing
from engage.domain.accounts.balance import Balance
from engage.domain.identity import Identity
from engage.feed.messages import RESYNCED
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
from engage.signals.changes import CLOSED, Change

# A member's phones, tablets and browser tabs. One more closes the oldest.
SOCKETS_PER_MEMBER: Final = 10

# Sockets of a member that was merged or erased are closed after this time, when every process knows of it.
LEAVE_AFTER_S: Final = 3.0


class Socket(Protocol):
    """A connection. `member` is None until it is authenticated, and `key` is the one that signed its token.
    `ends_in` is the second in which it is closed because its token has ended.
    """

    session: Session
    member: Member | None
    key: str
    ends_in: int

    def send_text(self, message: bytes) -> None:
        """Write a text message unless the connection is closing. Never blocks."""

    def send_close(self, code: int, reason: str) -> None:
        """Write a close frame. Never blocks."""

    def abort(self) -> None:
        """End the connection without a close frame."""


class Hub:
    """`request_snapshot` is called with a socket that needs its balance; `snapshot_read` takes the answer.
    `left` is called with a member who has no socket any more.
    """

    def __init__(
        self, request_snapshot: Callable[[Socket], None], now: float, *, left: Callable[[Member], None]
    ) -> None:
        self._request_snapshot = request_snapshot
        self._left = left
        self._sockets: set[Socket] = set()
        self._by_member: dict[Member, list[Socket]] = {}
        self._timed: set[Socket] = set()  # Sockets whose session may have a deadline.
        self._leaving: dict[Socket, float | None] = {}  # Sockets of a closed account, and when to close them.
        self._ending: dict[int, set[Socket]] = {}  # By `ends_in`.
        self._ended_until = floor(now)  # The last second whose sockets are closed.
        # Of all sockets since the beginning. `held_back` are changes that a socket was not sent at once.
        self.opened_count = self.pushed = self.held_back = 0
        self.closed: dict[tuple[int, str], int] = {}  # By code and reason.

    def __len__(self) -> int:
        """Return the number of sockets, with and without a member."""
        return len(self._sockets)

    @property
    def member_count(self) -> int:
        return len(self._by_member)

    def count(self, member: Member) -> int:
        """Return the number of a member's sockets."""
        return len(self._by_member.get(member, ()))

    def opened(self, socket: Socket) -> None:
        self._sockets.add(socket)
        self.opened_count += 1
        self.watch(socket)

    def authenticated(self, socket: Socket, identity: Identity, until: float, now: float) -> None:
        """Subscribe the socket to the member's changes. A balance that is read afterwards misses none.

        It is closed at `until`, unless it has other credentials by then.
        """
        # Each token has a text of its own for the program and the key that all of them name.
        member = (intern(identity.program_id), identity.member_id)
        if socket.member is not None:
            self._renewed(socket, member, identity.key, until, now)
            return
        actions = socket.session.authenticated(now)
        if not actions:
            return  # It was closed while its ticket was looked up.
        socket.member = member
        self._end_at(socket, identity.key, until)
        sockets = self._by_member.setdefault(member, [])
        if len(sockets) >= SOCKETS_PER_MEMBER:
            self.perform(sockets[0], sockets[0].session.displaced(now))
            self._forget(sockets[0])
        sockets.append(socket)
        self.perform(socket, actions)

    def _renewed(self, socket: Socket, member: Member, key: str, until: float, now: float) -> None:
        """Keep the socket open for longer. Credentials of another member end it."""
        if socket.member != member:
            self.perform(socket, socket.session.refused(now))
        else:
            self._end_at(socket, key, until)

    def _end_at(self, socket: Socket, key: str, until: float) -> None:
        self._forget_end(socket)
        socket.key, socket.ends_in = intern(key), ceil(until)
        self._ending.setdefault(socket.ends_in, set()).add(socket)

    def _forget_end(self, socket: Socket) -> None:
        ending = self._ending.get(socket.ends_in)
        if ending is not None:
            ending.discard(socket)
            if not ending:
                del self._ending[socket.ends_in]

    def keys(self) -> set[str]:
        """The keys that signed the tokens of the sockets."""
        return {socket.key for socket in self._sockets if socket.member is not None}

    def key_withdrawn(self, key: str, now: float) -> None:
        """Close the sockets whose tokens a key has signed."""
        for socket in self._sockets:
            if socket.key == key:
                self.perform(socket, socket.session.credentials_ended("key withdrawn", now))

    def ended(self, socket: Socket) -> None:
        """Remove a socket whose connection has ended."""
        socket.session.ended()
        self._forget(socket)
        self._forget_end(socket)
        self._sockets.discard(socket)
        self._timed.discard(socket)
        self._leaving.pop(socket, None)

    def restart(self, now: float) -> None:
        """Close every connection with the code for a restart."""
        for socket in self._sockets:
            self.perform(socket, socket.session.restarting(now))

    def forget(self, now: float) -> None:
        """Send everybody a snapshot: another database is the primary."""
        for socket in tuple(self._sockets):
            self.perform(socket, socket.session.forget(now))

    def abort(self) -> None:
        """End every connection at once."""
        for socket in self._sockets:
            socket.abort()

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
                if change.trace:
                    tracing.instant("push", parent=change.trace, count=len(sockets))

    def snapshot_read(self, socket: Socket, balance: Balance | None, now: float) -> None:
        self.perform(socket, socket.session.snapshot_read(balance, now))

    def read_failed(self, socket: Socket, now: float) -> None:
        """Close a socket whose balance cannot be read."""
        self.perform(socket, socket.session.unavailable(now))

    def resync(self, member: Member, balance: Balance) -> None:
        """Push a balance that was read again, because changes may have been missed."""
        sockets = self._by_member.get(member)
        if sockets is not None:
            self._push(sockets, push_of(balance, RESYNCED))

    def _push(self, sockets: list[Socket], push: Push) -> None:
        pushed = 0
        for socket in sockets:
            message = socket.session.changed(push)
            if message is not None:
                socket.send_text(message)
                pushed += 1
        self.pushed += pushed
        self.held_back += len(sockets) - pushed

    def perform(self, socket: Socket, actions: Actions) -> None:
        """Perform the actions of a session. A ticket is redeemed elsewhere, because that has to wait."""
        for action in actions:
            match action:
                case Send(message):
                    socket.send_text(message)
                case Close(code, reason):
                    socket.send_close(code, reason)
                    self.closed[code, reason] = self.closed.get((code, reason), 0) + 1
                case ReadSnapshot():
                    self._request_snapshot(socket)
                case Abort():
                    socket.abort()
                case other:
                    raise AssertionError(f"no action of the hub: {other}")
        if socket.session.deadline is not None:
            self._timed.add(socket)

    def watch(self, socket: Socket) -> None:
        """Note the deadline that a session may have set."""
        self.perform(socket, ())

    def tick(self, now: float) -> None:
        """Expire sessions whose deadline has passed. To be called a few times a second."""
        for socket in tuple(self._timed):
            deadline = socket.session.deadline
            if deadline is None:
                self._timed.discard(socket)
            elif deadline <= now:
                self.perform(socket, socket.session.expired(now))
        self._end_sockets(now)
        for socket, at in tuple(self._leaving.items()):
            if at is None:
                self._leaving[socket] = now + LEAVE_AFTER_S
            elif at <= now:
                del self._leaving[socket]
                self.perform(socket, socket.session.restarting(now))

    def _end_sockets(self, now: float) -> None:
        """Close the sockets whose tokens have ended. Looks at the passed seconds, not at each socket."""
        for second in range(self._ended_until + 1, floor(now) + 1):
            for socket in tuple(self._ending.pop(second, ())):
                self.perform(socket, socket.session.credentials_ended("token expired", now))
        self._ended_until = max(self._ended_until, floor(now))

    def _forget(self, socket: Socket) -> None:
        """Unsubscribe the socket."""
        if socket.member is None:
            return
        sockets = self._by_member.get(socket.member, [])
        if socket in sockets:
            sockets.remove(socket)
        if not sockets and self._by_member.pop(socket.member, None) is not None:
            self._left(socket.member)
        socket.member = None


def members_of(sockets: Iterable[Socket]) -> set[Member]:
    return {socket.member for socket in sockets if socket.member is not None}
