"""The environment of a benchmark: servers with an empty database in a temporary folder."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from engage.bench.errors import BenchmarkFailed
from engage.bench.setup.constants import HOST
from engage.bench.sizes import Sizes
from engage.clock import Clock
from engage.embedded import ports
from engage.embedded.data_folder import DataFolder
from engage.embedded.installation import open_folder, open_servers
from engage.flows.operations.install import install
from engage.settings import Settings


class Environment(Struct, frozen=True):
    """Running servers with published presets and no members, and the sizes. Progress goes to `report`."""

    folder: DataFolder
    settings: Settings
    sizes: Sizes
    report: Callable[[str], None]

    def rounds(self, benchmark: str) -> Iterator[int]:
        """Count and report the rounds."""
        for number in range(self.sizes.rounds):
            self.report(f"{benchmark}: round {number + 1} of {self.sizes.rounds}")
            yield number

    async def sleep_until(self, at: datetime, event: str, *, clock: Clock) -> None:
        """Sleep until the instant of an event. Raises BenchmarkFailed if it has passed."""
        wait_s = (at - clock.now()).total_seconds()
        if wait_s <= 0:
            raise BenchmarkFailed(f"{event}: before the setup was complete; this machine is too busy")
        self.report(f"{event} in {wait_s:.0f} s")
        await asyncio.sleep(wait_s)


@asynccontextmanager
async def open_environment(
    parent: Path | None, sizes: Sizes, *, report: Callable[[str], None], durable: bool = True
) -> AsyncIterator[Environment]:
    """Run servers in a new folder under `parent`, which is removed at the end.

    The settings are those of production: no sandbox, and with `durable` each commit is flushed to disk.
    Raises InstallationError.
    """
    report("starting PostgreSQL and Valkey")
    with tempfile.TemporaryDirectory(prefix="engage-bench-", dir=parent, ignore_cleanup_errors=True) as root:
        async with (
            open_folder(Path(root) / "installation") as folder,
            open_servers(folder, durable=durable, adjust=_as_in_production) as servers,
        ):
            await install(servers.settings)
            yield Environment(folder, servers.settings, sizes, report)


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
