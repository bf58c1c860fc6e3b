"""The shop's events by their ids: a repeated id does nothing, and belongs to one event."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import EventKey
from engage.schema.orders import shop_events
from engage.schema.rows import Batch


class EventContent(msgspec.Struct, frozen=True):
    """The content of an event. `digest` is of all of it, and missing from events of earlier releases."""

    type: str
    time: datetime
    digest: bytes | None

    def is_same_as(self, other: "EventContent") -> bool:
        if self.digest is None or other.digest is None:
            return (self.type, self.time) == (other.type, other.time)
        return self.digest == other.digest


class RecordedEvent(msgspec.Struct, frozen=True):
    program_id: str
    event_id: str
    member_id: str
    content: EventContent

    @property
    def key(self) -> EventKey:
        return self.program_id, self.event_id


class IdsTaken(Exception):
    """Another call has recorded other events under these ids; the transaction must end."""

    def __init__(self, ids: set[EventKey]) -> None:
        super().__init__(sorted(ids))
        self.ids = ids


_IDS = Batch("k", shop_events, "program_id", "event_id")
_EVENTS = Batch("e", shop_events, "program_id", "event_id", "member_id", "type", "time", "content")

_ADD = text(f"""
INSERT INTO shop_events ({_EVENTS.columns}, received_at)
SELECT {_EVENTS.columns}, :now FROM {_EVENTS}
ORDER BY program_id COLLATE "C", event_id COLLATE "C"
ON CONFLICT DO NOTHING
""")  # noqa: S608  # Names of the schema, here and below.

_READ = text(f"""
SELECT e.program_id, e.event_id, e.type, e.time, e.content
FROM {_IDS} JOIN shop_events e USING (program_id, event_id)
""")  # noqa: S608


async def add_events(conn: AsyncConnection, events: Sequence[RecordedEvent], *, now: datetime) -> int:
    """Record events whose work is done; the number of those that no other call has recorded meanwhile.

    Raises IdsTaken where another call has recorded something else under an id.
    """
    rows = [
        (*event.key, event.member_id, event.content.type, event.content.time, event.content.digest)
        for event in events
    ]
    added = (await conn.execute(_ADD, _EVENTS.of(rows) | {"now": now})).rowcount
    if added < len(events):
        found = await read_recorded_events(conn, [event.key for event in events])
        taken = {event.key for event in events if not event.content.is_same_as(found[event.key])}
        if taken:
            raise IdsTaken(taken)
    return added


async def read_recorded_events(
    conn: AsyncConnection, ids: Iterable[EventKey]
) -> dict[EventKey, EventContent]:
    """Read what was recorded under these (program, event id)."""
    rows = await conn.execute(_READ, _IDS.of(ids))
    return {(program_id, event_id): EventContent(*content) for program_id, event_id, *content in rows}
