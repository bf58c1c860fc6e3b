"""Parts of backtests: ranges of members, each done by whoever has it locked.

The lock is held until the result is committed. It goes with its worker's connection, so the part of a worker
that has died, or hangs, is free again, and nothing of it was written.
"""

from typing import Final, Literal
from uuid import UUID

from msgspec import Struct
from sqlalchemy import ColumnElement, and_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.schema.backtests import backtest_parts
from engage.schema.rows import columns, from_row
from engage.store.backtests.jobs import BacktestKey

PartState = Literal["waiting", "decided", "closed"]

_LOCK_OPEN: Final = text("""
SELECT p.program_id, p.backtest_id, p.after_member FROM backtest_parts p
JOIN backtests b ON b.program_id = p.program_id AND b.id = p.backtest_id
WHERE b.state = 'running' AND (p.state = 'waiting' OR (p.state = 'decided' AND b.budget IS NOT NULL))
ORDER BY b.created_at, p.after_member LIMIT 1
FOR UPDATE OF p SKIP LOCKED
""")

_NTH_MEMBER: Final = text("""
SELECT member_id FROM members WHERE program_id = :program_id AND member_id > :after
ORDER BY member_id OFFSET :skipped LIMIT 1
""")

_REST: Final = text("""
SELECT max(member_id), count(*) FROM members WHERE program_id = :program_id AND member_id > :after
""")

_COUNT: Final = text("""
SELECT count(*) FROM members
WHERE program_id = :program_id AND member_id > :after AND member_id <= :until
""")

_DELETE: Final = text("""
DELETE FROM backtest_parts WHERE (program_id, backtest_id, after_member) IN (
    SELECT p.program_id, p.backtest_id, p.after_member FROM backtest_parts p
    JOIN backtests b ON b.program_id = p.program_id AND b.id = p.backtest_id
    WHERE b.state <> 'running' LIMIT :limit FOR UPDATE OF p SKIP LOCKED
)
""")


class Part(Struct, frozen=True, kw_only=True):
    """Members after the first id, up to the second; `members` of them."""

    program_id: str
    backtest_id: UUID
    after_member: str
    to_member: str
    members: int
    state: PartState = "waiting"

    @property
    def backtest(self) -> BacktestKey:
        return self.program_id, self.backtest_id


async def lock_open(conn: AsyncConnection) -> Part | None:
    """Lock the next part that something is to be done with, and that nobody else has locked."""
    key = (await conn.execute(_LOCK_OPEN)).first()
    if key is None:
        return None
    query = select(*columns(backtest_parts, Part)).where(_is(*key))
    return from_row(Part, (await conn.execute(query)).one())


async def add(conn: AsyncConnection, part: Part) -> None:
    values = {name: getattr(part, name) for name in Part.__struct_fields__}
    await conn.execute(insert(backtest_parts).values(values))


async def next_range(
    conn: AsyncConnection, key: BacktestKey, after: str, *, members: int
) -> tuple[Part | None, bool]:
    """The range of the next members of a program, and whether there are more after it."""
    program_id, id_ = key
    values = {"program_id": program_id, "after": after, "skipped": members - 1}
    last = (await conn.execute(_NTH_MEMBER, values)).scalar()
    if last is not None:
        part = Part(
            program_id=program_id, backtest_id=id_, after_member=after, to_member=last, members=members
        )
        return part, True
    last, count = (await conn.execute(_REST, {"program_id": program_id, "after": after})).one()
    if not count:
        return None, False
    part = Part(program_id=program_id, backtest_id=id_, after_member=after, to_member=last, members=count)
    return part, False


async def count_members(conn: AsyncConnection, program_id: str, *, after: str, until: str) -> int:
    found: int = (
        await conn.execute(_COUNT, {"program_id": program_id, "after": after, "until": until})
    ).scalar_one()
    return found


async def write(
    conn: AsyncConnection,
    part: Part,
    *,
    hours: bytes | None = None,
    entries: bytes | None = None,
    sums: bytes | None = None,
) -> None:
    """Write what a locked part has come to: its sums, or its entries where the budget is to decide first.
    Its range may have become shorter.
    """
    values = {
        "to_member": part.to_member,
        "members": part.members,
        "state": part.state,
        "hours": hours,
        "entries": entries,
        "sums": sums,
    }
    query = update(backtest_parts).where(_is(part.program_id, part.backtest_id, part.after_member))
    await conn.execute(query.values(values))


async def read_keys(conn: AsyncConnection, key: BacktestKey) -> list[str]:
    """Read the first ids of the parts of a backtest."""
    c = backtest_parts.c
    query = select(c.after_member).where(c.program_id == key[0], c.backtest_id == key[1])
    return list((await conn.execute(query.order_by(c.after_member))).scalars())


async def read_bytes(
    conn: AsyncConnection, key: BacktestKey, after: str, column: Literal["hours", "entries", "sums"]
) -> bytes:
    query = select(backtest_parts.c[column]).where(_is(*key, after))
    return bytes((await conn.execute(query)).scalar_one())


async def delete_ended(conn: AsyncConnection, *, limit: int) -> int:
    """Delete parts of backtests that have ended; how many."""
    return (await conn.execute(_DELETE, {"limit": limit})).rowcount


def _is(program_id: str, backtest_id: UUID, after_member: str) -> ColumnElement[bool]:
    c = backtest_parts.c
    return and_(c.program_id == program_id, c.backtest_id == backtest_id, c.after_member == after_member)
