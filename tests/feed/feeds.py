"""A running feed over a real Valkey, with balances that the test sets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Set
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from engage.clock import MachineClock, machine_time
from engage.domain.accounts.balance import Balance
from engage.domain.identity import Identity
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.feed.server import Admit, Feed, Limits, admit_all, open_feed
from engage.feed.session import Member, Phase, Timeouts
from engage.signals.changes import change_of
from engage.signals.topics import Topics
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S
from tests.support.topics import topics_of

PROGRAM = "eu-mi-points"
# A client that does what it should is quicker, also on a busy machine.
SHORT_TIMEOUTS = Timeouts(auth_s=2.0, read_s=5.0, drain_s=3.0, close_s=0.3, renew_s=0.3)

NOBODY = ("", "")  # The health check reads this member.


TOKEN_S = 600
KEY = "thumbprint"


def identity(member_id: str, *, ends_in_s: float = TOKEN_S, key: str = KEY) -> Identity:
    """Make what a token of a member says."""
    return Identity(PROGRAM, member_id, int(machine_time().timestamp() + ends_in_s), key)


class Tokens:
    """Stand for the verifier. A token is `token of <member>`; its keys are those that are not withdrawn, and
    are looked for while `found` is not set.
    """

    def __init__(self) -> None:
        self.ends_in_s: float = TOKEN_S
        self.gone: set[str] = set()
        self.found = asyncio.Event()
        self.found.set()

    async def identify(self, token: str) -> Identity:
        await self.found.wait()
        words = token.split()
        if words[:2] != ["token", "of"]:
            raise Refusal(Code.UNAUTHORIZED)
        return identity(words[2], ends_in_s=self.ends_in_s)

    async def withdrawn(self, in_use: Set[str]) -> Set[str]:
        return in_use & self.gone


class Balances:
    """Stand for the database: its balances, and the reads of the feed. While `away` it refuses all reads."""

    def __init__(self) -> None:
        self.balances: dict[Member, Balance] = {}
        self.reads: list[list[Member]] = []
        self.refused = 0
        self.away = False
        self.error: Exception | None = None  # Raised by the next read.

    def change(self, member_id: str, seq: int) -> Balance:
        """Derive the balance from the seq, so that a message with the wrong balance is noticed."""
        balance = Balance(active=seq * 10, pending=seq % 3, held=seq % 5, debt=0, seq=seq)
        self.balances[PROGRAM, member_id] = balance
        return balance

    async def read(self, members: list[Member]) -> Mapping[Member, Balance]:
        if self.error is not None and members != [NOBODY]:
            error, self.error = self.error, None
            raise error
        if self.away:
            self.refused += members != [NOBODY]
            raise Unavailable("postgres")
        if members != [NOBODY]:
            self.reads.append(members)
        return {member: self.balances[member] for member in members if member in self.balances}


class RunningFeed(msgspec.Struct):
    """A feed with its balances and a publisher of changes."""

    feed: Feed
    balances: Balances
    topics: Topics
    tokens: Tokens

    async def change(self, member_id: str, seqs: Iterable[int], cause: str = "tap") -> None:
        changes = [change_of(PROGRAM, member_id, self.balances.change(member_id, seq), cause) for seq in seqs]
        await self.topics.publish(changes)

    async def get(self, path: str) -> tuple[int, Any]:
        """Send a plain HTTP request; return (status, decoded body)."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.feed.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: feed\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        assert "application/json" in head
        return int(head.split()[1]), json.loads(body)

    async def ready(self) -> None:
        """Wait until the feed is subscribed to the topics and can read balances."""
        async with asyncio.timeout(WITHIN_S):
            while (await self.get("/health/ready"))[0] != 200:
                await asyncio.sleep(LOOK_AGAIN_S)

    def closing(self) -> int:
        """Count the open connections to which a close frame was sent."""
        return sum(socket.session.phase is Phase.CLOSED for socket in self.feed._hub._sockets)

    @asynccontextmanager
    async def client(self, member_id: str | None = None, **options: Any) -> AsyncIterator["Client"]:
        """Connect with the member's token, or without credentials."""
        headers = {} if member_id is None else {"Authorization": f"Bearer token of {member_id}"}
        options = {"additional_headers": headers, "compression": None, "close_timeout": 0.1} | options
        async with connect(f"ws://127.0.0.1:{self.feed.port}/", **options) as connection:
            yield Client(connection)


class Client(msgspec.Struct):
    connection: ClientConnection

    async def receive(self) -> dict[str, Any]:
        """Return the next message. Its balance must be the one of its seq."""
        async with asyncio.timeout(WITHIN_S):
            message = message_of(await self.connection.recv())
        seq = message["seq"]
        assert message["balance"] == {"active": seq * 10, "pending": seq % 3, "held": seq % 5, "debt": 0}
        return message

    async def expect(self, kind: str, seq: int, cause: str | None = None) -> None:
        message = await self.receive()
        assert (message["type"], message["seq"], message.get("cause")) == (kind, seq, cause)

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def read_to_the_end(self) -> tuple[int | None, str]:
        """Read all messages; return (code, reason) of the close frame."""
        while True:
            try:
                await self.receive()
            except ConnectionClosed as end:
                return (None, "") if end.rcvd is None else (end.rcvd.code, end.rcvd.reason)

    async def closed(self) -> tuple[int | None, str]:
        """Return (code, reason) of the close frame, which must come before any message."""
        try:
            async with asyncio.timeout(WITHIN_S):
                message = await self.connection.recv()
        except ConnectionClosed as end:
            return (None, "") if end.rcvd is None else (end.rcvd.code, end.rcvd.reason)
        raise AssertionError(f"not closed: {message!r}")


def message_of(text: str | bytes) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(text)
    return message


@asynccontextmanager
async def running_feed(
    valkey: Redis, balances: Balances | None = None, admit: Admit = admit_all, **limits: Any
) -> AsyncIterator[RunningFeed]:
    balances = Balances() if balances is None else balances
    tokens = Tokens()
    async with (
        topics_of(valkey) as topics,
        open_feed(
            host="127.0.0.1",
            port=0,
            topics=topics,
            credentials=tokens,
            read_balances=balances.read,
            clock=MachineClock(),
            limits=Limits(**limits),
            admit=admit,
        ) as feed,
    ):
        yield RunningFeed(feed, balances, topics, tokens)


def narrow_socket(port: int) -> socket.socket:
    """Connect to the feed with a receive buffer of a few messages."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    narrow.connect(("127.0.0.1", port))
    narrow.setblocking(False)
    return narrow
