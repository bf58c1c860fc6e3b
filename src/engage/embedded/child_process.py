"""Child processes: start one, wait until it is ready, stop it together with its own children."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
import psutil

from engage.embedded import launcher
from engage.embedded.errors import ProcessFailed
from engage.embedded.stacks import STACKS_SIGNAL

LOG_BYTES = 4 * 1024 * 1024  # A longer log is renamed to `<name>.1` when its process starts.
TAIL_BYTES = 2_000
TAIL_LINES = 8
TAIL_LINE = 300
POLL_S = 0.02
SAY_EVERY_S = 10.0
LOOK_EVERY_S = 2.0

# A process touches its file every second. An older file means that its event loop does not turn.
LIVENESS_VARIABLE = "ENGAGE_LIVENESS_FILE"
LIVENESS_S = 6.0

STACKS_S = 0.2  # To write them.

# Variables with these prefixes could point a child to another installation or server.
REMOVED_PREFIXES = ("ENGAGE_", "PG")


class SystemUser(msgspec.Struct, frozen=True):
    """The system user that a child runs as."""

    uid: int
    gid: int


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A program to run.

    It is ready when `ready` finds that it serves, it listens on `port`, and it has touched the file that the
    variable LIVENESS_VARIABLE names, in the folder `liveness`; each may be None. Later it answers while
    `alive` finds that it does, and the file is touched every second. A process that has not answered for
    `silent_s` has to be restarted. `end_left` ends those of its processes that outlive it.
    """

    name: str
    command: list[str]
    log: Path
    directory: Path
    environment: Mapping[str, str] = {}
    user: SystemUser | None = None
    ready: Callable[[], Awaitable[bool]] | None = None
    port: int | None = None
    operations_port: int = 0  # 0: none.
    liveness: Path | None = None
    alive: Callable[[], Awaitable[bool]] | None = None
    end_left: Callable[[], Awaitable[None]] | None = None
    silent_s: float = 10.0
    start_s: float = 30.0  # How long it may do nothing before it is ready.
    stop_signal: int = signal.SIGTERM
    stop_s: float = 10.0
    stop_order: int = 0  # Lower numbers stop first, equal ones together.


class ChildProcess:
    """A started process. It leads a new session, so that Ctrl-C at the terminal reaches only its parent."""

    def __init__(
        self,
        spec: ProcessSpec,
        process: asyncio.subprocess.Process,
        log_start: int,
        liveness_file: Path | None = None,
    ) -> None:
        self.spec = spec
        self.log_start = log_start
        self.pid = process.pid
        self._liveness_file = liveness_file
        self._used_s = 0.0
        self._looked_at = float("-inf")
        self._worked_at = asyncio.get_running_loop().time()
        self._touched = 0
        self._touched_at = float("-inf")
        self._process = process
        self._group_is_gone = False

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    async def wait(self) -> int:
        """Wait for the end and return the exit code, or the negative number of the signal that ended it."""
        return await self._process.wait()

    async def wait_until_ready(self, on_waiting: Callable[[str], None] = lambda _: None) -> None:
        """Wait as long as the process works on its start, and say now and then what is waited for.

        Raises ProcessFailed if it ends first, or does nothing for `start_s`.
        """
        loop = asyncio.get_running_loop()
        begun = said = loop.time()
        while not self.has_ended:
            if await self._is_ready():
                return
            if self.has_stalled():
                raise ProcessFailed(
                    f"{self.spec.name} is not ready, and did nothing for {self.spec.start_s:.0f} s"
                    + tail(self)
                )
            if loop.time() - said > SAY_EVERY_S:
                said = loop.time()
                on_waiting(
                    f"waiting for {self.spec.name} to start, {said - begun:.0f} s so far: {self.spec.log}"
                )
            await asyncio.sleep(POLL_S)
        code = self._process.returncode
        raise ProcessFailed(f"{self.spec.name} ended with {code} while starting{tail(self)}")

    def has_stalled(self) -> bool:
        """True if neither the process nor its children have used a processor for `start_s`."""
        now = asyncio.get_running_loop().time()
        # Looking at all processes takes a while itself.
        if now - self._looked_at > min(self.spec.start_s / 4, LOOK_EVERY_S):
            self._looked_at = now
            used_s = _processor_s(self.pid)
            if used_s != self._used_s:
                self._used_s, self._worked_at = used_s, now
        return now - self._worked_at > self.spec.start_s

    async def answers(self) -> bool:
        """True if the process shows a sign of life. An ended process shows none."""
        if self.has_ended or not self._touches_file():
            return False
        return self.spec.alive is None or await _probed(self.spec.alive)

    def _touches_file(self) -> bool:
        """True if the file was touched since the last look, or within LIVENESS_S. No wall clock is read."""
        if self._liveness_file is None:
            return True
        now = asyncio.get_running_loop().time()
        with suppress(FileNotFoundError):
            touched = self._liveness_file.stat().st_mtime_ns
            if touched != self._touched:
                self._touched, self._touched_at = touched, now
        return now - self._touched_at < LIVENESS_S

    async def _is_ready(self) -> bool:
        if self._liveness_file is not None and not self._liveness_file.exists():
            return False
        if self.spec.port is not None and not _listens(self.pid, self.spec.port):
            return False
        return self.spec.ready is None or await _probed(self.spec.ready)

    async def stop(self) -> None:
        """Send the stop signal, wait up to `stop_s`, then kill the process and its children."""
        if not self.has_ended:
            self._signal_group(self.spec.stop_signal)
            self._signal_group(signal.SIGCONT)  # If it is suspended.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), self.spec.stop_s)
        await self.end()

    async def write_stacks(self) -> None:
        """Have a process that does not answer write where it is. One that cannot is ended by the signal."""
        if self._liveness_file is not None:
            self._signal_group(STACKS_SIGNAL)
            await asyncio.sleep(STACKS_S)

    async def end(self) -> None:
        """Kill the process, if it still runs, and wait until none of its processes is left."""
        self.kill()
        await self._process.wait()
        if self.spec.end_left is not None:
            await self.spec.end_left()

    def kill(self) -> None:
        """Kill the process, if it still runs, and its children."""
        self._signal_group(signal.SIGKILL)
        self._group_is_gone = self.has_ended
        if self._liveness_file is not None:
            self._liveness_file.unlink(missing_ok=True)

    def _signal_group(self, number: int) -> None:
        if self._group_is_gone:
            return  # The system may have given the id to another group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _processor_s(pid: int) -> float:
    """Return the seconds of processors that a process and its children have used; 0 if it is gone."""
    used_s = 0.0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            times = each.cpu_times()
            used_s += times.user + times.system + times.children_user + times.children_system
    return used_s


