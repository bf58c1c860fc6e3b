"""Published program versions. They are added and never changed."""

from datetime import date, datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.refusals import Code, Refusal


class PublishedVersion(msgspec.Struct, frozen=True):
    """A version's TOML, as it was published."""

    program_id: str
    version: str
    document: str


_READ = text("""
SELECT program_id, version, document FROM program_versions ORDER BY program_id, in_force_from, published_at
""")

_ADD = text("""
INSERT INTO program_versions (program_id, version, in_force_from, document, published_at)
VALUES (:program_id, :version, :in_force_from, :document, :now)
ON CONFLICT (program_id, version) DO NOTHING
RETURNING version
""")

_SAME = text("""
SELECT document = :document FROM program_versions WHERE program_id = :program_id AND version = :version
""")


async def read_all(conn: AsyncConnection) -> list[PublishedVersion]:
    return [PublishedVersion(*row) for row in await conn.execute(_READ)]


async def count(conn: AsyncConnection) -> int:
    found: int = (await conn.execute(text("SELECT count(*) FROM program_versions"))).scalar_one()
    return found


async def add(
    conn: AsyncConnection, published: PublishedVersion, *, in_force_from: date, now: datetime
) -> bool:
    """False when the very same document is there already. Raises Refusal version_exists for another one."""
    row = {"program_id": published.program_id, "version": published.version, "document": published.document}
    if (await conn.execute(_ADD, row | {"in_force_from": in_force_from, "now": now})).first() is not None:
        return True
    if (await conn.execute(_SAME, row)).scalar_one():
        return False
    raise Refusal(Code.VERSION_EXISTS, program=published.program_id, version=published.version)
