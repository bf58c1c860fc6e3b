"""Requests and answers in order: the only evidence that the checks have of promises made."""

import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from msgspec import Struct

KEPT_HEADERS: Final = ("content-type", "retry-after", "idempotency-replayed", "etag")
KEPT_BODY: Final = 1_000


class Sent(Struct, frozen=True, kw_only=True, tag=True):
    """A request. `at` is monotonic, in seconds. `repeat_of`: the request that this repeats, word for word.

    `operation`: its id in the OpenAPI; empty in a request of torture itself, and in a connection to the feed,
    which are noted where they failed. `api`: the number of the API that it went to.
    """

    id: int
    at: float
    member: str
    method: str
    path: str
    body: Any = None
    idempotency_key: str | None = None
    repeat_of: int | None = None
    actor: str = ""
    operation: str = ""
    api: int = 0


class Answered(Struct, frozen=True, kw_only=True, tag=True):
    """The answer to a request, with the headers that matter. `body`: decoded where it is JSON."""

    sent_id: int
    at: float
    status: int
    headers: dict[str, str]
    body: Any

    @property
    def is_server_error(self) -> bool:
        """True for a 5xx, but for a 503 that says when to ask again."""
        is_outage = self.status == 503 and self.headers.get("retry-after", "").isdigit()
        return self.status >= 500 and not is_outage


class Lost(Struct, frozen=True, kw_only=True, tag=True):
    """A request without an answer: what became of it is unknown to the client."""

    sent_id: int
    at: float
    error: str


class Pushed(Struct, frozen=True, kw_only=True, tag=True):
    """A message of the feed. `socket` numbers the connections."""

    at: float
    member: str
    socket: int
    message: Any


class Opened(Struct, frozen=True, kw_only=True, tag=True):
    """A connection to the feed. `resumed`: the highest `seq` that the client said it had seen."""

    at: float
    member: str
    socket: int
    resumed: int | None = None


class Closed(Struct, frozen=True, kw_only=True, tag=True):
    """The end of a connection to the feed. `code` of the close frame, or None where none came."""

    at: float
    member: str
    socket: int
    code: int | None


Line = Sent | Answered | Lost | Pushed | Opened | Closed


class Record:
    """Append-only. Each line is written to a file of JSON lines too, where there is one."""

    def __init__(self, file: Path | None = None) -> None:
        self.lines: list[Line] = []
        self._ids = count(1)
        self._encoder = msgspec.json.Encoder()
        self._file = None if file is None else file.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def new_id(self) -> int:
        return next(self._ids)

    def now(self) -> float:
        return time.monotonic()

    def add(self, line: Line) -> None:
        self.lines.append(line)
        if self._file is not None:
            self._file.write(self._encoder.encode(line) + b"\n")

    def note_failure(
        self,
        asker: str,
        request: tuple[str, str],
        began: float,
        status: int,
        headers: Mapping[str, str],
        body: str,
    ) -> None:
        """Add a request (method, path) and its answer, if that is a server error."""
        answered = Answered(
            sent_id=self.new_id(),
            at=self.now(),
            status=status,
            headers={name: headers[name] for name in KEPT_HEADERS if name in headers},
            body=body[:KEPT_BODY],
        )
        if answered.is_server_error:
            method, path = request
            self.add(Sent(id=answered.sent_id, at=began, member=asker, method=method, path=path, actor=asker))
            self.add(answered)


def read_record(file: Path) -> Record:
    """The record that was written to a file, to judge it again."""
    record = Record()
    decoder = msgspec.json.Decoder(Line)
    for text in file.read_bytes().splitlines():
        record.add(decoder.decode(text))
    return record
