"""The protocol of one connection, without I/O: events in, actions out.

Events are messages, balances that were read or changed, a full or drained write buffer, and deadlines. Each
returns the actions to perform. A session keeps at most one unsent change, the newest: a slow client skips
states and never sees a wrong one.
"""

from enum import IntEnum
from typing import Final, TypeAlias

from msgspec import Struct

from engage.domain.accounts.balance import Balance
from engage.feed import messages
from engage.feed.messages import Auth, Incoming, Ping, Resume

UNAUTHORIZED: Final = 3000
POLICY: Final = 1008
INTERNAL_ERROR: Final = 1011
RESTARTING: Final = 1012
TRY_LATER: Final = 1013

# A client may send so many messages at once, and one in MESSAGE_S after them.
MESSAGES: Final = 60
MESSAGE_S: Final = 0.5

Member: TypeAlias = tuple[str, str]  # (program id, member id)


class Timeouts(Struct, frozen=True, kw_only=True):
    """The time limits of a connection's phases, in seconds."""

    auth_s: float = 5  # From opening to credentials.
    read_s: float = 15  # From credentials to a balance read.
    drain_s: float = 10  # From a full write buffer to an almost empty one.
    close_s: float = 3  # From our close frame to the end of the connection.
    renew_s: float = 30  # From the end of the token to our close frame, unless new credentials come.


# Actions.


class Send(Struct, frozen=True, gc=False):
    """One text message, encoded."""

    message: bytes


class Redeem(Struct, frozen=True):
    """Redeem the ticket, and report `authenticated`, `refused` or `unavailable`."""

    ticket: str


class ReadSnapshot(Struct, frozen=True):
    """Read the member's balance, and report `snapshot_read`."""


class Close(Struct, frozen=True):
    """Send a close frame, and nothing after it."""

    code: int
    reason: str


class Abort(Struct, frozen=True):
    """End the connection at once: the client has not answered the close frame."""


Action: TypeAlias = Send | Redeem | ReadSnapshot | Close | Abort
Actions: TypeAlias = tuple[Action, ...]

NOTHING: Final[Actions] = ()


class Push(Struct, frozen=True, gc=False):
    """A changed balance, with its message encoded once for all sockets of the member."""

    balance: Balance
    message: bytes


def push_of(balance: Balance, cause: str) -> Push:
    return Push(balance, messages.balance_changed(balance, cause))


class Phase(IntEnum):
    """The phases of a connection, in order."""

    WAITING = 0  # For credentials.
    REDEEMING = 1  # A ticket.
    READING = 2  # The member's balance.
    LIVE = 3
    CLOSED = 4  # A close frame was sent, or the connection is gone.


_UNKNOWN: Final = Balance(seq=-1)


