"""The names that members chose to be called on leaderboards."""

from collections.abc import Iterable

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement
from engage.domain.keys import MemberKey
from engage.schema.leaderboards import display_names as table
from engage.schema.rows import of_member

_WRITE = text("""
INSERT INTO display_names (program_id, member_id, name) VALUES (:program_id, :member_id, :name)
ON CONFLICT (program_id, member_id) DO UPDATE SET name = excluded.name
""")

_READ = DirectStatement(
    text("""
SELECT member_id, name FROM display_names
WHERE program_id = CAST(:program_id AS text) AND member_id = ANY(CAST(:member_ids AS text[]))
""")
)


async def write_name(conn: AsyncConnection, key: MemberKey, name: str) -> None:
    await conn.execute(_WRITE, {"program_id": key[0], "member_id": key[1], "name": name})


async def delete_name(conn: AsyncConnection, key: MemberKey) -> None:
    await conn.execute(delete(table).where(of_member(table, key)))


async def read_names(conn: AsyncConnection, program_id: str, member_ids: Iterable[str]) -> dict[str, str]:
    """Read names by member; members without one are absent."""
    rows = await _READ.fetch(conn, {"program_id": program_id, "member_ids": sorted(set(member_ids))})
    return {member_id: name for member_id, name in rows}  # noqa: C416  # The driver's own rows.
