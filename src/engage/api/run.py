"""The process of `engage api`: the API on Granian."""

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

# Connections that wait to be accepted, and requests in progress.
BACKLOG: Final = 2_048

# Thresholds of the garbage collector, which only has to find cycles. With Python's own threshold of 700 new
# objects it took a fifth of the time of a tap.
COLLECT_AFTER: Final = (50_000, 20, 20)


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM. Requests in progress are answered first. Raises SettingsError."""
    logs.configure(settings)
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    async with open_api(settings) as api:
        app = app_of(api)
        # Exclude everything loaded so far from collections.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        try:
            await serve(app, host=settings.api_host, port=settings.api_port)
        except OSError as error:
            where = f"{settings.api_host} port {settings.api_port}"
            raise SettingsError(f"cannot listen on {where}: {error}") from error


async def serve(app: Any, *, host: str, port: int) -> None:
    """Serve an ASGI application whose lifespan has begun, until SIGINT or SIGTERM. Raises OSError.

    The server runs in this process, so a kill leaves no other process behind.
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
        # Granian adds its own backtrace to the message.
        message = str(error).partition("\n")[0]
        if "os error" in message:
            raise OSError(message) from None
        raise
