"""A part of the installation as a child: started, known to be ready, stopped with all that it started."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from engage.embedded import guard
from engage.embedded.errors import PartFailed

LOG_BYTES = 4 * 1024 * 1024  # A log this long is put aside (one older log is kept) when its part starts.
TAIL_BYTES = 2_000
TAIL_LINES = 8
TAIL_LINE = 300
POLL_S = 0.02

# Variables of these beginnings would tell a child of another installation, or of another server.
FOREIGN = ("ENGAGE_", "PG")


class Owner(msgspec.Struct, frozen=True):
    """A system user that a child runs as."""

    uid: int
    gid: int


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A program to run. `ready` says whether it serves; where it is absent, running is enough."""

    name: str
    command: list[str]
    log: Path
    directory: Path
    environment: Mapping[str, str] = {}
    owner: Owner | None = None
    ready: Callable[[], Awaitable[bool]] | None = None
    start_s: float = 30.0
    stop_signal: int = signal.SIGTERM
    stop_s: float = 10.0
    stop_order: int = 0  # Parts stop in this order, those of the same number together.


class Child:
    """A started part. It leads a session of its own: a Ctrl-C at the terminal is for its parent alone."""

    def __init__(self, part: Part, running: asyncio.subprocess.Process, log_from: int) -> None:
        self.part = part
        self.log_from = log_from
        self.pid = running.pid
        self._running = running
        self._is_gone = False

    @property
    def has_ended(self) -> bool:
        return self._running.returncode is not None

    async def ended(self) -> int:
        """Wait for its end. The exit code; negative is the signal that ended it."""
        return await self._running.wait()

    async def ready(self) -> None:
        """Raises PartFailed when it ends first, or takes longer than `start_s`."""
        probe = self.part.ready
        try:
            async with asyncio.timeout(self.part.start_s):
                while not self.has_ended:
                    if probe is None or await probe():
                        return
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise PartFailed(
                f"{self.part.name} is not ready after {self.part.start_s:.0f} s{tail(self)}"
            ) from None
        code = self._running.returncode
        raise PartFailed(f"{self.part.name} ended with {code} while starting{tail(self)}")

    async def stop(self) -> None:
        """Ask it to stop, give it `stop_s`, then kill it and whatever it left."""
        if not self.has_ended:
            self._signal_group(self.part.stop_signal)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._running.wait(), self.part.stop_s)
        self.kill()
        await self._running.wait()

    def kill(self) -> None:
        """The part, if it still runs, and whatever it has started."""
        self._signal_group(signal.SIGKILL)
        self._is_gone = self.has_ended

    def _signal_group(self, number: int) -> None:
        if self._is_gone:
            return  # Its number may be another's by now.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


async def start(part: Part) -> Child:
    """Raises PartFailed where the program cannot be run at all."""
    try:
        with _log_of(part) as log:
            log_from = log.tell()
            running = await asyncio.create_subprocess_exec(
                *_guarded(part),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=part.directory,
                env=_environment(part),
                start_new_session=True,
            )
    except OSError as error:
        raise PartFailed(f"{part.name} cannot be started: {error}") from error
    return Child(part, running, log_from)


def engage_command(*arguments: str) -> list[str]:
    """This program again, found without the current directory, where a folder may have a module's name."""
    return [sys.executable, "-P", "-m", "engage.cli", *arguments]


def tail(child: Child) -> str:
    """The end of what it wrote, as the rest of a message."""
    with suppress(OSError), child.part.log.open("rb") as log:
        log.seek(max(child.log_from, log.seek(0, os.SEEK_END) - TAIL_BYTES))
        lines = log.read().decode(errors="replace").strip().splitlines()[-TAIL_LINES:]
        if lines:
            return "\n".join([f"; {child.part.log} ends with:", *(line[:TAIL_LINE] for line in lines)])
    return f"; it wrote nothing to {child.part.log}"


def _log_of(part: Part) -> BinaryIO:
    with suppress(FileNotFoundError):
        if part.log.stat().st_size > LOG_BYTES:
            part.log.replace(part.log.with_name(f"{part.log.name}.1"))
    descriptor = os.open(part.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.fdopen(descriptor, "ab")


def _environment(part: Part) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return kept | dict(part.environment)


def _guarded(part: Part) -> list[str]:
    """The part, for as long as we live. Where we are killed, no stop of ours is needed to end it."""
    owner = part.owner or Owner(-1, -1)
    told = (os.getpid(), int(part.stop_signal), owner.uid, owner.gid)
    return [sys.executable, "-I", "-S", guard.__file__, *map(str, told), *part.command]
