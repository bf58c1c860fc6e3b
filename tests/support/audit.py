"""The audit as the last assertion of a test."""

from engage.flows.operations.audit import audit_snapshot
from engage.runtime.database import snapshot
from engage.runtime.services import Services


async def assert_audit_is_clean(services: Services) -> None:
    """Run all checks of the audit. None may find a row."""
    await services.post_commit.drain()
    async with snapshot(services.db) as conn:
        audited = await audit_snapshot(conn, services.clock)
    assert [(finding.check.name, finding.rows) for finding in audited.broken] == []
