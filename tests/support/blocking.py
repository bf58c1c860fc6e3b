"""Call services from synchronous code: the state machines of hypothesis are synchronous."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

from engage.runtime.services import Services

T = TypeVar("T")


class BlockingServices:
    """Services with an event loop that runs during each call."""

    def __init__(self, services: Services, loop: asyncio.AbstractEventLoop) -> None:
        self.services = services
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)


@contextmanager
def blocking(opening: AbstractAsyncContextManager[Services]) -> Iterator[BlockingServices]:
    loop = asyncio.new_event_loop()
    try:
        services = loop.run_until_complete(opening.__aenter__())
        yield BlockingServices(services, loop)
        loop.run_until_complete(opening.__aexit__(None, None, None))
    finally:
        loop.close()
