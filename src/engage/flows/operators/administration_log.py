"""Entries of the audit log about operators and API keys, which belong to no single program."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.store import audit_log
from engage.store.audit_log import AuditEntry


async def log_administration(
    conn: AsyncConnection,
    subject: str,
    action: str,
    *,
    operator: str,
    now: datetime,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write an entry, at the end of the transaction that it records."""
    entry = AuditEntry(
        at=now,
        program_id=None,
        operator=operator,
        subject=subject,
        action=action,
        before=before,
        after=after,
    )
    await audit_log.write(conn, entry)
