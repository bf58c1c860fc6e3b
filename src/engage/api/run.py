"""The process of `engage api`: the API on Granian."""

import gc
from typing import Final

import structlog
import uvloop

from engage import logs
from engage.api.app import app_of
from engage.api.http.context import open_api
from engage.api.server.granian_server import serve
from engage.settings import Settings, SettingsError, require_pepper

log = structlog.get_logger()

# Thresholds of the garbage collector, which only has to find cycles. With Python's own threshold of 700 new
# objects it took a fifth of the time of a tap.
COLLECT_AFTER: Final = (50_000, 20, 20)


def run(settings: Settings) -> None:
    """Serve until SIGTERM, which drains, or SIGINT. Raises SettingsError."""
    require_pepper(settings)
    logs.configure(settings)
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    async with open_api(settings) as api:
        app = app_of(api)
        # Exclude everything loaded so far from collections.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        log.info("the API starts", host=settings.api_host, port=settings.api_port)
        try:
            await serve(app, host=settings.api_host, port=settings.api_port, on_closing=api.close)
        except OSError as error:
            where = f"{settings.api_host} port {settings.api_port}"
            raise SettingsError(f"cannot listen on {where}: {error}") from error
