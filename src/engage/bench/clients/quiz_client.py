"""A child program that takes quizzes as an app does: a connection begins an attempt, then answers it."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from engage.bench.clients.http_client import HttpClient, SendAll, SignTokens
from engage.bench.clients.load import Connection, Load, LoadResult
from engage.bench.setup.child_program import answer_requests
from engage.bench.setup.constants import HOST


class TakeQuizzes(Struct, frozen=True, tag=True):
    """Take a quiz as each member from `first` on, and answer everything right. `path` is that of attempts,
    `right` has the right options by question.
    """

    port: int
    path: str
    prefix: str
    first: int
    count: int
    connections: int
    right: dict[str, list[str]]
    limit_s: float = 120.0


class _Question(Struct):
    id: str


class _Attempt(Struct):
    attempt_id: str
    questions: list[_Question]


_attempt = msgspec.json.Decoder(_Attempt)
_encode = msgspec.json.Encoder().encode


class QuizClient(HttpClient):
    """Keeps the signed tokens by prefix."""

    async def take(self, request: SignTokens | SendAll | TakeQuizzes) -> Struct:
        if isinstance(request, TakeQuizzes):
            return await take_quizzes(request, self.tokens(request.prefix, request.first, request.count))
        return await self.handle(request)


async def take_quizzes(request: TakeQuizzes, tokens: Sequence[str]) -> LoadResult:
    """Raises RuntimeError if a connection breaks, TimeoutError after the limit."""
    remaining: Iterator[str] = iter(tokens)
    answering: dict[Connection, str] = {}  # The tokens of members who have begun.

    def on_response(connection: Connection) -> None:
        token = answering.pop(connection, None)
        if token is None:
            begin(connection)
            return
        head, _, body = connection.response.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 201"):
            load.fail(f"no attempt: {connection.response!r}")
            return
        attempt = _attempt.decode(body)
        answers = {question.id: request.right[question.id] for question in attempt.questions}
        connection.send(
            _post(f"{request.path}/{attempt.attempt_id}/answers", token, _encode({"answers": answers}))
        )

    def begin(connection: Connection) -> None:
        token = next(remaining, None)
        if token is not None:
            connection.send(_post(request.path, token))
            answering[connection] = token

    async def start(connections: Sequence[Connection]) -> None:
        for connection in connections:
            begin(connection)

    load = Load(2 * len(tokens), on_response)
    connections = min(request.connections, len(tokens))
    return await load.run(request.port, connections, start, limit_s=request.limit_s)


def _post(path: str, token: str, body: bytes = b"") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {token}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


if __name__ == "__main__":
    answer_requests(SignTokens | SendAll | TakeQuizzes, QuizClient().take)
