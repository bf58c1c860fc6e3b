"""Loops that run beside a process's work until it ends.

A loop starts again after any error: nobody else would notice that a cache is no longer refreshed. Its state
is kept for the health checks. A loop that fails, because its servers are away, is not one that is stuck.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, Never

import structlog
from msgspec import Struct

from engage.connections.cancellation import cancel_all
from engage.domain.refusals import Unavailable

log = structlog.get_logger()

REFRESH_S: Final = 2.0

# A turn that takes longer is ended. More than a statement or an answer of Valkey may take.
TURN_S: Final = 15.0

# A loop without a good turn for this long is a problem. Servers restart faster.
FAILING_AFTER_S: Final = 10.0

# A loop that has not ended a turn in this time beyond its limit is stuck: only a new process helps.
STUCK_AFTER_S: Final = 15.0

FIRST_DELAY_S: Final = 0.1
LAST_DELAY_S: Final = 2.0


class LoopProblem(Struct, frozen=True):
    """A loop that does not do its work. `error` names the last error, without its text."""

    loop: str
    stuck: bool
    error: str


class LoopState(Struct, frozen=True):
    """A loop as metrics show it. `age_s`: since its last good turn."""

    loop: str
    problem: LoopProblem | None
    age_s: float
    failures: int


class Loop:
    """The state of one loop. It calls `turned` or `failed` at least every `turn_s` seconds."""

    def __init__(self, name: str, *, turn_s: float) -> None:
        self.name = name
        self._turn_s = turn_s
        self._ended_at = self._good_at = asyncio.get_running_loop().time()
        self._error = ""
        self._failures = 0

    def turned(self) -> None:
        """Note a good turn."""
        self._ended_at = self._good_at = asyncio.get_running_loop().time()
        if self._error:
            log.info("a loop works again", loop=self.name)
            self._error = ""

    def failed(self, error: BaseException) -> None:
        """Note a turn that failed. Logs the first of a row of equal errors."""
        self._failures += 1
        self._ended_at = asyncio.get_running_loop().time()
        name = _name_of(error)
        if name == self._error:
            return
        self._error = name
        expected = isinstance(error, Unavailable | TimeoutError)
        log.warning("a loop failed", loop=self.name, error=name, exc_info=None if expected else error)

    def problem(self) -> LoopProblem | None:
        now = asyncio.get_running_loop().time()
        stuck = now - self._ended_at > self._turn_s + STUCK_AFTER_S
        if stuck or (self._error and now - self._good_at > FAILING_AFTER_S):
            return LoopProblem(self.name, stuck, self._error)
        return None

    def state(self) -> LoopState:
        age_s = asyncio.get_running_loop().time() - self._good_at
        return LoopState(self.name, self.problem(), age_s, self._failures)


class Loops:
    """The loops of a process."""

    def __init__(self) -> None:
        self._loops: list[Loop] = []

    def problems(self) -> list[LoopProblem]:
        found = (loop.problem() for loop in self._loops)
        return [problem for problem in found if problem is not None]

    def states(self) -> list[LoopState]:
        return [loop.state() for loop in self._loops]

    def are_stuck(self) -> bool:
        """True if a loop will not go on by itself. A failing one may, so it is no reason for a restart."""
        return any(problem.stuck for problem in self.problems())

    async def repeat(
        self,
        name: str,
        turn: Callable[[], Awaitable[object]],
        *,
        every_s: float = REFRESH_S,
        first: bool = False,
    ) -> Never:
        """Take a turn every few seconds, for at most TURN_S. `first`: also now."""
        loop = self._add(name, every_s + TURN_S)
        pause_s = 0.0 if first else every_s
        while True:
            await asyncio.sleep(pause_s)
            pause_s = every_s
            error = await _error_of(turn(), within_s=TURN_S)
            if error is None:
                loop.turned()
            else:
                loop.failed(error)

    async def keep(
        self, name: str, work: Callable[[Loop], Awaitable[object]], *, turn_s: float = TURN_S
    ) -> Never:
        """Run work that does not end by itself, again after any error. It calls `turned` of its loop at least
        every `turn_s` seconds.
        """
        loop = self._add(name, turn_s)
        delay = FIRST_DELAY_S
        while True:
            started = asyncio.get_running_loop().time()
            error = await _error_of(work(loop))
            loop.failed(error or EOFError(name))
            if asyncio.get_running_loop().time() - started > FAILING_AFTER_S:
                delay = FIRST_DELAY_S
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_DELAY_S)

    def _add(self, name: str, turn_s: float) -> Loop:
        loop = Loop(name, turn_s=turn_s)
        self._loops.append(loop)
        return loop


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """Runs coroutines as tasks during the block. Cancels them at its end, and waits for them."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        await cancel_all(tasks)
        for task in tasks:
            if not task.cancelled() and isinstance(error := task.exception(), Exception):
                raise error


async def _error_of(work: Awaitable[object], *, within_s: float | None = None) -> BaseException | None:
    """Await work; return the error that it raised. Raises CancelledError if this task was cancelled."""
    error: BaseException | None = None
    try:
        async with asyncio.timeout(within_s):
            await work
    except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001
        error = raised  # Whatever it is, the loop goes on, and the caller logs it.
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        # Clients of servers swallow a cancellation, or make another error of it.
        raise asyncio.CancelledError from error
    return error


def _name_of(error: BaseException) -> str:
    name = type(error).__name__
    return f"{name}: {error.facts['part']}" if isinstance(error, Unavailable) else name
