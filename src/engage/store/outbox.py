"""The outbox: committed balance changes that may not have been published yet."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.schema.outbox import outbox
from engage.schema.rows import Batch

_IDS = Batch("k", outbox, "id")

# One array: a burst can leave more rows than a statement may have parameters.
_DELETE = text(f"DELETE FROM outbox o USING {_IDS} WHERE o.id = k.id")  # noqa: S608  # Names of the schema.


async def delete(conn: AsyncConnection, ids: Sequence[UUID]) -> None:
    """Delete rows whose changes were published."""
    await conn.execute(_DELETE, _IDS.of((id_,) for id_ in ids))


async def lock_unpublished(
    conn: AsyncConnection, *, before: datetime, limit: int
) -> list[tuple[UUID, str, list[MemberKey]]]:
    """Lock rows written before an instant of wall time, oldest first: (id, cause, members)."""
    rows = await conn.execute(
        select(outbox.c.id, outbox.c.cause, outbox.c.program_ids, outbox.c.member_ids)
        .where(outbox.c.written_at < before)
        .order_by(outbox.c.written_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(row.id, row.cause, list(zip(row.program_ids, row.member_ids, strict=True))) for row in rows]
