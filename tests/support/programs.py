"""Services with published programs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engage.clock import Clock
from engage.flows.programs.publish import publish
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from tests.support.clock import NOON, StoppedClock


@asynccontextmanager
async def services_with(
    settings: Settings, *documents: str, clock: Clock | None = None
) -> AsyncIterator[Services]:
    """Open services with these documents published. The clock stands at NOON by default."""
    async with open_services(settings, clock or StoppedClock(NOON)) as services:
        for document in documents:
            await publish(services.db, document, source="test", now=NOON)
        await services.programs.refresh(services.db)
        yield services
