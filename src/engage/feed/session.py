"""One connection's side of the feed, without I/O: events in, actions out.

A session is told what happened (a message came, a balance was read or changed, the socket stalled or drained,
a deadline passed) and answers what to do about it. It keeps at most one unsent change, the newest: a slow
client skips states and never sees a wrong one.
"""

from enum import IntEnum
from typing import Final, TypeAlias

from msgspec import Struct

from engage.domain.accounts.balance import Balance
from engage.feed import messages
from engage.feed.messages import Auth, Incoming, Resume

UNAUTHORIZED: Final = 3000
POLICY: Final = 1008
RESTARTING: Final = 1012
TRY_LATER: Final = 1013

Member: TypeAlias = tuple[str, str]  # (program id, member id)


class Patience(Struct, frozen=True, kw_only=True):
    """How long a connection may take for what, in seconds."""

    auth_s: float = 5  # From opening to credentials.
    read_s: float = 15  # From credentials to a balance read.
    drain_s: float = 10  # From a full write buffer to a nearly empty one.
    close_s: float = 3  # From our close frame to the end of the connection.


# What the owner of the connection is asked to do.


class Send(Struct, frozen=True, gc=False):
    """One text message, encoded."""

    message: bytes


class Redeem(Struct, frozen=True):
    """Look whose ticket this is; tell by `authenticated`, `refused` or `unavailable`."""

    ticket: str


class ReadSnapshot(Struct, frozen=True):
    """Read the member's balance; tell by `snapshot_read`."""


class Close(Struct, frozen=True):
    """Send a close frame; nothing is sent after it."""

    code: int
    reason: str


class Abort(Struct, frozen=True):
    """End the connection at once: the client does not take part in its end."""


Action: TypeAlias = Send | Redeem | ReadSnapshot | Close | Abort
Actions: TypeAlias = tuple[Action, ...]

NOTHING: Final[Actions] = ()


class Push(Struct, frozen=True, gc=False):
    """A changed balance and its message, encoded once for all sockets of the member."""

    balance: Balance
    message: bytes


def push_of(balance: Balance, cause: str) -> Push:
    return Push(balance, messages.balance_changed(balance, cause))


class Phase(IntEnum):
    WAITING = 0  # For credentials.
    REDEEMING = 1  # A ticket.
    READING = 2  # The member's balance.
    LIVE = 3
    CLOSED = 4  # A close frame was sent, or the connection is gone.


_UNKNOWN: Final = Balance(seq=-1)


