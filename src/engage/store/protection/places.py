"""Places of velocity rules: which activities have one, decided by unique numbers."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement
from engage.domain.protection.suspicion import Place
from engage.domain.refusals import Unavailable
from engage.schema.protection import velocity_places as table
from engage.schema.rows import Batch
from engage.schema.time import NOW

# Turns in a row that others overtake. Each of them takes a place that one of the others wants.
TURNS: Final = 100

# Ended windows stay as long as an activity can come late, in whatever zone.
KEPT: Final = timedelta(days=2)
DELETED_AT_ONCE: Final = 10_000

_WANTED = Batch(
    "w",
    table,
    *("program_id", "rule_id", "source", "of_window", "member_id", "activity", "ends_at"),
    n="int",
    at_most="int",
)
_KEY = "program_id, rule_id, source, of_window"
_SAME = """p.program_id = w.program_id AND p.rule_id = w.rule_id AND p.source = w.source
    AND p.of_window = w.of_window"""

# A new one gets the next number of its window. Numbers are taken in their order and never given back, so one
# beyond the last place has found all of them taken. Two processes may choose the same number: the second one
# waits, gets nothing, and comes again.
_TAKE = DirectStatement(
    text(f"""
WITH wanted AS MATERIALIZED (
    SELECT w.*, (
        SELECT p.number FROM velocity_places p
        WHERE {_SAME} AND p.member_id = w.member_id AND p.activity = w.activity
    ) AS known
    FROM {_WANTED}
), fresh AS MATERIALIZED (
    SELECT w.*, row_number() OVER (PARTITION BY {_KEY} ORDER BY n) + coalesce((
        SELECT max(p.number) FROM velocity_places p WHERE {_SAME}
    ), 0) AS number
    FROM wanted w WHERE known IS NULL
), taken AS (
    INSERT INTO velocity_places ({_KEY}, number, member_id, activity, ends_at)
    SELECT {_KEY}, number, member_id, activity, ends_at FROM fresh WHERE number <= at_most
    ORDER BY {_KEY}, number
    ON CONFLICT DO NOTHING
    RETURNING {_KEY}, number
)
SELECT n, true FROM wanted WHERE known IS NOT NULL
UNION ALL SELECT f.n, true FROM fresh f JOIN taken USING ({_KEY}, number)
UNION ALL SELECT n, false FROM fresh WHERE number > at_most
""")  # noqa: S608  # Names of the schema, here and below.
)

_DELETE = text(f"""
DELETE FROM velocity_places WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM velocity_places WHERE ends_at <= {NOW} - CAST(:kept AS interval)
    ORDER BY ends_at LIMIT :most
))
""")  # noqa: S608

_NEXT = text("""
SELECT min(ends_at) + CAST(:kept AS interval) FROM velocity_places
WHERE ends_at > CAST(:after AS timestamptz) - CAST(:kept AS interval)
""")


async def take_places(conn: AsyncConnection, wanted: Sequence[Place]) -> list[bool]:
    """Tell which of these have a place now, each time they are asked for. Others get none in this window.

    On a connection that commits each statement: whoever takes places holds no locks. Raises Unavailable.
    """
    # Activities of one member on one device share a place, and ask for it once.
    distinct = {_identity(place): place for place in wanted}
    open_ = dict(enumerate(distinct.values()))
    found: dict[tuple[object, ...], bool] = {}
    for _ in range(TURNS):
        rows = await _TAKE.fetch(conn, _WANTED.of(_row(n, place) for n, place in open_.items()))
        for n, has_place in rows:
            found[_identity(open_.pop(n))] = has_place
        if not open_:
            return [found[_identity(place)] for place in wanted]
    raise Unavailable("postgres")


async def delete_ended(conn: AsyncConnection, *, now: datetime, ahead: timedelta) -> int:
    """Delete places of windows that are over; how many."""
    values = {"now": now, "ahead": ahead, "kept": KEPT, "most": DELETED_AT_ONCE}
    return (await conn.execute(_DELETE, values)).rowcount


async def next_end(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first time later than `after` at which places can be deleted."""
    at: datetime | None = (await conn.execute(_NEXT, {"after": after, "kept": KEPT})).scalar()
    return at


def _identity(place: Place) -> tuple[object, ...]:
    return place.program_id, place.rule.id, place.source, place.window, place.member_id, place.activity


def _row(n: int, place: Place) -> tuple[object, ...]:
    return (*_identity(place), place.ends_at, n, place.rule.at_most)
