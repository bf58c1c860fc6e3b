"""Group commit: concurrent callers in a process share one round trip.

While one batch runs, the next one gathers. There is no timer: a single caller does not wait, and under load
batches grow.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from engage import tracing
from engage.domain.refusals import Unavailable

T = TypeVar("T")
R = TypeVar("R")

WAITING_LIMIT = 20_000


class Batcher(Generic[T, R]):
    """Passes submitted items to `run` in batches of at most `max_size`, at most `in_flight` at once.

    `run` returns an answer for each item, in order. An answer that is an exception is raised to its caller;
    an exception that `run` raises, to every caller of the batch. `on_batch` gets the size of each.
    """

    def __init__(
        self,
        run: Callable[[list[T]], Awaitable[Sequence[R | Exception]]],
        *,
        max_size: int,
        in_flight: int = 1,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._run = run
        self._max_size = max_size
        self._in_flight = in_flight
        self._on_batch = on_batch
        self._waiting: list[tuple[T, asyncio.Future[R], str | None]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._scheduled = False

    async def submit(self, item: T) -> R:
        """The answer to an item. Raises what `run` raises or answers; Unavailable when too many wait."""
        if len(self._waiting) >= WAITING_LIMIT:
            raise Unavailable("api")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future, tracing.traceparent()))
        if not self._scheduled and len(self._running) < self._in_flight:
            # Items of this turn of the event loop go together.
            self._scheduled = True
            loop.call_soon(self._start)
        return await future

    async def drain(self) -> None:
        """Waits until all items are answered."""
        while self._running or self._waiting:
            if self._running:
                await asyncio.wait(self._running)
            else:
                await asyncio.sleep(0)

    def _start(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._running) < self._in_flight:
            batch, self._waiting = self._waiting[: self._max_size], self._waiting[self._max_size :]
            self._on_batch(len(batch))
            task = asyncio.get_running_loop().create_task(self._answer(batch))
            self._running.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start()

    async def _answer(self, batch: list[tuple[T, asyncio.Future[R], str | None]]) -> None:
        try:
            with tracing.link_all("batch", (cause for *_, cause in batch), count=len(batch)):
                answers = await self._run([item for item, _, _ in batch])
            assert len(answers) == len(batch), "an answer to each item"
        except BaseException as error:
            # No caller may wait for an answer that will not come.
            for _, future, _ in batch:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future, _), answer in zip(batch, answers, strict=True):
            if future.done():
                continue  # The caller was cancelled.
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
