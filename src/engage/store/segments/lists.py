"""Lists as they are written: ids come by COPY into a temporary table, and set-based statements compare them
with the list that there is.
"""

from datetime import datetime
from typing import BinaryIO, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.store.segments.segments import SegmentKey

# Sorts and hashes of a million ids stay in memory.
_WORK_MEMORY: Final = text("SET LOCAL work_mem = '128MB'")

_LISTED: Final = text("""
CREATE TEMPORARY TABLE listed (line integer NOT NULL, given text COLLATE "C" NOT NULL) ON COMMIT DROP
""")
_ANALYZE_LISTED: Final = text("ANALYZE listed")

# A member who was merged is listed as the survivor. Erased ones are nobody.
_RESOLVE: Final = text("""
CREATE TEMPORARY TABLE resolved ON COMMIT DROP AS
SELECT l.line, l.given, coalesce(m.merged_into, m.member_id) AS member_id
FROM listed l
LEFT JOIN members m ON m.program_id = :program_id AND m.member_id = l.given AND m.erased_at IS NULL
""")
_ANALYZE_RESOLVED: Final = text("ANALYZE resolved")

_COMPARE: Final = text("""
CREATE TEMPORARY TABLE differences ON COMMIT DROP AS
SELECT coalesce(n.member_id, o.member_id) AS member_id, n.member_id IS NOT NULL AS is_added
FROM (SELECT DISTINCT member_id FROM resolved WHERE member_id IS NOT NULL) n
FULL JOIN (
    SELECT member_id FROM segment_members
    WHERE program_id = :program_id AND segment_id = :segment_id AND until IS NULL
) o USING (member_id)
WHERE n.member_id IS NULL OR o.member_id IS NULL
""")
_ANALYZE_DIFFERENCES: Final = text("ANALYZE differences")

_COUNT: Final = text("""
SELECT
    (SELECT count(DISTINCT member_id) FROM resolved),
    (SELECT count(*) FROM resolved WHERE member_id IS NOT NULL),
    (SELECT count(*) FROM resolved WHERE member_id IS NULL),
    (SELECT count(*) FROM differences WHERE is_added),
    (SELECT count(*) FROM differences WHERE NOT is_added)
""")

_UNKNOWN: Final = text("""
SELECT line, given FROM resolved WHERE member_id IS NULL ORDER BY line LIMIT :limit
""")

_END: Final = text("""
UPDATE segment_members m SET until = :at
FROM differences d
WHERE NOT d.is_added AND m.program_id = :program_id AND m.segment_id = :segment_id
  AND m.member_id = d.member_id AND m.until IS NULL
""")

_COUNT_LISTED: Final = text("""
SELECT count(*) FROM segment_members
WHERE program_id = :program_id AND segment_id = :segment_id AND until IS NULL
""")

_READ_LISTED: Final = text("""
SELECT member_id FROM segment_members
WHERE program_id = :program_id AND segment_id = :segment_id AND until IS NULL AND member_id > :after
ORDER BY member_id LIMIT :limit
""")

_END_ALL: Final = text("""
UPDATE segment_members SET until = :at
WHERE program_id = :program_id AND segment_id = :segment_id AND until IS NULL
""")

_BEGIN: Final = text("""
INSERT INTO segment_members (program_id, member_id, segment_id, since)
SELECT :program_id, member_id, :segment_id, :at FROM differences WHERE is_added ORDER BY member_id
""")


class ListCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Members of a list, lines that name one again, lines of nobody; members added and removed."""

    members: int
    repeated: int
    unknown: int
    added: int
    removed: int


class UnknownId(msgspec.Struct, frozen=True):
    """An id of no member of the program, or of one who was erased."""

    line: int
    member_id: str


async def read_listed(conn: AsyncConnection, key: SegmentKey, *, after: str, limit: int) -> list[str]:
    """Read the members of a list after an id."""
    values = {"program_id": key[0], "segment_id": key[1], "after": after, "limit": limit}
    return list((await conn.execute(_READ_LISTED, values)).scalars())


async def load(conn: AsyncConnection, lines: BinaryIO) -> None:
    """Load rows of a line number and an id, in the text format of COPY, for this transaction."""
    await conn.execute(_WORK_MEMORY)
    await conn.execute(_LISTED)
    driver = (await conn.get_raw_connection()).driver_connection
    assert driver is not None
    await driver.copy_to_table("listed", source=lines, columns=("line", "given"), format="text")
    await conn.execute(_ANALYZE_LISTED)


async def compare(conn: AsyncConnection, key: SegmentKey) -> ListCounts:
    """Compare what was loaded with the list of a segment that is locked."""
    await conn.execute(_RESOLVE, {"program_id": key[0]})
    await conn.execute(_ANALYZE_RESOLVED)
    await conn.execute(_COMPARE, {"program_id": key[0], "segment_id": key[1]})
    await conn.execute(_ANALYZE_DIFFERENCES)
    members, lines, unknown, added, removed = (await conn.execute(_COUNT)).one()
    return ListCounts(
        members=members, repeated=lines - members, unknown=unknown, added=added, removed=removed
    )


async def read_unknown(conn: AsyncConnection, *, limit: int) -> list[UnknownId]:
    """Read the first ids of nobody, in the order of their lines."""
    return [UnknownId(line, given) for line, given in await conn.execute(_UNKNOWN, {"limit": limit})]


async def write(conn: AsyncConnection, key: SegmentKey, *, at: datetime) -> None:
    """Replace the list from an instant on: end the stays of the removed and begin those of the added."""
    values = {"program_id": key[0], "segment_id": key[1], "at": at}
    await conn.execute(_END, values)
    await conn.execute(_BEGIN, values)


async def count_listed(conn: AsyncConnection, key: SegmentKey) -> int:
    """Count the members of the newest list."""
    counted = await conn.execute(_COUNT_LISTED, {"program_id": key[0], "segment_id": key[1]})
    members: int = counted.scalar_one()
    return members


async def end_list(conn: AsyncConnection, key: SegmentKey, *, at: datetime) -> None:
    """End all stays in the list of a segment that is locked."""
    await conn.execute(_END_ALL, {"program_id": key[0], "segment_id": key[1], "at": at})