class Session:
    """`deadline` is when to call `expired`, or None. That and every `now` are monotonic times, in seconds."""

    __slots__ = (
        "_known",
        "_owed",
        "_patience",
        "_resume",
        "_resumed",
        "_stalled",
        "_unsent",
        "deadline",
        "phase",
    )

    def __init__(self, now: float, patience: Patience) -> None:
        self._patience = patience
        self.phase = Phase.WAITING
        self.deadline: float | None = now + patience.auth_s
        self._known = _UNKNOWN  # The newest balance heard of.
        self._unsent: Push | None = None  # Of that balance, when the client has not been told.
        self._owed: Balance | None = None  # The snapshot, while it is read and cannot be sent yet.
        self._resume: int | None = None  # The client's seq, while it has no answer.
        self._resumed = False
        self._stalled = False

    # Credentials.

    def authenticated(self, now: float) -> Actions:
        """The credentials are some member's, to whom this session now belongs."""
        if self.phase > Phase.REDEEMING:
            return NOTHING
        self.phase = Phase.READING
        self.deadline = now + self._patience.read_s
        return (ReadSnapshot(),)

    def refused(self, now: float) -> Actions:
        return self._close(UNAUTHORIZED, "bad credentials", now)

    def unavailable(self, now: float) -> Actions:
        """What is needed to know the member is away."""
        return self._close(TRY_LATER, "try again later", now)

    # Messages of the client.

    def received(self, message: Incoming | None, now: float) -> Actions:
        """None stands for whatever is no message of a client."""
        if self.phase == Phase.CLOSED:
            return NOTHING
        if self.phase < Phase.READING:
            if isinstance(message, Auth) and self.phase == Phase.WAITING:
                self.phase = Phase.REDEEMING
                return (Redeem(message.ticket),)
            return self._close(UNAUTHORIZED, "authenticate first", now)
        if not isinstance(message, Resume) or self._resumed:
            return self._close(POLICY, "unexpected message", now)
        self._resumed = True
        self._resume = message.seq
        self._owed = None
        return self._due()

    # The balance.

    def snapshot_read(self, balance: Balance | None, now: float) -> Actions:
        """The balance as the database has it; None when there is no such member."""
        if self.phase != Phase.READING:
            return NOTHING
        if balance is None:
            return self._close(UNAUTHORIZED, "unknown member", now)
        self.phase = Phase.LIVE
        self.deadline = now + self._patience.drain_s if self._stalled else None
        if balance.seq >= self._known.seq:
            self._known, self._unsent = balance, None
        if self._resume is None:
            self._owed = balance
        return self._due()

    def changed(self, push: Push) -> bytes | None:
        """The member's balance changed: the message to send now, if any.

        What is not newer than what is known is passed over. This is the one event that is too frequent for a
        tuple of actions.
        """
        if push.balance.seq <= self._known.seq:
            return None
        self._known = push.balance
        if self._stalled or self.phase is not Phase.LIVE:
            self._unsent = push
            return None
        return push.message

    # The socket.

    def stalled(self, now: float) -> None:
        """The write buffer is full: the client does not read as fast as we write."""
        self._stalled = True
        if self.phase == Phase.LIVE:
            self.deadline = now + self._patience.drain_s

    def drained(self) -> Actions:
        """The write buffer is nearly empty again."""
        self._stalled = False
        if self.phase == Phase.LIVE:
            self.deadline = None
        return self._due()

    # Ends.

    def expired(self, now: float) -> Actions:
        """The deadline has passed."""
        self.deadline = None
        match self.phase:
            case Phase.WAITING:
                return self._close(UNAUTHORIZED, "no credentials", now)
            case Phase.REDEEMING | Phase.READING:
                return self.unavailable(now)
            case Phase.LIVE:
                return self._close(TRY_LATER, "too slow", now)
            case Phase.CLOSED:
                return (Abort(),)

    def crowded_out(self, now: float) -> Actions:
        """The member has opened more connections than one may have; this is the oldest."""
        return self._close(POLICY, "too many connections", now)

    def restarting(self, now: float) -> Actions:
        return self._close(RESTARTING, "restarting", now)

    def ended(self) -> None:
        """The connection is gone, however it ended."""
        self.phase = Phase.CLOSED
        self.deadline = None

    def _close(self, code: int, reason: str, now: float) -> Actions:
        if self.phase == Phase.CLOSED:
            return NOTHING
        self.phase = Phase.CLOSED
        self.deadline = now + self._patience.close_s
        self._owed = self._unsent = None
        return (Close(code, reason),)

    def _due(self) -> Actions:
        """What the client has not been told and can be told now."""
        if self.phase != Phase.LIVE or self._stalled:
            return NOTHING
        if self._resume is not None:
            seq, self._resume, self._unsent = self._resume, None, None
            return (Send(_answer(seq, self._known)),)
        due: list[Action] = []
        if self._owed is not None:
            due.append(Send(messages.snapshot(self._owed)))
            self._owed = None
        if self._unsent is not None:
            due.append(Send(self._unsent.message))
            self._unsent = None
        return tuple(due)


def _answer(seq: int, known: Balance) -> bytes:
    """To a client that has seen `seq`, which is ahead of us only where a database was restored."""
    if seq > known.seq:
        return messages.snapshot(known)
    return messages.balance_changed(known, messages.RESUMED)
