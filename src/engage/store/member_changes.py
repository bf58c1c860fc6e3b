"""Members whose facts have changed, until everything that follows is done."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.schema.member_changes import member_changes
from engage.schema.rows import Batch, columns, from_row

_IDS = Batch("k", member_changes, "id")
_DELETE = text(f"DELETE FROM member_changes m USING {_IDS} WHERE m.id = k.id")  # noqa: S608  # Names.
_POSTPONE = text(f"""
UPDATE member_changes m SET at = :until, tries = least(m.tries + 1, 1000)
FROM {_IDS} WHERE m.id = k.id
""")  # noqa: S608
_ADD = text("""
INSERT INTO member_changes (id, at, program_id, member_ids)
SELECT uuidv7(), :now, program_id, array_agg(DISTINCT member_id)
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[])) AS k (program_id, member_id)
GROUP BY program_id
""")


class MemberChange(Struct, frozen=True):
    """Members of a program whose facts changed in one statement."""

    id: UUID
    program_id: str
    member_ids: list[str]
    tries: int

    @property
    def members(self) -> list[MemberKey]:
        return [(self.program_id, member_id) for member_id in self.member_ids]


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


async def lock(conn: AsyncConnection, *, now: datetime, limit: int) -> list[MemberChange]:
    """Lock changes whose time has come and that nobody else has locked, oldest first."""
    c = member_changes.c
    query = select(*columns(member_changes, MemberChange)).where(c.at <= now).order_by(c.at).limit(limit)
    rows = await conn.execute(query.with_for_update(skip_locked=True))
    return [from_row(MemberChange, row) for row in rows]


async def postpone(conn: AsyncConnection, ids: Sequence[UUID], *, until: datetime) -> None:
    """Take changes again later: what follows from them has failed."""
    await conn.execute(_POSTPONE, _IDS.of((id_,) for id_ in ids) | {"until": until})


async def delete(conn: AsyncConnection, ids: Sequence[UUID]) -> None:
    await conn.execute(_DELETE, _IDS.of((id_,) for id_ in ids))
