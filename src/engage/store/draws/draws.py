"""Draws that somebody has entered, and their entries.

Entries take their numbers while the draw's row is locked, after the balances of their members. The freeze,
the drawing and a merger lock the row too; none of them locks a balance after it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.draws.definition import Post
from engage.domain.keys import DrawKey, MemberKey
from engage.schema.balances import balances
from engage.schema.draws import draw_entries, draws
from engage.schema.rows import Batch, columns, from_row, select_list

# The newest draws, for a list.
MOST_LISTED = 500


class DrawRow(msgspec.Struct, frozen=True, kw_only=True):
    """A draw as it began: `version` is that of its definition. Prizes that are `reserved` were taken from a
    budget. What follows `last_number` is known from the
    freeze on; a draw without entries has no root, and is void.
    """

    program_id: str
    draw_id: str
    version: str
    state: str
    closes_at: datetime
    round_after_s: int
    prizes: int
    points: int
    reserved: bool = False
    last_number: int = 0
    published_at: datetime | None = None
    entries: int | None = None
    root: str | None = None
    beacon: str | None = None
    public_key: str | None = None
    round: int | None = None
    round_at: datetime | None = None
    ask_at: datetime | None = None
    asked: int = 0
    signature: str | None = None
    drawn_at: datetime | None = None

    @property
    def key(self) -> DrawKey:
        return self.program_id, self.draw_id


class EntryRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry. `hash` is of `entered_as`, the member's id at the time, and of the salt."""

    program_id: str
    member_id: str
    draw_id: str
    number: int
    entry_id: UUID
    entered_as: str
    salt: str
    hash: str
    post: str | None
    entered_at: datetime


class EntryView(msgspec.Struct, frozen=True):
    """The entry of one member, which only they see."""

    entry_id: UUID
    number: int
    entered_as: str
    salt: str
    hash: str


class MemberEntry(msgspec.Struct, frozen=True):
    """An entry as operators see it. `member_id` has it now. `place` is that of a winner: 1 is drawn first."""

    program: str
    number: int
    member_id: str
    entered_at: datetime
    hash: str
    post: Post | None
    place: int | None
    paid_at: datetime | None


_MEMBERS = Batch("k", balances, "program_id", "member_id")
_KEYS = Batch("k", draws, "program_id", "draw_id")
_BEGUN = Batch(
    "b",
    draws,
    *("program_id", "draw_id", "version", "state", "closes_at", "round_after_s", "prizes", "points"),
    "reserved",
)
_NUMBERS = Batch("n", draws, "program_id", "draw_id", "last_number")
_OF = Batch("k", draw_entries, "program_id", "member_id", "draw_id")
_NEW = Batch(
    "a",
    draw_entries,
    *("program_id", "member_id", "draw_id", "number", "entry_id", "entered_as", "salt", "hash", "post"),
    "entered_at",
)

# A merger and an erasure lock balances first. So an entry is made before them, or finds the account closed.
_LOCK_MEMBERS = text(f"""
SELECT b.program_id, b.member_id, b.closed
FROM {_MEMBERS} JOIN balances b USING (program_id, member_id)
ORDER BY b.program_id, b.member_id
FOR SHARE OF b
""")  # noqa: S608  # Names of the schema, here and below.

_BEGIN = text(f"""
INSERT INTO draws ({_BEGUN.columns}) SELECT {_BEGUN.columns} FROM {_BEGUN}
ORDER BY b.program_id COLLATE "C", b.draw_id COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING program_id, draw_id
""")  # noqa: S608

_READ_BEGUN = text(f"""
SELECT d.program_id, d.draw_id FROM {_KEYS} JOIN draws d USING (program_id, draw_id)
""")  # noqa: S608

_LOCK = text(f"""
SELECT {select_list(DrawRow, "d")}
FROM {_KEYS} JOIN draws d USING (program_id, draw_id)
ORDER BY d.program_id, d.draw_id
FOR UPDATE OF d
""")  # noqa: S608

_ENTERED = text(f"""
SELECT e.program_id, e.member_id, e.draw_id, e.number
FROM {_OF} JOIN draw_entries e USING (program_id, member_id, draw_id)
""")  # noqa: S608

_ADD = text(f"""
WITH numbered AS (
    UPDATE draws d SET last_number = n.last_number
    FROM {_NUMBERS} WHERE d.program_id = n.program_id AND d.draw_id = n.draw_id
)
INSERT INTO draw_entries ({_NEW.columns}) SELECT {_NEW.columns} FROM {_NEW}
""")  # noqa: S608


_ENTRIES = text("""
SELECT e.program_id, e.number, e.member_id, e.entered_at, e.hash, e.post, l.place, e.paid_at
FROM draw_entries e LEFT JOIN draw_list l USING (program_id, draw_id, number)
WHERE e.program_id = :program_id AND e.draw_id = :draw_id
  AND (NOT :winners OR l.place IS NOT NULL) AND (CAST(:before AS bigint) IS NULL OR e.number < :before)
ORDER BY e.number DESC LIMIT :limit
""")


