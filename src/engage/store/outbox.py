"""The outbox: balance changes that were committed and perhaps not yet told."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_FORGET = text("DELETE FROM outbox WHERE id = ANY(CAST(:ids AS uuid[]))")

_LEFT = text("""
SELECT id, cause, program_ids, member_ids FROM outbox
WHERE created_at < :before ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED
""")


async def delete(conn: AsyncConnection, ids: Sequence[UUID]) -> None:
    await conn.execute(_FORGET, {"ids": list(ids)})


async def lock_unpublished(
    conn: AsyncConnection, *, before: datetime, limit: int
) -> list[tuple[UUID, str, list[tuple[str, str]]]]:
    """(id, cause, [(program, member), …]) of rows written before an instant of wall time."""
    rows = await conn.execute(_LEFT, {"before": before, "limit": limit})
    return [(id_, cause, list(zip(programs, members, strict=True))) for id_, cause, programs, members in rows]
