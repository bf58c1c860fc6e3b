"""Lists of segments, as requests and files bring them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from engage.domain.campaigns.segments import SegmentDocument
from engage.flows.segments.change import SegmentChange
from engage.flows.segments.define import define_segment
from engage.flows.segments.id_list import IDS_PER_REQUEST, IdList
from engage.flows.segments.replace_list import replace_list
from engage.runtime.database import one_statement
from engage.runtime.services import Services
from engage.store.segments.members import ListAt, read_stays
from tests.support.activities import PROGRAM
from tests.support.clock import advance
from tests.support.database import rows

SEGMENT = "loyal"


def id_list(*chunks: bytes, most: int = IDS_PER_REQUEST) -> IdList:
    ids = IdList(most=most)
    for chunk in chunks:
        ids.add(chunk)
    ids.close()
    return ids


async def put(
    services: Services, members: Iterable[str], segment_id: str = SEGMENT, *, program: str = PROGRAM
) -> SegmentChange:
    """Replace a list by these members, and stop at the instant from which on it is in force."""
    text = "".join(f"{member_id}\n" for member_id in ("member_id", *members))
    replaced = await put_text(services, text.encode(), segment_id, program=program)
    _advance_to(services, replaced.since)
    return replaced


async def put_text(
    services: Services, text: bytes, segment_id: str = SEGMENT, *, program: str = PROGRAM
) -> SegmentChange:
    with id_list(text) as ids:
        return await replace_list(services.db, services.clock, (program, segment_id), ids, operator="key")


async def members_at(
    services: Services, at: datetime, segment_id: str = SEGMENT, *, program: str = PROGRAM
) -> list[str]:
    """Those of all accounts that are in a list at an instant, as decisions see it."""
    known = await rows(services.db, "SELECT member_id FROM members WHERE program_id = :p", p=program)
    asked = ListAt(program, segment_id, at)
    async with one_statement(services.db) as conn:
        return sorted((await read_stays(conn, {asked: [str(id_) for (id_,) in known]}))[asked])


async def define(
    services: Services, conditions: Mapping[str, Any], segment_id: str = SEGMENT, *, program: str = PROGRAM
) -> SegmentChange:
    """Define a segment by conditions, and stop at the instant from which on they are in force."""
    document = msgspec.convert({"computed": conditions}, SegmentDocument)
    changed = await define_segment(services, (program, segment_id), document, operator="key")
    _advance_to(services, changed.since)
    return changed


def _advance_to(services: Services, at: datetime) -> None:
    if at > services.clock.now():
        advance(services, at - services.clock.now())
