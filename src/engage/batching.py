"""Group commit: concurrent callers of a process share one round trip.

While one batch is under way the next gathers; there is no timer, so an idle caller waits for nobody and a
busy one shares more the busier it gets.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from engage.domain.refusals import Unavailable

T = TypeVar("T")
R = TypeVar("R")

WAITING_LIMIT = 20_000


class Batcher(Generic[T, R]):
    """Hands what was submitted to `run` in batches of at most `max_size`, at most `in_flight` at once.

    `run` answers in the order of its items; an answer that is an exception is raised to its own caller
    only, and what `run` raises itself is raised to every caller of the batch.
    """

    def __init__(
        self,
        run: Callable[[list[T]], Awaitable[Sequence[R | Exception]]],
        *,
        max_size: int,
        in_flight: int = 1,
    ) -> None:
        self._run = run
        self._max_size = max_size
        self._in_flight = in_flight
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._scheduled = False

    async def submit(self, item: T) -> R:
        """Raises what `run` raises or answers for the item; Unavailable when too many are waiting."""
        if len(self._waiting) >= WAITING_LIMIT:
            raise Unavailable("api")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future))
        if not self._scheduled and len(self._running) < self._in_flight:
            # What arrives in this turn of the loop goes together.
            self._scheduled = True
            loop.call_soon(self._start)
        return await future

    async def drain(self) -> None:
        """Waits until everything submitted has been answered."""
        while self._running or self._waiting:
            if self._running:
                await asyncio.wait(self._running)
            else:
                await asyncio.sleep(0)

    def _start(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._running) < self._in_flight:
            batch, self._waiting = self._waiting[: self._max_size], self._waiting[self._max_size :]
            task = asyncio.get_running_loop().create_task(self._answer(batch))
            self._running.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start()

    async def _answer(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._run([item for item, _ in batch])
            assert len(answers) == len(batch), "an answer to each item"
        except BaseException as error:
            # Every caller is told; none may wait for an answer that will not come.
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue  # Its caller has gone away.
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
