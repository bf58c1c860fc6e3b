"""Segments as operators see them: the newest version of each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from engage.domain.refusals import Code, Refusal
from engage.runtime.database import one_statement, transaction
from engage.runtime.services import Services
from engage.store.segments import lists
from engage.store.segments import segments as store


class SeveralPrograms(Exception):
    """Segments of several programs have the id."""


class SegmentView(Struct, frozen=True, kw_only=True):
    """The newest version of a segment, which is in force `since` an instant. `members` are those of its list,
    null where it is computed.
    """

    id: str
    program: str
    kind: Literal["list", "computed"]
    title: Mapping[str, str] | None
    members: int | None
    computed: Mapping[str, Any] | None
    version: int
    since: datetime
    changed_at: datetime
    operator: str


async def list_segments(
    services: Services, programs: Sequence[str], *, after: tuple[str, str], limit: int
) -> list[SegmentView]:
    """The segments of these programs after a (program, segment), in that order. Raises Unavailable."""
    async with transaction(services.db) as conn:
        return [_view(each) for each in await store.read_segments(conn, programs, after=after, limit=limit)]


async def list_segment_ids(services: Services, program_id: str, *, limit: int) -> list[str]:
    """The ids of a program's segments, the first ones. Counts nobody. Raises Unavailable."""
    async with one_statement(services.db) as conn:
        return (await store.read_ids(conn, program_id))[:limit]


async def read_segment(services: Services, programs: Sequence[str], segment_id: str) -> SegmentView:
    """The segment of that id in one of these programs.

    Raises SeveralPrograms; Refusal not_found; Unavailable.
    """
    async with transaction(services.db) as conn:
        found = await store.read_segments(conn, programs, segment_id=segment_id, limit=2)
    if not found:
        raise Refusal(Code.NOT_FOUND)
    if len(found) > 1:
        raise SeveralPrograms
    return _view(found[0])


async def list_members(services: Services, key: store.SegmentKey, *, after: str, limit: int) -> list[str]:
    """The members of a list after an id, in the order of their ids. Raises Unavailable."""
    async with one_statement(services.db) as conn:
        return await lists.read_listed(conn, key, after=after, limit=limit)


async def find_program(services: Services, programs: Sequence[str], segment_id: str) -> str | None:
    """The program among these that has a segment of that id, or the only one. None where neither is certain.

    Raises Unavailable.
    """
    if len(programs) == 1:
        return programs[0]
    async with transaction(services.db) as conn:
        found = await store.programs_with(conn, segment_id)
    having = [program for program in found if program in programs]
    return having[0] if len(having) == 1 else None


def _view(segment: store.Segment) -> SegmentView:
    return SegmentView(
        id=segment.segment_id,
        program=segment.program_id,
        kind="list" if segment.computed is None else "computed",
        title=segment.title,
        members=segment.members,
        computed=segment.computed,
        version=segment.version,
        since=segment.since,
        changed_at=segment.changed_at,
        operator=segment.operator,
    )
