"""The API as a separate process, run by `engage api`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from engage.embedded import processes
from engage.embedded.child_process import ChildProcess, ProcessSpec, engage_command, start
from engage.settings import Settings, to_environment
from tests.support.ports import server_port

HOST = "127.0.0.1"


class ApiProcess(msgspec.Struct, frozen=True):
    child: ChildProcess
    settings: Settings

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.settings.api_port}"

    def log(self) -> str:
        return self.child.spec.log.read_text()


@asynccontextmanager
async def api_process(
    settings: Settings, folder: Path, command: list[str] | None = None
) -> AsyncIterator[ApiProcess]:
    """Run the API until the block ends, by `engage api` or another command. Raises ProcessFailed if it does
    not become ready.
    """
    settings = msgspec.structs.replace(settings, api_host=HOST, api_port=server_port())

    async def ready() -> bool:
        status, _ = await processes.get(settings, "/health/live")
        return status == 200

    spec = ProcessSpec(
        name="api",
        command=command or engage_command("api"),
        log=folder / "api.log",
        directory=folder,
        environment=to_environment(settings),
        ready=ready,
    )
    child = await start(spec)
    try:
        await child.wait_until_ready()
        yield ApiProcess(child, settings)
    finally:
        await child.stop()
