"""A child program that sends one prepared HTTP request for each member."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from msgspec import Struct

from engage import sandbox_secrets
from engage.bench.clients.load import Connection, Load, LoadResult
from engage.bench.setup.child_program import answer_requests
from engage.bench.setup.constants import HOST, member_id, spread_number
from engage.tokens.signing import sign

TOKEN_LIFE = timedelta(minutes=15)
PACE_S = 0.002


class SignTokens(Struct, frozen=True, tag=True):
    """Sign tokens of members `<prefix>0` to `<prefix><count - 1>` with the key in the file `secrets`.

    With a `population` they are those of visits, which are of members all over it.
    """

    secrets: str
    program_id: str
    prefix: str
    count: int
    population: int | None = None


class SendAll(Struct, frozen=True, tag=True):
    """Send a request for each member from `first` on. A connection sends the next after its response.

    `keep_tags`: keep the ETag of each member's response. `known_tags`: send these in `If-None-Match`.
    """

    port: int
    method: str
    path: str
    prefix: str
    first: int
    count: int
    connections: int
    limit_s: float = 120.0
    keep_tags: bool = False
    known_tags: bool = False


class SendAtRate(Struct, frozen=True, tag=True):
    """Send a request for each member from `first` on, `rate` a second, however long responses take."""

    port: int
    method: str
    path: str
    prefix: str
    count: int
    connections: int
    rate: int
    first: int = 0
    limit_s: float = 300.0


class TokensSigned(Struct, frozen=True):
    count: int


class HttpClient:
    """Keeps the signed tokens by prefix, and the ETags by member."""

    def __init__(self) -> None:
        self._tokens: dict[str, list[str]] = {}
        self._tags: dict[str, bytes] = {}

    async def handle(self, request: SignTokens | SendAll | SendAtRate) -> Struct:
        match request:
            case SignTokens():
                secrets = sandbox_secrets.read(Path(request.secrets))
                self._tokens[request.prefix] = [
                    sign(secrets, request.program_id, _member_of(request, n), TOKEN_LIFE)
                    for n in range(request.count)
                ]
                return TokensSigned(request.count)
            case SendAll():
                http_requests = self._http_requests(request)
                if request.known_tags:
                    http_requests = self._with_tags(request, http_requests)
                return await send_all(request, http_requests, self._tags if request.keep_tags else None)
            case SendAtRate():
                return await send_at_rate(request, self._http_requests(request))

    def tokens(self, prefix: str, first: int, count: int) -> list[str]:
        """The tokens of these members, which were signed before."""
        tokens = self._tokens[prefix][first : first + count]
        assert len(tokens) == count
        return tokens

    def _http_requests(self, request: SendAll | SendAtRate) -> list[bytes]:
        tokens = self.tokens(request.prefix, request.first, request.count)
        length = "" if request.method == "GET" else "content-length: 0\r\n"
        head = f"{request.method} {request.path} HTTP/1.1\r\nhost: {HOST}\r\n{length}authorization: Bearer "
        return [f"{head}{token}\r\n\r\n".encode() for token in tokens]

    def _with_tags(self, request: SendAll, http_requests: Sequence[bytes]) -> list[bytes]:
        tags = [self._tags[member_id(request.prefix, request.first + n)] for n in range(request.count)]
        return [
            b"%bif-none-match: %b\r\n\r\n" % (sent.removesuffix(b"\r\n"), tag)
            for sent, tag in zip(http_requests, tags, strict=True)
        ]


def _member_of(request: SignTokens, number: int) -> str:
    if request.population is not None:
        number = spread_number(number, request.population)
    return member_id(request.prefix, number)


async def send_all(
    request: SendAll, http_requests: Sequence[bytes], tags: dict[str, bytes] | None = None
) -> LoadResult:
    """Put the ETags of the responses into `tags`, by member. Raises RuntimeError if a connection breaks,
    TimeoutError after the limit.
    """
    remaining = iter(enumerate(http_requests, request.first))
    asked: dict[Connection, int] = {}

    def send_next(connection: Connection) -> None:
        number, message = next(remaining, (0, None))
        if message is not None:
            asked[connection] = number
            connection.send(message)

    def keep_tag(connection: Connection) -> None:
        assert tags is not None
        tags[member_id(request.prefix, asked[connection])] = _tag_of(connection.response)
        send_next(connection)

    async def start(connections: Sequence[Connection]) -> None:
        for connection in connections:
            send_next(connection)

    load = Load(len(http_requests), send_next if tags is None else keep_tag)
    connections = min(request.connections, len(http_requests))
    return await load.run(request.port, connections, start, limit_s=request.limit_s)


async def send_at_rate(request: SendAtRate, http_requests: Sequence[bytes]) -> LoadResult:
    """Raises as `send_all`. A request that finds no free connection waits, and its latency includes that."""
    # A queue, so that no connection is idle for so long that the server closes it.
    free: deque[Connection] = deque()
    waiting: deque[tuple[bytes, float]] = deque()

    def on_response(connection: Connection) -> None:
        if waiting:
            connection.send(*waiting.popleft())
        else:
            free.append(connection)

    async def start(connections: Sequence[Connection]) -> None:
        free.extend(connections)
        started = time.perf_counter()
        sent = 0
        while sent < len(http_requests) and not load.has_ended:
            due_count = min(int((time.perf_counter() - started) * request.rate) + 1, len(http_requests))
            for number in range(sent, due_count):
                due = started + number / request.rate
                if free:
                    free.popleft().send(http_requests[number], due)
                else:
                    waiting.append((http_requests[number], due))
            sent = due_count
            await asyncio.sleep(PACE_S)

    load = Load(len(http_requests), on_response)
    return await load.run(request.port, request.connections, start, limit_s=request.limit_s)


def _tag_of(response: bytes) -> bytes:
    head = response[: response.index(b"\r\n\r\n")]
    _, _, after = head.partition(b"\r\netag: ")
    assert after, f"a response without an ETag: {head!r}"
    return after.partition(b"\r\n")[0]


if __name__ == "__main__":
    answer_requests(SignTokens | SendAll | SendAtRate, HttpClient().handle)
