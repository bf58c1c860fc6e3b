"""Requests of clients and their answers, in order: the checks' only evidence of what was promised."""

import time
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct


class Sent(Struct, frozen=True, kw_only=True, tag=True):
    """A request. `at` is monotonic, in seconds. `repeat_of`: the request that this one repeats."""

    id: int
    at: float
    member: str
    method: str
    path: str
    body: object = None
    idempotency_key: str | None = None
    repeat_of: int | None = None


class Answered(Struct, frozen=True, kw_only=True, tag=True):
    """The answer to a request, with the headers that matter."""

    sent_id: int
    at: float
    status: int
    headers: dict[str, str]
    body: object


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
    message: object


Line = Sent | Answered | Lost | Pushed


class Record:
    """Append-only. Each line is written to a file of JSON lines too."""

    def __init__(self, file: Path) -> None:
        self.lines: list[Line] = []
        self._ids = count(1)
        self._encoder = msgspec.json.Encoder()
        self._file = file.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def new_id(self) -> int:
        return next(self._ids)

    def now(self) -> float:
        return time.monotonic()

    def add(self, line: Line) -> None:
        self.lines.append(line)
        self._file.write(self._encoder.encode(line) + b"\n")
