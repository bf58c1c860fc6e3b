"""The operations port of a process: its metrics, and whether it lives and is ready."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from engage.metrics.exposition import CONTENT_TYPE, ProcessMetrics, text_of
from engage.metrics.port import Page, open_port
from engage.runtime.background import running
from engage.runtime.observation import measure_event_loop, observe
from engage.runtime.services import Services
from engage.settings import SettingsError

METRICS: Final = "/metrics"
LIVE: Final = "/health/live"
READY: Final = "/health/ready"

log = structlog.get_logger()


class Ready(Struct, frozen=True):
    """The state of a process and of what it needs, as `up` or `down`, with its problems."""

    status: str
    parts: dict[str, str] = {}
    problems: list[str] = []


ready_decoder = msgspec.json.Decoder(Ready)

Check = Callable[[], Awaitable[Ready]]


@asynccontextmanager
async def open_operations(services: Services, part: str, check: Check) -> AsyncIterator[None]:
    """Serve the operations port while entered, if the settings name one. Raises SettingsError."""
    observe(services, part)
    settings, process = services.settings, ProcessMetrics()
    if not settings.operations_port:
        yield
        return

    async def metrics() -> Page:
        return Page(await text_of(services.metrics, process), CONTENT_TYPE)

    async def live() -> Page:
        return _health(Ready("down" if services.loops.are_stuck() else "up"))

    async def ready() -> Page:
        return _health(await check())

    pages = {METRICS: metrics, LIVE: live, READY: ready}
    host, port = settings.operations_host, settings.operations_port
    async with AsyncExitStack() as stack:
        requests = services.metrics.process.operations_requests
        try:
            await stack.enter_async_context(open_port(host, port, pages, requests))
        except OSError as error:
            raise SettingsError(f"cannot listen on {host} port {port} for operations: {error}") from error
        log.info("the operations port is open", host=host, port=port)
        await stack.enter_async_context(running(measure_event_loop(services)))
        yield


def _health(state: Ready) -> Page:
    return Page(msgspec.json.encode(state) + b"\n", status=200 if state.status == "up" else 503)
