"""The books, looked at after a test."""

from engage.flows.operations.audit import audit_snapshot
from engage.runtime.database import snapshot
from engage.runtime.services import Services


async def broken(services: Services) -> list[tuple[str, list[tuple[object, ...]]]]:
    """The checks of the audit that find something, with the first rows of it."""
    await services.post_commit.drain()
    async with snapshot(services.db) as conn:
        found = await audit_snapshot(conn, services.clock)
    return [(finding.check.name, finding.rows) for finding in found.broken]