class Session:
    """`deadline`: when to call `expired`, or None. All times are monotonic, in seconds."""

    __slots__ = (
        "_known",
        "_messages_until",
        "_resume",
        "_resumed",
        "_snapshot",
        "_stalled",
        "_timeouts",
        "_unsent",
        "deadline",
        "phase",
    )

    def __init__(self, now: float, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self.phase = Phase.WAITING
        self.deadline: float | None = now + timeouts.auth_s
        self._known = _UNKNOWN  # The newest balance.
        self._unsent: Push | None = None  # Its message, while it cannot be sent.
        self._snapshot: Balance | None = None  # The snapshot, while it cannot be sent.
        self._resume: int | None = None  # The client's seq, until it is answered.
        self._resumed = False
        self._stalled = False
        self._messages_until = now  # The client's messages are paid for until then, each with MESSAGE_S.

    def authenticated(self, now: float) -> Actions:
        """The credentials are valid."""
        if self.phase > Phase.REDEEMING:
            return NOTHING
        self.phase = Phase.READING
        self.deadline = now + self._timeouts.read_s
        return (ReadSnapshot(),)

    def refused(self, now: float) -> Actions:
        return self._close(UNAUTHORIZED, "bad credentials", now)

    def unavailable(self, now: float) -> Actions:
        """A service that is needed to authenticate or to read the balance is unavailable."""
        return self._close(TRY_LATER, "try again later", now)

    def received(self, message: Incoming | None, now: float) -> Actions:
        """A message came; None for one that no client may send."""
        if self.phase == Phase.CLOSED:
            return NOTHING
        self._messages_until = max(self._messages_until, now) + MESSAGE_S
        if self._messages_until > now + MESSAGES * MESSAGE_S:
            return self._close(POLICY, "too many messages", now)
        if self.phase < Phase.READING:
            if isinstance(message, Auth) and self.phase == Phase.WAITING:
                self.phase = Phase.REDEEMING
                return (Redeem(message.ticket),)
            return self._close(UNAUTHORIZED, "authenticate first", now)
        if isinstance(message, Auth):
            return (Redeem(message.ticket),)  # New credentials, before the old ones end.
        if isinstance(message, Ping):
            return NOTHING if self._stalled else (Send(messages.PONG),)
        if not isinstance(message, Resume) or self._resumed:
            return self._close(POLICY, "unexpected message", now)
        self._resumed = True
        self._resume = message.seq
        self._snapshot = None
        return self._send_due()

    def snapshot_read(self, balance: Balance | None, now: float) -> Actions:
        """The balance was read; None for an unknown member."""
        if self.phase != Phase.READING:
            return NOTHING
        if balance is None:
            return self._close(UNAUTHORIZED, "unknown member", now)
        self.phase = Phase.LIVE
        self.deadline = now + self._timeouts.drain_s if self._stalled else None
        if balance.seq >= self._known.seq:
            self._known, self._unsent = balance, None
        if self._resume is None:
            self._snapshot = balance
        return self._send_due()

    def forget(self, now: float) -> Actions:
        """Another database is the primary, which may have lost what the client knows: send a snapshot."""
        if self.phase not in (Phase.READING, Phase.LIVE):
            return NOTHING
        self.phase = Phase.READING
        self.deadline = now + self._timeouts.read_s
        self._known, self._unsent, self._snapshot, self._resume = _UNKNOWN, None, None, None
        return (ReadSnapshot(),)

    def changed(self, push: Push) -> bytes | None:
        """The balance changed. Return the message to send now, if any; older changes are ignored.

        This event is too frequent to make a tuple of actions.
        """
        if push.balance.seq <= self._known.seq:
            return None
        self._known = push.balance
        if self._stalled or self.phase is not Phase.LIVE:
            self._unsent = push
            return None
        return push.message

    def stalled(self, now: float) -> None:
        """The write buffer is full: the client reads too slowly."""
        self._stalled = True
        if self.phase == Phase.LIVE:
            self.deadline = now + self._timeouts.drain_s

    def drained(self) -> Actions:
        """The write buffer is almost empty again."""
        self._stalled = False
        if self.phase == Phase.LIVE:
            self.deadline = None
        return self._send_due()

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

    def credentials_ended(self, reason: str, now: float) -> Actions:
        """The token has ended and no new credentials have come, or its key was withdrawn."""
        return self._close(UNAUTHORIZED, reason, now)

    def silent(self, now: float) -> Actions:
        """The client has not answered a ping."""
        return self._close(INTERNAL_ERROR, "keepalive ping timeout", now)

    def displaced(self, now: float) -> Actions:
        """The member has opened too many connections, and this is the oldest."""
        return self._close(POLICY, "too many connections", now)

    def restarting(self, now: float) -> Actions:
        return self._close(RESTARTING, "restarting", now)

    def ended(self) -> None:
        """The connection has ended."""
        self.phase = Phase.CLOSED
        self.deadline = None

    def _close(self, code: int, reason: str, now: float) -> Actions:
        if self.phase == Phase.CLOSED:
            return NOTHING
        self.phase = Phase.CLOSED
        self.deadline = now + self._timeouts.close_s
        self._snapshot = self._unsent = None
        return (Close(code, reason),)

    def _send_due(self) -> Actions:
        """Send what is unsent, if the client can take it."""
        if self.phase != Phase.LIVE or self._stalled:
            return NOTHING
        if self._resume is not None:
            seq, self._resume, self._unsent = self._resume, None, None
            return (Send(_answer(seq, self._known)),)
        due: list[Action] = []
        if self._snapshot is not None:
            due.append(Send(messages.snapshot(self._snapshot)))
            self._snapshot = None
        if self._unsent is not None:
            due.append(Send(self._unsent.message))
            self._unsent = None
        return tuple(due)


def _answer(seq: int, known: Balance) -> bytes:
    """Answer a resume. A client is ahead of the server only after a database has lost what it knew. Then the
    server may have counted as far in the meantime: where nothing else tells the two apart, send it all.
    """
    if seq >= known.seq:
        return messages.snapshot(known)
    return messages.balance_changed(known, messages.RESUMED)
