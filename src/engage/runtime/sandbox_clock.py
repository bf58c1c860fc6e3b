"""The sandbox's clock, which all its processes follow. Elsewhere the clock is the machine's."""

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.clock import Clock
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store import sandbox_clock


async def read_clock(settings: Settings, conn: AsyncConnection) -> Clock:
    """The installation's clock as of the snapshot of `conn`."""
    return Clock() if settings.sandbox is None else Clock(await sandbox_clock.read(conn))


async def follow_sandbox_clock(services: Services) -> None:
    """Sets this process's clock by the sandbox's. Does nothing outside a sandbox. Raises Unavailable."""
    if services.settings.sandbox is None:
        return
    async with transaction(services.db) as conn:
        services.clock.offset = await sandbox_clock.read(conn)
