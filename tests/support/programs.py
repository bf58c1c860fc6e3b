"""Programs for tests, and services with published ones."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engage.clock import Clock
from engage.flows.programs.publish import publish
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from tests.support.clock import NOON, StoppedClock

IN_FIVE_MINUTES = 'type = "after", delay = "PT5M"'


def rule(
    id_: str,
    on: str,
    limit: str,
    award: str | int,
    *,
    due: str = IN_FIVE_MINUTES,
    orders: str | None = None,
    also: str | None = None,
) -> str:
    """A rule of a document. Tables are TOML without their braces; a number is an award of fixed points.

    `also` is one further limit.
    """
    tables = {
        "on": on,
        "limit": limit,
        "award": f'type = "fixed", points = {award}' if isinstance(award, int) else award,
        "due": due,
        "orders": orders,
    }
    lines = [f"{name} = {{ {table} }}" for name, table in tables.items() if table is not None]
    if also is not None:
        lines.append(f"also = [{{ {also} }}]")
    return "\n".join(["", "[[rules]]", f'id = "{id_}"', f'title = "{id_}"', *lines, ""])


@asynccontextmanager
async def services_with(
    settings: Settings, *documents: str, clock: Clock | None = None
) -> AsyncIterator[Services]:
    """Open services with these documents published. The clock stands at NOON by default."""
    async with open_services(settings, clock or StoppedClock(NOON)) as services:
        for document in documents:
            await publish(services.db, document, source="test", operator="test", clock=services.clock)
        await services.programs.refresh(services.db)
        yield services
