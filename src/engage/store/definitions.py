"""Definitions that operators added, in all versions. They are added and never changed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.schema.definitions import definitions
from engage.schema.rows import columns, from_row

_LOCK = text("LOCK TABLE definitions IN SHARE ROW EXCLUSIVE MODE")


class StoredDefinition(msgspec.Struct, frozen=True):
    """A version, counted from 1, in force since `created_at`."""

    program_id: str
    kind: str
    id: str
    version: int
    document: Mapping[str, Any]
    created_at: datetime
    operator: str


async def count(conn: AsyncConnection) -> int:
    return (await conn.execute(select(func.count()).select_from(definitions))).scalar_one()


async def read_all(conn: AsyncConnection) -> list[StoredDefinition]:
    """Read all versions, those of a definition in their order."""
    c = definitions.c
    query = select(*columns(definitions, StoredDefinition)).order_by(c.program_id, c.kind, c.id, c.version)
    return [from_row(StoredDefinition, row) for row in await conn.execute(query)]


async def lock(conn: AsyncConnection) -> None:
    """Keep others from adding versions until the transaction ends. Readers do not wait."""
    await conn.execute(_LOCK)


async def read_ids(conn: AsyncConnection, program_id: str) -> list[tuple[str, str]]:
    """Read (kind, id) of the definitions that operators added to a program."""
    c = definitions.c
    query = select(c.kind, c.id).where(c.program_id == program_id, c.version == 1).order_by(c.kind, c.id)
    return [(row.kind, row.id) for row in await conn.execute(query)]


async def read_newest(conn: AsyncConnection, program_id: str, kind: str, id_: str) -> StoredDefinition | None:
    """Read the newest version of a definition."""
    c = definitions.c
    query = (
        select(*columns(definitions, StoredDefinition))
        .where(c.program_id == program_id, c.kind == kind, c.id == id_)
        .order_by(c.version.desc())
        .limit(1)
    )
    row = (await conn.execute(query)).first()
    return None if row is None else from_row(StoredDefinition, row)


async def add(conn: AsyncConnection, definition: StoredDefinition) -> None:
    await conn.execute(insert(definitions).values(msgspec.structs.asdict(definition)))
