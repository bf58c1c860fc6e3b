"""Serve a baseline's Litestar handlers on the same server, and with the same settings, as the API."""

import gc
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import asyncpg
import uvloop
from litestar import Litestar
from litestar.datastructures import State

from engage.api.server.granian_server import serve
from engage.settings import Settings, from_environment

CONNECTIONS = 10  # As many as the API's pool has.

Resources = Callable[[Settings], AbstractAsyncContextManager[Any]]


def run(handlers: Sequence[Any], resources: Resources | None = None) -> None:
    """Serve until the process is stopped. `resources` is opened first and becomes `state.resources`."""
    uvloop.run(_serve(from_environment(), handlers, resources))


def open_pool(settings: Settings) -> asyncpg.Pool:
    """Return a pool of asyncpg, without SQLAlchemy."""
    url = settings.database_url.replace("+asyncpg", "")
    return asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS)


async def _serve(settings: Settings, handlers: Sequence[Any], resources: Resources | None) -> None:
    async with AsyncExitStack() as stack:
        state = State()
        if resources is not None:
            state.resources = await stack.enter_async_context(resources(settings))
        app = Litestar(handlers, state=state, openapi_config=None, logging_config=None)
        await stack.enter_async_context(app.lifespan())
        gc.collect()
        gc.freeze()
        await serve(app, host=settings.api_host, port=settings.api_port)
