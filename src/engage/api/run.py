"""`engage api`: the API on Granian, in one process, until it is told to stop."""

import asyncio
import gc
import signal
from typing import Any, Final

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from engage import logs
from engage.api.app import app_of
from engage.api.http.context import open_api
from engage.settings import Settings, SettingsError

# Connections that may wait to be accepted, and requests that may be under way.
BACKLOG: Final = 2_048

# Objects that come and go with requests are freed without the collector, which only has to find cycles. To
# look for them after every 700 new objects, as Python does, took a fifth of the time of a tap.
COLLECT_AFTER: Final = (50_000, 20, 20)


def run(settings: Settings) -> None:
    """Blocks until SIGINT or SIGTERM; requests under way are answered first. Raises SettingsError."""
    logs.configure(settings)
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    async with open_api(settings) as api:
        app = app_of(api)
        # What is there now stays: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        try:
            await serve(app, host=settings.api_host, port=settings.api_port)
        except OSError as error:
            where = f"{settings.api_host} port {settings.api_port}"
            raise SettingsError(f"cannot listen on {where}: {error}") from error


async def serve(app: Any, *, host: str, port: int) -> None:
    """Serves an ASGI application whose lifespan has begun, until SIGINT or SIGTERM. Raises OSError.

    The server runs in this process, on this loop: no other process can be left behind by a kill.
    """
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.auto,
        websockets=False,
        backlog=BACKLOG,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    try:
        await server.serve()
    except RuntimeError as error:
        # Granian puts its own backtrace behind what happened.
        said = str(error).partition("\n")[0]
        if "os error" in said:
            raise OSError(said) from None
        raise
