"""Rows of corrections."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.domain.members.corrections import State
from engage.schema.corrections import corrections as table
from engage.schema.rows import columns, from_row, of_member


class Correction(Struct, frozen=True, kw_only=True):
    """Points that an operator gave or took, or asked for. `decided_by` is the second operator, if one was
    needed, who may have left a `note`.
    """

    id: UUID
    program_id: str
    member_id: str
    points: int
    reason: str
    state: State
    requested_by: str
    requested_by_name: str
    requested_at: datetime
    decided_by: str | None = None
    decided_by_name: str | None = None
    decided_at: datetime | None = None
    note: str | None = None

    @property
    def key(self) -> MemberKey:
        return self.program_id, self.member_id


async def add_correction(conn: AsyncConnection, correction: Correction) -> None:
    await conn.execute(insert(table).values(asdict(correction)))


async def read_correction(conn: AsyncConnection, id_: UUID) -> Correction | None:
    """Read a correction without a lock."""
    row = (await conn.execute(select(*columns(table, Correction)).where(table.c.id == id_))).first()
    return None if row is None else from_row(Correction, row)


async def lock_correction(conn: AsyncConnection, id_: UUID) -> Correction | None:
    """Lock a correction until the transaction ends. If points move, the member's balance is locked before."""
    query = select(*columns(table, Correction)).where(table.c.id == id_).with_for_update()
    row = (await conn.execute(query)).first()
    return None if row is None else from_row(Correction, row)


async def write_correction(conn: AsyncConnection, correction: Correction) -> None:
    """Write a correction that is locked."""
    await conn.execute(update(table).where(table.c.id == correction.id).values(asdict(correction)))


async def list_corrections(
    conn: AsyncConnection, program_ids: Sequence[str], state: State, *, before: UUID | None, limit: int
) -> list[Correction]:
    """Read a page of the corrections of these programs in a state, newest first."""
    query = (
        select(*columns(table, Correction))
        .where(table.c.program_id.in_(program_ids), table.c.state == state)
        .order_by(table.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(table.c.id < before)
    return [from_row(Correction, row) for row in await conn.execute(query)]


async def read_points_alone(conn: AsyncConnection, key: MemberKey, operator: str, *, since: datetime) -> int:
    """Sum up the points that an operator gave and took alone, of a member, since an instant."""
    query = select(func.coalesce(func.sum(func.abs(table.c.points)), 0)).where(
        of_member(table, key),
        table.c.state == "made",
        table.c.decided_by.is_(None),
        table.c.requested_by == operator,
        table.c.requested_at > since,
    )
    return int((await conn.execute(query)).scalar_one())


async def read_requested(conn: AsyncConnection, key: MemberKey, *, limit: int) -> list[Correction]:
    """Read the corrections of a member that wait for a second operator, oldest first."""
    query = (
        select(*columns(table, Correction))
        .where(of_member(table, key), table.c.state == "requested")
        .order_by(table.c.id)
        .limit(limit)
    )
    return [from_row(Correction, row) for row in await conn.execute(query)]
