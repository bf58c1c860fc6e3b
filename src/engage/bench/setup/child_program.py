"""Programs of a benchmark that run as child processes and answer requests through a pipe.

Requests and responses are msgpack, each after its length in four bytes. A program answers one request after
the other. It exits when its pipe closes, so it does not outlive its parent.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import msgspec
import uvloop
from msgspec import Struct

from engage.bench.errors import BenchmarkFailed
from engage.settings import PREFIX

R = TypeVar("R", bound=Struct)

_LENGTH_BYTES = 4
STOP_S = 3.0
RESPONSE_S = 300.0
LOG_LINES = 8


class ChildProgramFailed(BenchmarkFailed):
    """A child program ended, or reported an error."""


class Failed(Struct, frozen=True):
    error: str


class ChildProgram:
    """The parent's side of a running program."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._log = log

    async def call(self, request: Struct, response: type[R], *, within_s: float = RESPONSE_S) -> R:
        """Send a request and wait for its response. Raises ChildProgramFailed, TimeoutError."""
        await self.send(request)
        return await self.receive(response, within_s=within_s)

    async def send(self, request: Struct) -> None:
        """Send a request whose response is received later."""
        assert self._process.stdin is not None
        raw = msgspec.msgpack.encode(request)
        self._process.stdin.write(len(raw).to_bytes(_LENGTH_BYTES) + raw)
        with suppress(ConnectionError):
            await self._process.stdin.drain()

    async def receive(self, response: type[R], *, within_s: float = RESPONSE_S) -> R:
        """Raises ChildProgramFailed, TimeoutError."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(within_s):
                raw = await _read(self._process.stdout)
        except asyncio.IncompleteReadError:
            raise ChildProgramFailed(f"{self.name} ended: {self._log_end()}") from None
        failed, body = msgspec.msgpack.decode(raw, type=tuple[bool, msgspec.Raw])
        if failed:
            raise ChildProgramFailed(f"{self.name}: {msgspec.msgpack.decode(body, type=Failed).error}")
        return msgspec.msgpack.decode(body, type=response)

    def _log_end(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()[-LOG_LINES:]
        return "\n".join(lines) or "its log is empty"

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), STOP_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()


@asynccontextmanager
async def child_program(
    module: ModuleType, logs: Path, *, name: str | None = None
) -> AsyncIterator[ChildProgram]:
    """Run `python -m <module>`, which calls `answer_requests`, while the context is open."""
    name = name or module.__name__.rpartition(".")[2]
    log = logs / f"{name}.log"
    environment = {key: value for key, value in os.environ.items() if not key.startswith((PREFIX, "PG"))}
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", module.__name__),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            env=environment,
            start_new_session=True,  # Ctrl-C at the terminal reaches only the parent.
        )
    program = ChildProgram(name, process, log)
    try:
        yield program
    finally:
        await program.stop()


def answer_requests(requests: Any, handle: Callable[[Any], Awaitable[Struct]]) -> None:
    """Run as a child program: answer requests of the union `requests` until the pipe closes."""
    # Standard output goes to the log, so that prints are not taken for responses.
    responses = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    uvloop.run(_answer_requests(msgspec.msgpack.Decoder(requests), handle, responses.write))


async def _answer_requests(
    decoder: msgspec.msgpack.Decoder[Any],
    handle: Callable[[Any], Awaitable[Struct]],
    write: Callable[[bytes], Any],
) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: _Requests(reader), os.fdopen(0, "rb", buffering=0)
    )
    while True:
        request = decoder.decode(await _read(reader))
        try:
            response: tuple[bool, Struct] = (False, await handle(request))
        except Exception as error:  # noqa: BLE001 — The parent reports every error.
            response = (True, Failed(f"{type(error).__name__}: {error}"))
        raw = msgspec.msgpack.encode(response)
        write(len(raw).to_bytes(_LENGTH_BYTES) + raw)


class _Requests(asyncio.StreamReaderProtocol):
    def eof_received(self) -> bool:
        """Exit at once: the parent does not read the response to a request in progress."""
        os._exit(0)


async def _read(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(_LENGTH_BYTES)))
