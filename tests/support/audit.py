"""The audit as the last assertion of a test."""

from datetime import timedelta

from engage.flows.operations.audit import audit_snapshot
from engage.runtime.database import snapshot
from engage.runtime.services import Services
from tests.support.clock import StoppedClock


async def assert_audit_is_clean(services: Services) -> None:
    """Run all checks of the audit. None may find a row.

    Tests do work for times that their clock does not show yet, so it is audited from a year later.
    """
    await services.post_commit.drain()
    async with snapshot(services.db) as conn:
        audited = await audit_snapshot(conn, StoppedClock(services.clock.now() + timedelta(days=400)))
    broken = [(finding.check.name, finding.rows) for finding in audited.broken]
    assert not broken, broken
