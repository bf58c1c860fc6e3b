"""The processes of engage as children: the API, the feed, the worker."""

import asyncio
import http.client
from collections.abc import Awaitable, Callable

from engage.embedded import bytecode
from engage.embedded.child_process import ProcessSpec, engage_command
from engage.embedded.data_folder import DataFolder
from engage.embedded.run_file import FOLDER_VARIABLE
from engage.settings import Settings, to_environment

REQUEST_S = 2.0
API, FEED, WORKER = "api", "feed", "worker"


def api(folder: DataFolder, settings: Settings) -> ProcessSpec:
    async def ready() -> bool:
        return await get(settings, "/health/live") == (200, "")

    return _spec(API, folder, settings, ready, stop_order=0)


def feed(folder: DataFolder, settings: Settings) -> ProcessSpec:
    async def ready() -> bool:
        return await _accepts_connections(reachable(settings.feed_host), settings.feed_port)

    return _spec(FEED, folder, settings, ready, stop_order=0)


def worker(folder: DataFolder, settings: Settings) -> ProcessSpec:
    """Return the worker. It has no port to check: `/health/ready` of the API reports running workers."""
    return _spec(WORKER, folder, settings, None, stop_order=1)


async def get(settings: Settings, path: str) -> tuple[int, str]:
    """GET from the API. Return the status, 0 without a response, and the body unless the status is 200."""
    return await asyncio.to_thread(_get, reachable(settings.api_host), settings.api_port, path)


def reachable(host: str) -> str:
    """Return an address at which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound.


def _spec(
    name: str,
    folder: DataFolder,
    settings: Settings,
    ready: Callable[[], Awaitable[bool]] | None,
    *,
    stop_order: int,
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
        ready=ready,
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


async def _accepts_connections(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(REQUEST_S):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
