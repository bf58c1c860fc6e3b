"""Read the audit log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from engage.runtime.database import one_statement
from engage.runtime.services import Services
from engage.store.audit_log import LoggedEntry, changed, read_page


class AuditEntryView(Struct, frozen=True, kw_only=True):
    """A deed of an operator: who, when, to what, why, and the state before and after.

    `program` null: something that belongs to no single program, such as an API key. `operator`: the name of
    a key, `command line` for a command of `engage`, `installation` for a release that brought its presets.
    `reason`: as the operator gave it. `before` null: there was nothing before.
    """

    id: UUID
    at: datetime
    program: str | None
    operator: str
    subject: str
    action: str
    reason: str | None
    before: Any
    after: Any


async def read_audit_log(
    services: Services,
    program_ids: Sequence[str] | None,
    *,
    subject: str | None,
    operator: str | None = None,
    before: int | None,
    limit: int,
) -> tuple[list[tuple[int, AuditEntryView]], bool]:
    """Read (number, entry) of a page, newest first, and whether there are more. `program_ids` None: also
    entries of no program. Raises Unavailable.
    """
    async with one_statement(services.db) as conn:
        found, more = await read_page(
            conn, program_ids, subject=subject, operator=operator, before=before, limit=limit
        )
    return [(entry.seq, _view(entry)) for entry in found], more


async def changed_entries(services: Services, numbers: Sequence[int]) -> list[int]:
    """Return those of these entries that were changed since they were written, or whose predecessor was. The
    audit checks all of them. Raises Unavailable.
    """
    async with one_statement(services.db) as conn:
        return await changed(conn, numbers)


def _view(entry: LoggedEntry) -> AuditEntryView:
    return AuditEntryView(
        id=entry.id,
        at=entry.at,
        program=entry.program_id,
        operator=entry.operator,
        subject=entry.subject,
        action=entry.action,
        reason=entry.reason,
        before=entry.before,
        after=entry.after,
    )
