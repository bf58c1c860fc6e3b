"""The next birthdays of members."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.schema.members import members
from engage.schema.rows import Batch, from_row, select_list
from engage.schema.time import is_due

MEMBERS_PER_BATCH = 500


class BornMember(msgspec.Struct, frozen=True):
    """A member whose birth date is known."""

    program_id: str
    member_id: str
    country: str
    birth_date: date
    joined_at: datetime
    birthday_at: datetime | None

    @property
    def key(self) -> MemberKey:
        return self.program_id, self.member_id


_TIMES = Batch("t", members, "program_id", "member_id", "birthday_at", was="timestamptz")

_UNKNOWN = text(f"""
SELECT {select_list(BornMember, "m")} FROM members m
WHERE m.program_id = ANY(:programs) AND m.birth_date IS NOT NULL AND m.birthday_at IS NULL
  AND m.closed_at IS NULL
LIMIT :limit
""")  # noqa: S608  # Names of the schema, here and below.

_DUE = text(f"""
SELECT {select_list(BornMember, "m")} FROM members m
WHERE {is_due("m.birthday_at")} AND m.closed_at IS NULL
ORDER BY m.birthday_at LIMIT :limit
""")  # noqa: S608

# Nothing is written of a member who was erased, or whom another worker has dealt with.
_SET = text(f"""
UPDATE members m SET birthday_at = t.birthday_at FROM {_TIMES}
WHERE m.program_id = t.program_id AND m.member_id = t.member_id AND m.birth_date IS NOT NULL
  AND m.birthday_at IS NOT DISTINCT FROM t.was
""")  # noqa: S608

_NEXT = text("SELECT min(birthday_at) FROM members WHERE birthday_at > :after AND closed_at IS NULL")


async def read_unknown(conn: AsyncConnection, programs: Sequence[str]) -> list[BornMember]:
    """Read members of these programs whose next birthday is not known yet, some at a time."""
    rows = await conn.execute(_UNKNOWN, {"programs": list(programs), "limit": MEMBERS_PER_BATCH})
    return [from_row(BornMember, row) for row in rows]


async def read_due(
    conn: AsyncConnection, *, now: datetime, ahead: timedelta, on_time: bool
) -> list[BornMember]:
    """Read members whose birthday has begun, the earliest first, some at a time."""
    values = {"now": now, "ahead": ahead, "on_time": on_time, "limit": MEMBERS_PER_BATCH}
    return [from_row(BornMember, row) for row in await conn.execute(_DUE, values)]


async def set_birthdays(conn: AsyncConnection, times: Sequence[tuple[BornMember, datetime | None]]) -> None:
    """Set when the next birthdays begin; None where nobody has to know any more."""
    await conn.execute(_SET, _TIMES.of((*m.key, at, m.birthday_at) for m, at in times))


async def next_birthday(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first time later than `after` at which a birthday begins."""
    at: datetime | None = (await conn.execute(_NEXT, {"after": after})).scalar()
    return at
