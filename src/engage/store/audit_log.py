"""The audit log: who did what, when and why, with the state before and after."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Text, cast, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.schema.audit_log import audit_log as table
from engage.schema.rows import columns, from_row

# Operators without a key: a command of `engage`, and the installation of a release.
COMMAND_LINE: Final = "command line"
INSTALLATION: Final = "installation"

# Of the documents of a page. One entry alone may have more.
PAGE_BYTES: Final = 4 * 1024 * 1024

_FIELDS: Final = "id, at, program_id, operator, subject, action, reason, before, after"


def digest_sql(previous: str, seq: str, entry: str) -> str:
    """SQL for the digest of an entry, after the one with the digest `previous`. The same everywhere: `jsonb`
    has one text, and a time is its number of seconds.
    """
    fields = ", ".join(
        f"extract(epoch FROM {entry}.at)" if name == "at" else f"{entry}.{name}"
        for name in _FIELDS.split(", ")
    )
    return f"sha256({previous} || convert_to(jsonb_build_array({seq}, {fields})::text, 'UTF8'))"


_CHANGED = text(f"""
SELECT e.seq FROM audit_log e LEFT JOIN audit_log p ON p.seq = e.seq - 1
WHERE e.seq = ANY(CAST(:seqs AS bigint[]))
  AND e.digest <> {digest_sql("coalesce(p.digest, ''::bytea)", "e.seq", "e")}
ORDER BY e.seq
""")  # noqa: S608  # Names of the schema.

_BYTES: Final = func.coalesce(
    func.octet_length(func.concat(cast(table.c.before, Text), cast(table.c.after, Text))), 0
).label("bytes")

# Whoever adds an entry waits here for those before, and then sees the newest head.
_WRITE = text(f"""
WITH entry AS (
    SELECT uuidv7() AS id, CAST(:at AS timestamptz) AS at, CAST(:program_id AS text) AS program_id,
           CAST(:operator AS text) AS operator, CAST(:subject AS text) AS subject,
           CAST(:action AS text) AS action, CAST(:reason AS text) AS reason,
           CAST(:before AS jsonb) AS before, CAST(:after AS jsonb) AS after
), head AS (
    INSERT INTO audit_log_head (seq, digest)
    SELECT 1, {digest_sql("''::bytea", "1", "entry")} FROM entry
    ON CONFLICT (one) DO UPDATE SET (seq, digest) = (
        SELECT audit_log_head.seq + 1,
               {digest_sql("audit_log_head.digest", "audit_log_head.seq + 1", "entry")} FROM entry)
    RETURNING seq, digest
)
INSERT INTO audit_log (seq, digest, {_FIELDS}) SELECT head.seq, head.digest, entry.* FROM head, entry
""")  # noqa: S608  # Names of the schema.


class AuditEntry(Struct, frozen=True, kw_only=True):
    """A deed of an operator, done to a subject such as `program:eu-mi-points`. `program_id` None: a subject
    that belongs to every program. `before` and `after` are JSON. Names no member, in no field.
    """

    at: datetime
    program_id: str | None
    operator: str
    subject: str
    action: str
    reason: str | None = None
    before: Any = None
    after: Any = None


class LoggedEntry(AuditEntry, frozen=True, kw_only=True):
    """An entry as it is stored. `seq` counts all entries."""

    seq: int
    id: UUID


async def write(conn: AsyncConnection, entry: AuditEntry) -> None:
    """Add an entry in the transaction of the deed, at its end: other writers wait until it is over."""
    values = {name: getattr(entry, name) for name in AuditEntry.__struct_fields__}
    values |= {name: _json(values[name]) for name in ("before", "after")}
    await conn.execute(_WRITE, values)


async def read_page(
    conn: AsyncConnection,
    program_ids: Sequence[str] | None,
    *,
    subject: str | None,
    operator: str | None,
    before: int | None,
    limit: int,
) -> tuple[list[LoggedEntry], bool]:
    """Read entries about these programs, newest first, and whether there are more. None: about every program,
    and about none. Where their documents are large, a page has fewer than `limit`.
    """
    chosen: list[ColumnElement[bool]] = []
    if program_ids is not None:
        chosen.append(table.c.program_id.in_(program_ids))
    if subject is not None:
        chosen.append(table.c.subject == subject)
    if operator is not None:
        chosen.append(table.c.operator == operator)
    if before is not None:
        chosen.append(table.c.seq < before)
    newest = select(table.c.seq, _BYTES).where(*chosen).order_by(table.c.seq.desc()).limit(limit + 1)
    sizes = [(row.seq, row.bytes) for row in await conn.execute(newest)]
    page = _fitting(sizes, limit)
    query = select(*columns(table, LoggedEntry)).where(table.c.seq.in_(page)).order_by(table.c.seq.desc())
    entries = [from_row(LoggedEntry, row) for row in await conn.execute(query)]
    return entries, len(sizes) > len(page)


async def changed(conn: AsyncConnection, seqs: Sequence[int]) -> list[int]:
    """Return those of these entries that do not follow from the entry before: one of the two was changed."""
    return list((await conn.execute(_CHANGED, {"seqs": list(seqs)})).scalars())


def _fitting(sizes: Sequence[tuple[int, int]], limit: int) -> list[int]:
    """The first of these entries, and those after it that fit onto its page."""
    page: list[int] = []
    total = 0
    for seq, size in sizes[:limit]:
        total += size
        if page and total > PAGE_BYTES:
            break
        page.append(seq)
    return page


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
