"""A full disk: the installation's folder is a file system of its own, which is made as small as its files."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engage.torture import private_disk
from engage.torture.plan import Step
from engage.torture.system import System


@asynccontextmanager
async def disk_full(system: System, step: Step) -> AsyncIterator[None]:
    await asyncio.to_thread(private_disk.shrink, system.folder.path)
    try:
        yield
    finally:
        await asyncio.to_thread(private_disk.resize, system.folder.path)
