"""The freeze, the drawing and the prizes of draws, each of which falls due at some time."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.draws.commitment import ListedEntry
from engage.domain.keys import DrawKey
from engage.schema.draws import draw_entries, draw_list
from engage.schema.rows import Batch, from_row, select_list
from engage.schema.time import is_due
from engage.store.draws.draws import DrawRow


class Prize(msgspec.Struct, frozen=True, kw_only=True):
    """A prize that is due to the member who has the winning entry now: a merger may have moved it, or the
    member.
    """

    program_id: str
    member_id: str
    draw_id: str
    number: int
    prize_at: datetime


_PLACES = Batch("w", draw_list, "number", "place")
_PAID = Batch("p", draw_entries, "program_id", "draw_id", "number")
_DRAW = select_list(DrawRow, "d")

_LOCK_CLOSING = text(f"""
SELECT {_DRAW} FROM draws d WHERE d.state = 'open' AND {is_due("d.closes_at")}
ORDER BY d.closes_at LIMIT 1 FOR UPDATE
""")  # noqa: S608  # Names of the schema, here and below.

_LIST = text("""
WITH listed AS (
    INSERT INTO draw_list (program_id, draw_id, number, hash)
    SELECT e.program_id, e.draw_id, e.number, e.hash FROM draw_entries e
    WHERE e.program_id = :program_id AND e.draw_id = :draw_id
    RETURNING number, hash
)
SELECT number, hash FROM listed ORDER BY number
""")

_FREEZE = text("""
UPDATE draws SET state = 'frozen', published_at = :published_at, entries = :entries, root = :root,
                 beacon = :beacon, public_key = :public_key, round = :round, round_at = :round_at,
                 ask_at = :round_at
WHERE program_id = :program_id AND draw_id = :draw_id
""")

_VOID = text("""
UPDATE draws SET state = 'void', ask_at = NULL, published_at = coalesce(published_at, :at),
                 entries = coalesce(entries, 0)
WHERE program_id = :program_id AND draw_id = :draw_id
""")

_LOCK_ASKING = text(f"""
SELECT {_DRAW} FROM draws d WHERE d.state = 'frozen' AND {is_due("d.ask_at")}
ORDER BY d.ask_at LIMIT 1 FOR UPDATE SKIP LOCKED
""")  # noqa: S608

_POSTPONE = text("""
UPDATE draws SET ask_at = :ask_at, asked = asked + 1 WHERE program_id = :program_id AND draw_id = :draw_id
""")

_DRAWN = text(f"""
WITH winners AS MATERIALIZED (
    SELECT * FROM {_PLACES}
), placed AS (
    UPDATE draw_list l SET place = w.place FROM winners w
    WHERE l.program_id = :program_id AND l.draw_id = :draw_id AND l.number = w.number
), won AS (
    UPDATE draw_entries e SET prize_at = :at FROM winners w
    WHERE e.program_id = :program_id AND e.draw_id = :draw_id AND e.number = w.number
)
UPDATE draws SET state = 'drawn', signature = :signature, drawn_at = :at, ask_at = NULL
WHERE program_id = :program_id AND draw_id = :draw_id
""")  # noqa: S608

_READ_LIST = text("""
SELECT number, hash FROM draw_list WHERE program_id = :program_id AND draw_id = :draw_id ORDER BY number
""")

# As msgspec writes a ListedEntry. The list of a large draw is millions of bytes: PostgreSQL puts it together
# while this process answers others.
_LIST_TEXT = text("""
SELECT '[' || coalesce(
    string_agg('{"number":' || number || ',"hash":"' || hash || '"}', ',' ORDER BY number), ''
) || ']'
FROM draw_list WHERE program_id = :program_id AND draw_id = :draw_id
""")

_WINNERS = text("""
SELECT number FROM draw_list
WHERE program_id = :program_id AND draw_id = :draw_id AND place IS NOT NULL ORDER BY place
""")

# Entries of members who were merged after the freeze still have the old id where the survivor has an entry of
# their own. Those of erased members are gone.
_UNPAID = text(f"""
SELECT e.program_id, coalesce(m.merged_into, e.member_id) AS member_id, e.draw_id, e.number, e.prize_at
FROM draw_entries e JOIN members m USING (program_id, member_id)
WHERE e.prize_at IS NOT NULL AND e.paid_at IS NULL AND NOT e.withheld AND {is_due("e.prize_at")}
ORDER BY e.prize_at, e.program_id, e.draw_id, e.number LIMIT :limit
""")  # noqa: S608

_MARK_PAID = text(f"""
UPDATE draw_entries e SET paid_at = greatest(:at, e.prize_at)
FROM {_PAID} WHERE e.program_id = p.program_id AND e.draw_id = p.draw_id AND e.number = p.number
""")  # noqa: S608

_WITHHOLD = text(f"""
UPDATE draw_entries e SET withheld = true
FROM {_PAID} WHERE e.program_id = p.program_id AND e.draw_id = p.draw_id AND e.number = p.number
  AND NOT e.withheld
