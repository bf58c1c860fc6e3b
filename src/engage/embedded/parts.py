"""engage's own parts as children: the API, the feed, the worker."""

import asyncio
import http.client
from collections.abc import Awaitable, Callable

from engage.embedded import bytecode
from engage.embedded.child import Part, engage_command
from engage.embedded.data_folder import DataFolder
from engage.embedded.run_file import MARK
from engage.settings import Settings, to_environment

ASK_S = 2.0
API, FEED, WORKER = "api", "feed", "worker"


def api(folder: DataFolder, settings: Settings) -> Part:
    async def ready() -> bool:
        return await ask(settings, "/health/live") == (200, "")

    return _part(API, folder, settings, ready, stop_order=0)


def feed(folder: DataFolder, settings: Settings) -> Part:
    async def ready() -> bool:
        return await _listens(reachable(settings.feed_host), settings.feed_port)

    return _part(FEED, folder, settings, ready, stop_order=0)


def worker(folder: DataFolder, settings: Settings) -> Part:
    """It has no port to ask at; whether it works is part of `/health/ready`."""
    return _part(WORKER, folder, settings, None, stop_order=1)


async def ask(settings: Settings, path: str) -> tuple[int, str]:
    """GET from the API: (status, body where the status is not 200). Status 0 is no answer."""
    return await asyncio.to_thread(_get, reachable(settings.api_host), settings.api_port, path)


def reachable(host: str) -> str:
    """Where a server that listens on `host` can be asked from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound.


def _part(
    name: str,
    folder: DataFolder,
    settings: Settings,
    ready: Callable[[], Awaitable[bool]] | None,
    *,
    stop_order: int,
) -> Part:
    return Part(
        name=name,
        command=engage_command(name),
        log=folder.logs / f"{name}.log",
        directory=folder.path,
        environment={**to_environment(settings), **bytecode.environment(folder), MARK: str(folder.path)},
        ready=ready,
        stop_order=stop_order,
    )


def _get(host: str, port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=ASK_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(10_000).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()
    return answer.status, "" if answer.status == 200 else body


async def _listens(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(ASK_S):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
