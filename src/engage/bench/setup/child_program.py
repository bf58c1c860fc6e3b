"""A hand: a program of the benchmark's own in a process of its own, told what to do through a pipe.

Orders and answers are msgpack behind their length in four bytes, one answer to each order, in turn. The
hand ends when its pipe does, so it does not outlive us, however we end.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import uvloop
from msgspec import Struct

from engage.bench.errors import BenchmarkFailed
from engage.settings import PREFIX

A = TypeVar("A", bound=Struct)

_LENGTH = 4
STOP_S = 3.0
ANSWER_S = 300.0


class HandFailed(BenchmarkFailed):
    """A hand ended, or said what went wrong with an order."""


class Failed(Struct, frozen=True):
    error: str


class Hand:
    """The side that orders."""

    def __init__(self, name: str, child: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.pid = child.pid
        self._child = child
        self._log = log

    async def ask(self, order: Struct, answer: type[A], *, within_s: float = ANSWER_S) -> A:
        """Raises HandFailed; TimeoutError when there is no answer in time."""
        await self.tell(order)
        return await self.hear(answer, within_s=within_s)

    async def tell(self, order: Struct) -> None:
        """An order whose answer is heard later."""
        assert self._child.stdin is not None
        raw = msgspec.msgpack.encode(order)
        self._child.stdin.write(len(raw).to_bytes(_LENGTH) + raw)
        with suppress(ConnectionError):
            await self._child.stdin.drain()

    async def hear(self, answer: type[A], *, within_s: float = ANSWER_S) -> A:
        """Raises as `ask`."""
        assert self._child.stdout is not None
        try:
            async with asyncio.timeout(within_s):
                raw = await _read(self._child.stdout)
        except asyncio.IncompleteReadError:
            raise HandFailed(f"{self.name} ended: {self._last_words()}") from None
        failed, said = msgspec.msgpack.decode(raw, type=tuple[bool, msgspec.Raw])
        if failed:
            raise HandFailed(f"{self.name}: {msgspec.msgpack.decode(said, type=Failed).error}")
        return msgspec.msgpack.decode(said, type=answer)

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()[-8:]
        return "\n".join(lines) or "it said nothing"

    async def stop(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._child.wait(), STOP_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._child.wait()


@asynccontextmanager
async def hand(module: str, logs: Path, *, name: str | None = None) -> AsyncIterator[Hand]:
    """`python -m <module>`, which calls `obey`, for as long as the context is open."""
    name = name or module.rpartition(".")[2]
    log = logs / f"{name}.log"
    kept = {key: value for key, value in os.environ.items() if not key.startswith((PREFIX, "PG"))}
    with log.open("wb") as file:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            env=kept,
            start_new_session=True,  # A Ctrl-C at the terminal is for us alone.
        )
    hired = Hand(name, child, log)
    try:
        yield hired
    finally:
        await hired.stop()


def obey(orders: Any, act: Callable[[Any], Awaitable[Struct]]) -> None:
    """The hand's side: `act` on every order of the union `orders` until the pipe ends."""
    # What is printed by mistake must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    uvloop.run(_obey(msgspec.msgpack.Decoder(orders), act, answers.write))


async def _obey(
    decoder: msgspec.msgpack.Decoder[Any],
    act: Callable[[Any], Awaitable[Struct]],
    write: Callable[[bytes], Any],
) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: _Orders(reader), os.fdopen(0, "rb", buffering=0)
    )
    while True:
        order = decoder.decode(await _read(reader))
        try:
            said: tuple[bool, Struct] = (False, await act(order))
        except Exception as error:  # noqa: BLE001 — Whatever it is, who ordered it has to know.
            said = (True, Failed(f"{type(error).__name__}: {error}"))
        raw = msgspec.msgpack.encode(said)
        write(len(raw).to_bytes(_LENGTH) + raw)


class _Orders(asyncio.StreamReaderProtocol):
    def eof_received(self) -> bool:
        """Nobody wants an answer any more, also not to what is under way."""
        os._exit(0)


async def _read(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(_LENGTH)))
