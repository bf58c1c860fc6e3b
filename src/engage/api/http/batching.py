"""Flows that handle many requests at once. A feature declares its flow; the API batches its requests."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from engage.batching import Batcher
from engage.runtime.services import Services

T = TypeVar("T")
R = TypeVar("R")


class BatchedFlow(Generic[T, R]):
    """`run` returns the results in the order of its requests, an exception in place of a failed one."""

    def __init__(
        self,
        run: Callable[[Services, list[T]], Awaitable[Sequence[R | Exception]]],
        *,
        max_size: int,
        in_flight: int = 1,
    ) -> None:
        self.run = run
        self.max_size = max_size
        self.in_flight = in_flight


class Batchers:
    """The batchers of one API, opened when a flow has its first request."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: dict[BatchedFlow[Any, Any], Batcher[Any, Any]] = {}

    async def submit(self, flow: BatchedFlow[T, R], request: T) -> R:
        """Raises what the flow returns or raises; Unavailable when too many requests are waiting."""
        batcher = self._open.get(flow)
        if batcher is None:
            batcher = self._open[flow] = Batcher(
                partial(flow.run, self._services),
                max_size=flow.max_size,
                in_flight=flow.in_flight,
                on_batch=self._counting(flow),
            )
        result: R = await batcher.submit(request)
        return result

    def _counting(self, flow: BatchedFlow[Any, Any]) -> Callable[[int], None]:
        sizes, name = self._services.metrics.api.batch_size, flow.run.__name__.strip("_")
        return lambda size: sizes.observe(size, name)

    async def drain(self) -> None:
        """Wait until every request has its result."""
        for batcher in self._open.values():
            await batcher.drain()