async def lock_members(conn: AsyncConnection, keys: Iterable[MemberKey]) -> dict[MemberKey, bool]:
    """Keep members from being merged or erased until the transaction ends; whether that has happened."""
    rows = await conn.execute(_LOCK_MEMBERS, _MEMBERS.of(sorted(set(keys))))
    return {(program_id, member_id): closed for program_id, member_id, closed in rows}


async def begin_draws(conn: AsyncConnection, begun: Iterable[DrawRow]) -> set[DrawKey]:
    """Add draws that are entered for the first time, unless somebody else has done so; those added."""
    return {(row[0], row[1]) for row in await conn.execute(_BEGIN, _BEGUN.of_structs(list(begun)))}


async def read_begun(conn: AsyncConnection, keys: Iterable[DrawKey]) -> set[DrawKey]:
    """Read which of these draws have begun."""
    return {(row[0], row[1]) for row in await conn.execute(_READ_BEGUN, _KEYS.of(sorted(set(keys))))}


async def lock_draws(conn: AsyncConnection, keys: Iterable[DrawKey]) -> dict[DrawKey, DrawRow]:
    """Lock draws until the transaction ends; those that nobody has entered are absent."""
    rows = await conn.execute(_LOCK, _KEYS.of(sorted(set(keys))))
    found = (from_row(DrawRow, row) for row in rows)
    return {draw.key: draw for draw in found}


async def read_entered(
    conn: AsyncConnection, entries: Iterable[tuple[str, str, str]]
) -> dict[tuple[str, str, str], int]:
    """Read the numbers of members in draws, by (program, member, draw), as far as they have entered."""
    rows = await conn.execute(_ENTERED, _OF.of(sorted(set(entries))))
    return {(program_id, member_id, draw_id): number for program_id, member_id, draw_id, number in rows}


async def add_entries(
    conn: AsyncConnection, entries: Sequence[EntryRow], last_numbers: dict[DrawKey, int]
) -> None:
    """Add entries of draws that are locked, and write the last number of each."""
    numbers = [(*key, last_numbers[key]) for key in sorted(last_numbers)]
    await conn.execute(_ADD, _NUMBERS.of(numbers) | _NEW.of_structs(entries))


async def read_draw(conn: AsyncConnection, key: DrawKey) -> DrawRow | None:
    c = draws.c
    query = select(*columns(draws, DrawRow)).where(c.program_id == key[0], c.draw_id == key[1])
    row = (await conn.execute(query)).first()
    return None if row is None else from_row(DrawRow, row)


async def read_draws(conn: AsyncConnection, program_ids: Sequence[str]) -> list[DrawRow]:
    """Read the draws of these programs that somebody has entered, those that close last first."""
    c = draws.c
    query = select(*columns(draws, DrawRow)).where(c.program_id.in_(program_ids))
    newest = query.order_by(c.closes_at.desc(), c.program_id, c.draw_id).limit(MOST_LISTED)
    return [from_row(DrawRow, row) for row in await conn.execute(newest)]


async def read_open_draws(conn: AsyncConnection, program_id: str) -> list[DrawRow]:
    """Read the draws of a program that are open, as far as somebody has entered."""
    c = draws.c
    query = select(*columns(draws, DrawRow)).where(c.program_id == program_id, c.state == "open")
    return [from_row(DrawRow, row) for row in await conn.execute(query.order_by(c.closes_at, c.draw_id))]


async def count_entries(conn: AsyncConnection, program_id: str, draw_ids: Sequence[str]) -> dict[str, int]:
    """Count the entries of draws that are open; a draw without any is absent."""
    c = draw_entries.c
    query = (
        select(c.draw_id, func.count().label("entries"))
        .where(c.program_id == program_id, c.draw_id.in_(draw_ids))
        .group_by(c.draw_id)
    )
    rows = await conn.execute(query)
    return {row.draw_id: row.entries for row in rows}


async def read_entry_of(conn: AsyncConnection, key: MemberKey, draw_id: str) -> EntryView | None:
    c = draw_entries.c
    query = select(*columns(draw_entries, EntryView)).where(
        c.program_id == key[0], c.member_id == key[1], c.draw_id == draw_id
    )
    row = (await conn.execute(query)).first()
    return None if row is None else from_row(EntryView, row)


async def list_entries(
    conn: AsyncConnection, key: DrawKey, *, winners: bool, before: int | None, limit: int
) -> list[MemberEntry]:
    """List entries, or those that have won, with a number below `before`, the highest first."""
    values = {"program_id": key[0], "draw_id": key[1], "winners": winners, "before": before, "limit": limit}
    return [
        MemberEntry(
            row.program_id,
            row.number,
            row.member_id,
            row.entered_at,
            row.hash,
            None if row.post is None else msgspec.convert(row.post, Post),
            row.place,
            row.paid_at,
        )
        for row in await conn.execute(_ENTRIES, values)
    ]


async def read_numbers_of(conn: AsyncConnection, key: MemberKey, draw_ids: Sequence[str]) -> dict[str, int]:
    """Read a member's numbers by draw."""
    found = await read_entered(conn, [(*key, draw_id) for draw_id in draw_ids])
    return {draw_id: number for (_, _, draw_id), number in found.items()}