async def start(spec: ProcessSpec) -> ChildProcess:
    """Raises ProcessFailed if the program cannot be run."""
    liveness_file = None if spec.liveness is None else spec.liveness / f"{spec.name}.{secrets.token_hex(4)}"
    try:
        with _open_log(spec) as log:
            log_start = log.tell()
            process = await asyncio.create_subprocess_exec(
                *_command(spec),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=spec.directory,
                env=_environment(spec, liveness_file),
                start_new_session=True,
            )
    except OSError as error:
        raise ProcessFailed(f"{spec.name} cannot be started: {error}") from error
    return ChildProcess(spec, process, log_start, liveness_file)


def engage_command(*arguments: str) -> list[str]:
    """Return the command line of `engage`. `-P` ignores modules in the current directory."""
    return [sys.executable, "-P", "-m", "engage.cli", *arguments]


def tail(child: ChildProcess) -> str:
    """Return the last lines of the log, to be appended to an error message."""
    with suppress(OSError), child.spec.log.open("rb") as log:
        log.seek(max(child.log_start, log.seek(0, os.SEEK_END) - TAIL_BYTES))
        lines = log.read().decode(errors="replace").strip().splitlines()[-TAIL_LINES:]
        if lines:
            return "\n".join([f"; {child.spec.log} ends with:", *(line[:TAIL_LINE] for line in lines)])
    return f"; it wrote nothing to {child.spec.log}"


def note_restart(spec: ProcessSpec, reason: str) -> None:
    """Write to a process's log why it is started again. The line of its new start has the time."""
    line = {"event": "the process is started again", "process": spec.name, "reason": reason}
    with suppress(OSError), spec.log.open("ab") as log:
        log.write(msgspec.json.encode(line) + b"\n")


async def _probed(probe: Callable[[], Awaitable[bool]]) -> bool:
    """Run a probe. Raises CancelledError if this task was cancelled, also where the probe swallows it."""
    try:
        return await probe()
    finally:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # Clients of servers do so while they connect.
            raise asyncio.CancelledError


def _open_log(spec: ProcessSpec) -> BinaryIO:
    with suppress(FileNotFoundError):
        if spec.log.stat().st_size > LOG_BYTES:
            spec.log.replace(spec.log.with_name(f"{spec.log.name}.1"))
    descriptor = os.open(spec.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.fdopen(descriptor, "ab")


def _environment(spec: ProcessSpec, liveness_file: Path | None) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(REMOVED_PREFIXES)}
    liveness = {} if liveness_file is None else {LIVENESS_VARIABLE: str(liveness_file)}
    return inherited | dict(spec.environment) | liveness


def _listens(pid: int, port: int) -> bool:
    """True if this process listens on the TCP port. Another process may share it."""
    with suppress(psutil.Error):
        return any(
            found.status == psutil.CONN_LISTEN and found.laddr.port == port
            for found in psutil.Process(pid).net_connections("tcp")
        )
    return False


def _command(spec: ProcessSpec) -> list[str]:
    """Run the program through the launcher, which ties its life to ours even if we are killed."""
    user = spec.user or SystemUser(-1, -1)
    options = (os.getpid(), int(spec.stop_signal), user.uid, user.gid)
    return [sys.executable, "-I", "-S", launcher.__file__, *map(str, options), *spec.command]