RETURNING e.program_id, e.draw_id
""")  # noqa: S608

_POSTPONE_PRIZES = text(f"""
UPDATE draw_entries e SET prize_at = :at
FROM {_PAID} WHERE e.program_id = p.program_id AND e.draw_id = p.draw_id AND e.number = p.number
""")  # noqa: S608

_NEXT_CLOSING = text("SELECT min(closes_at) FROM draws WHERE state = 'open' AND closes_at > :after")
_NEXT_ASKING = text("SELECT min(ask_at) FROM draws WHERE state = 'frozen' AND ask_at > :after")
_NEXT_PRIZE = text("""
SELECT min(prize_at) FROM draw_entries
WHERE prize_at IS NOT NULL AND paid_at IS NULL AND NOT withheld AND prize_at > :after
""")


async def lock_closing(
    conn: AsyncConnection, *, now: datetime, ahead: timedelta, on_time: bool
) -> DrawRow | None:
    """Lock a draw that has closed and is not frozen yet. Waits for entries that are being made."""
    return await _first(conn, _LOCK_CLOSING, now=now, ahead=ahead, on_time=on_time)


async def list_entries(conn: AsyncConnection, key: DrawKey) -> list[ListedEntry]:
    """Make the frozen list of the entries that there are; return it by number."""
    return [ListedEntry(number, hash_) for number, hash_ in await conn.execute(_LIST, _of(key))]


async def freeze(conn: AsyncConnection, frozen: DrawRow) -> None:
    """Write what a freeze has found of a draw that is locked."""
    await conn.execute(_FREEZE, msgspec.structs.asdict(frozen))


async def void(conn: AsyncConnection, key: DrawKey, *, at: datetime) -> None:
    """Void a draw that is locked: it has no entries, or no round has come."""
    await conn.execute(_VOID, _of(key) | {"at": at})


async def lock_asking(
    conn: AsyncConnection, *, now: datetime, ahead: timedelta, on_time: bool
) -> DrawRow | None:
    """Lock a frozen draw whose round may be out, as far as nobody else has it."""
    return await _first(conn, _LOCK_ASKING, now=now, ahead=ahead, on_time=on_time)


async def postpone(conn: AsyncConnection, key: DrawKey, *, until: datetime) -> None:
    """Ask for the round of a draw that is locked again, later."""
    await conn.execute(_POSTPONE, _of(key) | {"ask_at": until})


async def draw(
    conn: AsyncConnection, key: DrawKey, winners: Sequence[int], *, signature: str, at: datetime
) -> None:
    """Write the winners of a draw that is locked, in the order in which they were drawn."""
    places = _PLACES.of((number, place) for place, number in enumerate(winners, start=1))
    await conn.execute(_DRAWN, _of(key) | places | {"signature": signature, "at": at})


async def read_list(conn: AsyncConnection, key: DrawKey) -> list[ListedEntry]:
    """Read the frozen list, by number."""
    return [ListedEntry(number, hash_) for number, hash_ in await conn.execute(_READ_LIST, _of(key))]


async def read_list_text(conn: AsyncConnection, key: DrawKey) -> bytes:
    """Read the frozen list as JSON."""
    listed: str = (await conn.execute(_LIST_TEXT, _of(key))).scalar_one()
    return listed.encode()


async def read_winners(conn: AsyncConnection, key: DrawKey) -> list[int]:
    """Read the numbers that have won, in the order in which they were drawn."""
    return list((await conn.execute(_WINNERS, _of(key))).scalars())


async def read_unpaid(
    conn: AsyncConnection, *, now: datetime, ahead: timedelta, on_time: bool, limit: int
) -> list[Prize]:
    """Read prizes that are due and not paid."""
    values = {"now": now, "ahead": ahead, "on_time": on_time, "limit": limit}
    return [from_row(Prize, row) for row in await conn.execute(_UNPAID, values)]


async def mark_paid(conn: AsyncConnection, prizes: Sequence[Prize], *, at: datetime) -> None:
    """Note that prizes were paid, in the transaction that has accepted their credits."""
    await conn.execute(_MARK_PAID, _PAID.of_structs(prizes) | {"at": at})


async def withhold(conn: AsyncConnection, prizes: Sequence[Prize]) -> Counter[DrawKey]:
    """Note that prizes are not paid; how many of each draw nobody has withheld before."""
    rows = await conn.execute(_WITHHOLD, _PAID.of_structs(prizes))
    return Counter((row[0], row[1]) for row in rows)


async def postpone_prizes(conn: AsyncConnection, prizes: Sequence[Prize], *, until: datetime) -> None:
    """Pay prizes later, which an account has no place for now."""
    await conn.execute(_POSTPONE_PRIZES, _PAID.of_structs(prizes) | {"at": until})


async def next_closing(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    return await _next(conn, _NEXT_CLOSING, after)


async def next_asking(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    return await _next(conn, _NEXT_ASKING, after)


async def next_prize(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    return await _next(conn, _NEXT_PRIZE, after)


async def _first(conn: AsyncConnection, query: TextClause, **values: object) -> DrawRow | None:
    row = (await conn.execute(query, values)).first()
    return None if row is None else from_row(DrawRow, row)


async def _next(conn: AsyncConnection, query: TextClause, after: datetime) -> datetime | None:
    found: datetime | None = (await conn.execute(query, {"after": after})).scalar()
    return found


def _of(key: DrawKey) -> dict[str, object]:
    return {"program_id": key[0], "draw_id": key[1]}
