"""Supervise processes: start them, restart those that end or do not answer, replace them, stop them all."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from engage.embedded.child_process import ChildProcess, ProcessSpec, note_restart, start
from engage.embedded.errors import InstallationError, ProcessFailed
from engage.embedded.run_file import ProcessRecord, record_of

FIRST_DELAY_S = 0.2
LAST_DELAY_S = 5.0
STEADY_S = 30.0  # A process that ran this long did not fail to start: restart it after the first delay.
LOOK_S = 3.0  # Between two looks at whether a process answers.
LOOKS = 3  # A process is restarted after as many looks without an answer, at least.


def _ignore(*_: object) -> None:
    pass


class Supervisor:
    """Calls `on_change` when a child started or ended, and `on_message` with a line about a process."""

    def __init__(
        self, on_change: Callable[[], None] = _ignore, on_message: Callable[[str], None] = _ignore
    ) -> None:
        self._on_change = on_change
        self._on_message = on_message
        self._children: dict[str, ChildProcess] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._exit_counts: dict[str, int] = {}

    def records(self) -> list[ProcessRecord]:
        """Return the running children, in the order of their first start."""
        records = (
            record_of(
                child.spec.name,
                child.pid,
                child.spec.stop_signal,
                child.spec.stop_s,
                child.spec.operations_port,
            )
            for child in self._children.values()
            if not child.has_ended
        )
        return [record for record in records if record is not None]

    def pid(self, name: str) -> int:
        """Return the pid of the newest child with this name. It may have ended."""
        return self._children[name].pid

    def child(self, name: str) -> ChildProcess:
        return self._children[name]

    def exit_count(self, name: str) -> int:
        """Return how often the process has ended by itself, or did not answer."""
        return self._exit_counts.get(name, 0)

    async def start(self, spec: ProcessSpec) -> float:
        """Start a process, wait until it is ready, and keep it running from then on.

        Returns the seconds until it was ready. Raises ProcessFailed after stopping the process.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        child = self._children[spec.name] = await start(spec)
        self._on_change()
        try:
            await child.wait_until_ready(self._on_message)
        except ProcessFailed:
            await child.stop()
            raise
        self._keep(spec)
        return loop.time() - started

    async def replace(self, spec: ProcessSpec) -> float:
        """Start a process beside the running one of its name, wait until it is ready, then stop the other.

        Both share their port meanwhile. Returns the seconds until it was ready. Raises ProcessFailed after
        stopping the new one; the other goes on.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        child = await start(spec)
        try:
            await child.wait_until_ready(self._on_message)
        except BaseException:
            await child.stop()
            raise
        seconds = loop.time() - started
        await _cancel(self._keepers[spec.name])
        before, self._children[spec.name] = self._children[spec.name], child
        self._on_change()
        self._keep(spec)
        await before.stop()
        return seconds

    async def stop(self) -> None:
        await asyncio.gather(*(_cancel(keeper) for keeper in self._keepers.values()))
        self._keepers.clear()
        for order in sorted({child.spec.stop_order for child in self._children.values()}):
            stopping = [child for child in self._children.values() if child.spec.stop_order == order]
            await asyncio.gather(*(child.stop() for child in stopping))

    def _keep(self, spec: ProcessSpec) -> None:
        self._keepers[spec.name] = asyncio.create_task(self._restart(spec), name=f"restart {spec.name}")

    async def _restart(self, spec: ProcessSpec) -> None:
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY_S
        while True:
            started = loop.time()
            why = await _until_it_is_over(self._children[spec.name])
            self._exit_counts[spec.name] = self.exit_count(spec.name) + 1
            if loop.time() - started > STEADY_S:
                delay = FIRST_DELAY_S
            self._on_message(f"{spec.name} {why}; it is started again")
            note_restart(spec, why)
            if not self._children[spec.name].has_ended:
                await self._children[spec.name].write_stacks()
            # Its own children may still use its port, or its files.
            await self._children[spec.name].end()
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_DELAY_S)
            try:
                self._children[spec.name] = await start(spec)
                self._on_change()
            except InstallationError as error:
                # For example a full disk. Restarting matters more than recording it for others.
                self._on_message(str(error))


async def _until_it_is_over(child: ChildProcess) -> str:
    """Wait until a process ends, or has not answered for too long; say which.

    Until its first answer it may take as long as it needs for a start.
    """
    loop = asyncio.get_running_loop()
    ending = asyncio.create_task(child.wait())
    has_answered, answered_at, looks = False, loop.time(), 0
    try:
        while True:
            if (await asyncio.wait([ending], timeout=LOOK_S))[0]:
                return exit_text(ending.result())
            if await _answers(child):
                has_answered, answered_at, looks = True, loop.time(), 0
                continue
            looks += 1
            silent = loop.time() - answered_at > child.spec.silent_s if has_answered else child.has_stalled()
            if looks >= LOOKS and silent:
                return f"has not answered for {loop.time() - answered_at:.0f} s"
    finally:
        ending.cancel()


async def _answers(child: ChildProcess) -> bool:
    try:
        return await child.answers()
    except Exception:  # noqa: BLE001 - a look that fails has seen no answer; nobody else looks after the process.
        return False


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def start_all(*starts: Coroutine[Any, Any, None]) -> None:
    """Wait for all. If one fails, cancel the others and raise its exception."""
    tasks = [asyncio.create_task(start) for start in starts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def exit_text(code: int) -> str:
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
