"""The books, looked at after a test."""

from engage.flows.operations.audit import audit_snapshot
from engage.runtime.database import snapshot
from engage.runtime.services import Parts


async def broken(parts: Parts) -> list[tuple[str, list[tuple[object, ...]]]]:
    """The checks of the audit that find something, with the first rows of it."""
    await parts.after.drain()
    async with snapshot(parts.db) as conn:
        found = await audit_snapshot(conn, parts.clock)
    return [(finding.check.name, finding.rows) for finding in found.broken]
