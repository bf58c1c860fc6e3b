"""The processes of engage as children: the API, the feed, the worker."""

import asyncio
import http.client
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec.structs import replace

from engage.embedded import bytecode, ports
from engage.embedded.child_process import ProcessSpec, engage_command, start, tail
from engage.embedded.data_folder import DataFolder
from engage.embedded.errors import ProcessFailed
from engage.embedded.run_file import FOLDER_VARIABLE
from engage.settings import Settings, to_environment

REQUEST_S = 2.0
API, FEED, WORKER, MIGRATE = "api", "feed", "worker", "migrate"
LIVE = "/health/live"

# The parts that have an operations port, and how many ports each tries before it takes any free one.
WITH_OPERATIONS = (API, FEED, WORKER)
OPERATIONS_TRIED = 10
LOOPBACK = "127.0.0.1"


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


def _operations_settings(name: str, settings: Settings) -> Settings:
    """Give a part an operations port on loopback: that of the settings, or else one of the next after those
    of the API and the feed.

    A process that replaces another one needs its port while the other still has its own.
    """
    if name not in WITH_OPERATIONS:
        return settings
    if settings.operations_port:
        return replace(settings, operations_host=LOOPBACK)
    first = settings.api_port + 2 + WITH_OPERATIONS.index(name)
    near = range(first, min(first + OPERATIONS_TRIED * len(WITH_OPERATIONS), 65_536), len(WITH_OPERATIONS))
    port = next((port for port in near if ports.listen_error(LOOPBACK, port) is None), None)
    return replace(settings, operations_host=LOOPBACK, operations_port=port or ports.free_port(LOOPBACK))


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
    operations = _operations_settings(name, settings)
    return ProcessSpec(
        name=name,
        command=engage_command(name),
        log=folder.logs / f"{name}.log",
        directory=folder.path,
        environment={
            **to_environment(operations),
            **bytecode.environment(folder),
            FOLDER_VARIABLE: str(folder.path),
        },
        ready=alive,
        alive=alive,
        port=port,
        operations_port=operations.operations_port,
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
