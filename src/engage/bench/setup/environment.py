"""What a benchmark stands on: servers of its own in a folder that goes away, and parts started for it."""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from engage import sandbox_secrets
from engage.bench.errors import BenchmarkFailed
from engage.bench.setup.constants import HOST
from engage.bench.sizes import Sizes
from engage.embedded import ports
from engage.embedded.child_process import ProcessSpec, tail
from engage.embedded.data_folder import DataFolder
from engage.embedded.installation import open_folder, open_servers
from engage.embedded.supervisor import Supervisor, start_all
from engage.flows.operations.install import install
from engage.settings import Settings


class Ground(Struct, frozen=True):
    """Servers that run, tables that are empty, programs that are published, and how much to measure.

    `say` is told what is going on.
    """

    folder: DataFolder
    settings: Settings
    sizes: Sizes
    say: Callable[[str], None]

    @property
    def signing_key(self) -> dict[str, str]:
        """The private JWK that members' tokens are signed with."""
        return sandbox_secrets.read(self.folder.sandbox).signing_key


@asynccontextmanager
async def open_ground(
    parent: Path | None, sizes: Sizes, *, say: Callable[[str], None], durable: bool = True
) -> AsyncIterator[Ground]:
    """Servers with their files in a new folder under `parent`, which is removed at the end.

    Settings are those of production: no sandbox, and with `durable` every commit reaches the disk.
    Raises InstallationError.
    """
    say("starting PostgreSQL and Valkey")
    with tempfile.TemporaryDirectory(prefix="engage-bench-", dir=parent, ignore_cleanup_errors=True) as made:
        async with (
            open_folder(Path(made) / "installation") as folder,
            open_servers(folder, durable=durable, adjust=_as_in_production) as servers,
        ):
            await install(servers.settings)
            yield Ground(folder, servers.settings, sizes, say)


def _as_in_production(settings: Settings) -> Settings:
    feed_port = ports.free_port(HOST)
    return msgspec.structs.replace(
        settings,
        api_port=ports.free_port(HOST),
        feed_port=feed_port,
        feed_url=f"ws://{HOST}:{feed_port}/",
        sandbox=None,
        log_level="warning",
    )


@asynccontextmanager
async def running(*parts: ProcessSpec) -> AsyncIterator[Supervisor]:
    """These parts, ready, for as long as the context is open; a part that ends in it fails the benchmark.

    Raises ProcessFailed.
    """
    supervisor = Supervisor()
    try:
        await start_all(*(_start(supervisor, part) for part in parts))
        yield supervisor
        for part in parts:
            if supervisor.exit_count(part.name):
                last_words = tail(supervisor.child(part.name))
                raise BenchmarkFailed(f"{part.name} ended while it was measured{last_words}")
    finally:
        await supervisor.stop()


async def _start(supervisor: Supervisor, part: ProcessSpec) -> None:
    await supervisor.start(part)
