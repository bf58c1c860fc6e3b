"""The shop's events by their ids: a repeated id does nothing."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


class RecordedEvent(msgspec.Struct, frozen=True):
    program_id: str
    event_id: str
    type: str
    member_id: str
    time: datetime


_ADD = text("""
INSERT INTO shop_events (program_id, event_id, type, member_id, time, received_at)
SELECT e.program_id, e.event_id, e.type, e.member_id, e.time, :now
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:event_ids AS text[]), CAST(:types AS text[]),
    CAST(:member_ids AS text[]), CAST(:times AS timestamptz[])
) AS e (program_id, event_id, type, member_id, time)
ORDER BY e.program_id COLLATE "C", e.event_id COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING 1
""")


async def add_events(conn: AsyncConnection, events: Sequence[RecordedEvent], *, now: datetime) -> int:
    """Keeps the ids of events whose work is done; how many nobody has kept meanwhile."""
    rows = await conn.execute(
        _ADD,
        {
            "program_ids": [e.program_id for e in events],
            "event_ids": [e.event_id for e in events],
            "types": [e.type for e in events],
            "member_ids": [e.member_id for e in events],
            "times": [e.time for e in events],
            "now": now,
        },
    )
    return len(rows.all())


_SEEN = text("""
SELECT e.program_id, e.event_id
FROM unnest(CAST(:program_ids AS text[]), CAST(:event_ids AS text[])) AS k (program_id, event_id)
JOIN shop_events e USING (program_id, event_id)
""")


async def read_recorded_events(conn: AsyncConnection, ids: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of these (program, event id) that were done before."""
    rows = await conn.execute(_SEEN, {"program_ids": [p for p, _ in ids], "event_ids": [e for _, e in ids]})
    return {(program_id, event_id) for program_id, event_id in rows}
