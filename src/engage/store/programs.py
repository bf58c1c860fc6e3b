"""Published program versions. They are added and never changed."""

from datetime import date, datetime

import msgspec
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.refusals import Code, Refusal
from engage.schema.programs import program_versions
from engage.schema.rows import columns, from_row

_LOCK = text("LOCK TABLE program_versions IN SHARE ROW EXCLUSIVE MODE")


class PublishedVersion(msgspec.Struct, frozen=True):
    """A version's TOML, as it was published."""

    program_id: str
    version: str
    document: str


async def read_all(conn: AsyncConnection) -> list[PublishedVersion]:
    """Read all versions, those of a program in the order in which they are in force."""
    versions = program_versions.c
    query = select(*columns(program_versions, PublishedVersion)).order_by(
        versions.program_id, versions.in_force_from, versions.published_at
    )
    return [from_row(PublishedVersion, row) for row in await conn.execute(query)]


async def lock(conn: AsyncConnection) -> None:
    """Keep others from publishing until the transaction ends. Readers do not wait."""
    await conn.execute(_LOCK)


async def count(conn: AsyncConnection) -> int:
    return (await conn.execute(select(func.count()).select_from(program_versions))).scalar_one()


async def add(
    conn: AsyncConnection, published: PublishedVersion, *, in_force_from: date, now: datetime
) -> bool:
    """Add a version; False when the very same document is stored already.

    Raises Refusal version_exists when another document is stored under its name.
    """
    row = msgspec.structs.asdict(published) | {"in_force_from": in_force_from, "published_at": now}
    added = await conn.execute(
        insert(program_versions).values(row).on_conflict_do_nothing().returning(program_versions.c.version)
    )
    if added.first() is not None:
        return True
    stored = await conn.execute(
        select(program_versions.c.document).where(
            program_versions.c.program_id == published.program_id,
            program_versions.c.version == published.version,
        )
    )
    if stored.scalar_one() == published.document:
        return False
    raise Refusal(Code.VERSION_EXISTS, program=published.program_id, version=published.version)
