"""The processes of engage as children: the API, the feed, the worker."""

import asyncio
import http.client
from collections.abc import Awaitable, Callable
from pathlib import Path

from engage.embedded import bytecode
from engage.embedded.child_process import ProcessSpec, engage_command, start, tail
from engage.embedded.data_folder import DataFolder
from engage.embedded.errors import ProcessFailed
from engage.embedded.run_file import FOLDER_VARIABLE
from engage.settings import Settings, to_environment

REQUEST_S = 2.0
API, FEED, WORKER, MIGRATE = "api", "feed", "worker", "migrate"
LIVE = "/health/live"


def api(folder: DataFolder, settings: Settings) -> ProcessSpec:
    async def alive() -> bool:
        return (await get(settings, LIVE))[0] == 200

    return _spec(API, folder, settings, settings.api_port, alive, stop_order=0, liveness=folder.alive)


def feed(folder: DataFolder, settings: Settings) -> ProcessSpec:
    async def alive() -> bool:
        return (await get_from(settings.feed_host, settings.feed_port, LIVE))[0] == 200

    return _spec(FEED, folder, settings, settings.feed_port, alive, stop_order=0, liveness=folder.alive)


def worker(folder: DataFolder, settings: Settings) -> ProcessSpec:
    """Return the worker. It has no port: it is ready when it has looked at its queue."""
    return _spec(WORKER, folder, settings, None, None, stop_order=1, liveness=folder.alive)


async def migrate(folder: DataFolder, settings: Settings) -> None:
    """Update the tables with the release that is installed now. Raises ProcessFailed."""
    child = await start(_spec(MIGRATE, folder, settings, None, None, stop_order=0, liveness=None))
    try:
        code = await child.wait()
    finally:
        await child.stop()
    if code != 0:
        raise ProcessFailed(f"the tables cannot be updated{tail(child)}")


async def get(settings: Settings, path: str) -> tuple[int, str]:
    """GET from the API. Return the status, 0 without a response, and the body unless the status is 200."""
    return await get_from(settings.api_host, settings.api_port, path)


async def get_from(host: str, port: int, path: str) -> tuple[int, str]:
    return await asyncio.to_thread(_get, reachable(host), port, path)


def reachable(host: str) -> str:
    """Return an address at which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound.


def _spec(
    name: str,
    folder: DataFolder,
    settings: Settings,
    port: int | None,
    alive: Callable[[], Awaitable[bool]] | None,
    *,
    stop_order: int,
    liveness: Path | None,
) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        command=engage_command(name),
        log=folder.logs / f"{name}.log",
        directory=folder.path,
        environment={
            **to_environment(settings),
            **bytecode.environment(folder),
            FOLDER_VARIABLE: str(folder.path),
        },
        ready=alive,
        alive=alive,
        port=port,
        liveness=liveness,
        stop_order=stop_order,
    )


def _get(host: str, port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=REQUEST_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(10_000).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()
    return response.status, "" if response.status == 200 else body
