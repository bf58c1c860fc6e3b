"""Commands of engage that a benchmark runs from beginning to end, and the memory that they take."""

import asyncio
import time
from asyncio.subprocess import PIPE, STDOUT
from contextlib import suppress

import psutil
from msgspec import Struct

from engage.bench.errors import BenchmarkFailed
from engage.bench.setup.environment import Environment
from engage.embedded.child_process import engage_command
from engage.settings import to_environment

SAMPLE_S = 0.1
FOUND = 1  # The status of a command that found something broken.
MIB = 1024 * 1024


class CommandRun(Struct, frozen=True):
    """The seconds of a command, and the most memory in MiB: of its processes, and of those of PostgreSQL
    without what they share.
    """

    seconds: float
    command_mib: float
    postgres_mib: float

    @property
    def memory(self) -> str:
        return f"at most {self.command_mib:,.0f} MiB, and {self.postgres_mib:,.0f} MiB in PostgreSQL"


async def run_command(env: Environment, *arguments: str, may_find: bool = False) -> CommandRun:
    """Run a command on the installation. Raises BenchmarkFailed if it fails, or finds something broken unless
    it `may_find` that.
    """
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *engage_command(*arguments), env=to_environment(env.settings), stdout=PIPE, stderr=STDOUT
    )
    command_mib = in_postgres = 0.0
    ending = asyncio.create_task(process.communicate())
    try:
        while not ending.done():
            command_mib = max(command_mib, _command_mib(process.pid))
            in_postgres = max(in_postgres, postgres_mib())
            await asyncio.wait([ending], timeout=SAMPLE_S)
    finally:
        if not ending.done():  # The benchmark takes too long, or was interrupted.
            process.kill()
        output, _ = await ending
    seconds = time.perf_counter() - started
    code = await process.wait()
    if code not in ((0, FOUND) if may_find else (0,)):
        name, said = " ".join(arguments[:2]), output.decode(errors="replace").strip()
        raise BenchmarkFailed(f"engage {name} ended with {code}: {said}")
    return CommandRun(seconds, command_mib, in_postgres)


def _command_mib(pid: int) -> float:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return sum(_rss(each) for each in [process, *process.children(recursive=True)]) / MIB
    return 0.0


def postgres_mib() -> float:
    """Return the memory of PostgreSQL's processes without what they share."""
    return (
        sum(
            _rss(each, private=True)
            for each in psutil.Process().children(recursive=True)
            if name_of(each).startswith("postgres")
        )
        / MIB
    )


def _rss(process: psutil.Process, *, private: bool = False) -> int:
    with suppress(psutil.Error):
        memory = process.memory_info()
        return int(memory.rss - memory.shared if private else memory.rss)
    return 0


def name_of(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return str(process.name())
    return ""
