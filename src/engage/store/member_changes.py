"""Members whose facts have changed, until everything that follows is done."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.schema.member_changes import member_changes
from engage.schema.rows import Batch

_IDS = Batch("k", member_changes, "id")
_DELETE = text(f"DELETE FROM member_changes m USING {_IDS} WHERE m.id = k.id")  # noqa: S608  # Names.
_ADD = text("""
INSERT INTO member_changes (id, at, program_id, member_ids)
SELECT uuidv7(), :now, program_id, array_agg(DISTINCT member_id)
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[])) AS k (program_id, member_id)
GROUP BY program_id
""")


async def add(conn: AsyncConnection, members: Iterable[MemberKey], *, now: datetime) -> None:
    """Say that the facts of members change in this transaction."""
    keys = list(members)
    await conn.execute(
        _ADD,
        {
            "program_ids": [program_id for program_id, _ in keys],
            "member_ids": [member_id for _, member_id in keys],
            "now": now,
        },
    )


async def next_at(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """The first time later than `after` at which facts changed and not everything that follows is done."""
    at = member_changes.c.at
    found: datetime | None = (await conn.execute(select(func.min(at)).where(at > after))).scalar_one()
    return found


async def lock(conn: AsyncConnection, *, limit: int) -> tuple[list[UUID], list[MemberKey]]:
    """Lock rows that nobody else has locked, oldest first: their ids, and the members, each once, by key."""
    c = member_changes.c
    rows = (
        await conn.execute(
            select(c.id, c.program_id, c.member_ids)
            .order_by(c.at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    ).all()
    members = {(row.program_id, member_id) for row in rows for member_id in row.member_ids}
    return [row.id for row in rows], sorted(members)


async def delete(conn: AsyncConnection, ids: Sequence[UUID]) -> None:
    await conn.execute(_DELETE, _IDS.of((id_,) for id_ in ids))
