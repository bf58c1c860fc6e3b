"""The process of `engage api`: the API on Granian."""

from functools import partial

import structlog
import uvloop

from engage import logs, tracing
from engage.api.app import app_of
from engage.api.health import check
from engage.api.http.context import open_api
from engage.api.server.granian_server import serve
from engage.runtime.garbage import collect_rarely
from engage.runtime.liveness import API
from engage.runtime.operations import open_operations
from engage.settings import Settings, SettingsError, require_pepper

log = structlog.get_logger()


def run(settings: Settings) -> None:
    """Serve until SIGTERM, which drains, or SIGINT. Raises SettingsError."""
    require_pepper(settings)
    logs.configure(settings)
    tracing.start(settings, "api")
    try:
        uvloop.run(_run(settings))
    finally:
        tracing.close()


async def _run(settings: Settings) -> None:
    async with open_api(settings) as api:
        logs.follow(api.services.live)
        app = app_of(api)
        collect_rarely()
        async with open_operations(api.services, API, partial(check, api)):
            log.info("the API starts", host=settings.api_host, port=settings.api_port)
            try:
                await serve(app, host=settings.api_host, port=settings.api_port, on_closing=api.close)
            except OSError as error:
                where = f"{settings.api_host} port {settings.api_port}"
                raise SettingsError(f"cannot listen on {where}: {error}") from error
