"""The books, looked at after a test."""

from engage.flows.audit import audit_snapshot
from engage.flows.parts import Parts
from engage.flows.transaction import snapshot


async def broken(parts: Parts) -> list[tuple[str, list[tuple[object, ...]]]]:
    """The checks of the audit that find something, with the first rows of it."""
    await parts.after.drain()
    async with snapshot(parts.db) as conn:
        found = await audit_snapshot(conn, parts.clock)
    return [(finding.check.name, finding.rows) for finding in found.broken]
