"""Segments and their versions. A version is added and never changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.definition import Audience
from engage.domain.campaigns.segments import SegmentConditions
from engage.schema.rows import columns, from_row
from engage.schema.segments import segment_versions, segments

SegmentKey = tuple[str, str]  # Program and id.


class SegmentVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version, counted from 1. Without `computed` it is a list."""

    program_id: str
    segment_id: str
    version: int
    since: datetime
    title: Mapping[str, str] | None
    computed: Mapping[str, Any] | None
    changed_at: datetime
    operator: str


class Segment(SegmentVersion, frozen=True, kw_only=True):
    """The newest version of a segment. `members` are those of its list, None where it is computed."""

    members: int | None


# Those that are computed, or once were.
_READ_CONDITIONS = text("""
SELECT v.program_id, v.segment_id, v.since, v.computed
FROM segment_versions v
WHERE EXISTS (
    SELECT FROM segment_versions c
    WHERE c.program_id = v.program_id AND c.segment_id = v.segment_id AND c.computed IS NOT NULL
)
""")

# The members of the newest list are counted in an index: some 0.1 s for a million.
_READ = text("""
SELECT v.program_id, v.segment_id, v.version, v.since, v.title, v.computed, v.changed_at, v.operator,
       CASE WHEN v.computed IS NULL THEN (
           SELECT count(*) FROM segment_members m
           WHERE m.program_id = v.program_id AND m.segment_id = v.segment_id AND m.until IS NULL
       ) END
FROM (
    SELECT s.program_id, s.segment_id FROM segments s
    WHERE s.program_id = ANY(CAST(:program_ids AS text[]))
      AND (CAST(:segment_id AS text) IS NULL OR s.segment_id = :segment_id)
      AND (s.program_id, s.segment_id) > (CAST(:after_program AS text), CAST(:after_segment AS text))
    ORDER BY s.program_id, s.segment_id
    LIMIT :limit
) s
CROSS JOIN LATERAL (
    SELECT * FROM segment_versions v WHERE v.program_id = s.program_id AND v.segment_id = s.segment_id
    ORDER BY v.version DESC LIMIT 1
) v
ORDER BY v.program_id, v.segment_id
""")


async def lock(conn: AsyncConnection, key: SegmentKey) -> SegmentVersion | None:
    """Let nobody else change a segment, nor merge or erase members, until the transaction ends.

    Return its newest version; None for a segment that is new.
    """
    # Adding a row waits for mergers and erasures, even where there is one already.
    row = {"program_id": key[0], "segment_id": key[1]}
    await conn.execute(insert(segments).values(row).on_conflict_do_nothing())
    of_segment = segments.c.program_id == key[0], segments.c.segment_id == key[1]
    await conn.execute(select(segments.c.segment_id).where(*of_segment).with_for_update())
    c = segment_versions.c
    newest = (
        select(*columns(segment_versions, SegmentVersion))
        .where(c.program_id == key[0], c.segment_id == key[1])
        .order_by(c.version.desc())
        .limit(1)
    )
    found = (await conn.execute(newest)).first()
    return None if found is None else from_row(SegmentVersion, found)


async def add_version(conn: AsyncConnection, version: SegmentVersion) -> None:
    """Add a version of a segment that is locked."""
    await conn.execute(insert(segment_versions).values(msgspec.structs.asdict(version)))


async def read_ids(conn: AsyncConnection, program_id: str) -> list[str]:
    """Read the ids of a program's segments."""
    query = select(segments.c.segment_id).where(segments.c.program_id == program_id)
    return list((await conn.execute(query.order_by(segments.c.segment_id))).scalars())


async def programs_with(conn: AsyncConnection, segment_id: str) -> list[str]:
    """The programs that have a segment of this id."""
    query = select(segments.c.program_id).where(segments.c.segment_id == segment_id)
    return list((await conn.execute(query)).scalars())


async def read_conditions(conn: AsyncConnection) -> dict[str, list[SegmentConditions]]:
    """Read all versions of the segments that are computed, or once were, by program."""
    found: dict[str, list[SegmentConditions]] = {}
    for program_id, segment_id, since, computed in await conn.execute(_READ_CONDITIONS):
        audience = None if computed is None else msgspec.convert(computed, Audience)
        found.setdefault(program_id, []).append(SegmentConditions(segment_id, since, audience))
    return found


async def read_segments(
    conn: AsyncConnection,
    program_ids: Sequence[str],
    *,
    segment_id: str | None = None,
    after: SegmentKey = ("", ""),
    limit: int,
) -> list[Segment]:
    """Read the segments of programs, or those with this id, after a (program, segment), in that order."""
    rows = await conn.execute(
        _READ,
        {
            "program_ids": list(program_ids),
            "segment_id": segment_id,
            "after_program": after[0],
            "after_segment": after[1],
            "limit": limit,
        },
    )
    return [from_row(Segment, row) for row in rows]
