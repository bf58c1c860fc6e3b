"""The shop's events by their ids: a repeated id does nothing."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import EventKey
from engage.schema.orders import shop_events
from engage.schema.rows import Batch


class RecordedEvent(msgspec.Struct, frozen=True):
    program_id: str
    event_id: str
    type: str
    member_id: str
    time: datetime


_IDS = Batch("k", shop_events, "program_id", "event_id")
_EVENTS = Batch("e", shop_events, *RecordedEvent.__struct_fields__)

_ADD = text(f"""
INSERT INTO shop_events ({_EVENTS.columns}, received_at)
SELECT {_EVENTS.columns}, :now FROM {_EVENTS}
ORDER BY program_id COLLATE "C", event_id COLLATE "C"
ON CONFLICT DO NOTHING
""")  # noqa: S608  # Names of the schema, here and below.

_READ = text(f"""
SELECT e.program_id, e.event_id FROM {_IDS} JOIN shop_events e USING (program_id, event_id)
""")  # noqa: S608


async def add_events(conn: AsyncConnection, events: Sequence[RecordedEvent], *, now: datetime) -> int:
    """Record events whose work is done; the number of those that were not recorded meanwhile."""
    return (await conn.execute(_ADD, _EVENTS.of_structs(events) | {"now": now})).rowcount


async def read_recorded_events(conn: AsyncConnection, ids: Sequence[EventKey]) -> set[EventKey]:
    """Read which of these (program, event id) were recorded before."""
    rows = await conn.execute(_READ, _IDS.of(ids))
    return {(program_id, event_id) for program_id, event_id in rows}
