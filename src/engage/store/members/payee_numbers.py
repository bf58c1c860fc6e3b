"""Phone numbers that money may go to, and since when each is a member's."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import delete, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.schema.members import payee_numbers
from engage.schema.rows import of_member

# Beside the registered one. Who names more loses those first named.
NUMBERS_PER_MEMBER: Final = 16

# With the number that is asked for, or with the registered one.
_READ = text("""
SELECT coalesce(CAST(:number AS text), m.phone) AS phone, n.phone IS NOT NULL, n.since
FROM members m
LEFT JOIN payee_numbers n ON n.program_id = m.program_id AND n.member_id = m.member_id
                         AND n.phone = coalesce(CAST(:number AS text), m.phone)
WHERE m.program_id = :program_id AND m.member_id = :member_id AND m.closed_at IS NULL
""")

_ADD = text("""
INSERT INTO payee_numbers (program_id, member_id, phone, since)
SELECT program_id, member_id, CAST(:number AS text), :now FROM members
WHERE program_id = :program_id AND member_id = :member_id AND closed_at IS NULL
ON CONFLICT DO NOTHING
""")

_DROP_OLDEST = text("""
DELETE FROM payee_numbers d USING (
    SELECT n.phone FROM payee_numbers n JOIN members m USING (program_id, member_id)
    WHERE n.program_id = :program_id AND n.member_id = :member_id AND n.phone IS DISTINCT FROM m.phone
    ORDER BY n.since DESC NULLS LAST OFFSET :most
) o
WHERE d.program_id = :program_id AND d.member_id = :member_id AND d.phone = o.phone
""")


class Payee(Struct, frozen=True):
    """A number that money is to go to, if there is one; whether it is `known`, and since when. A known number
    without `since` is the one with which the member joined.
    """

    phone: str | None
    known: bool
    since: datetime | None


async def read_payee(conn: AsyncConnection, key: MemberKey, number: str | None) -> Payee | None:
    """Read the age of a number in E.164, or of the member's own; None for an unknown or former member."""
    values = {"program_id": key[0], "member_id": key[1], "number": number}
    row = (await conn.execute(_READ, values)).one_or_none()
    return None if row is None else Payee(*row)


async def add_joined_with(conn: AsyncConnection, numbers: Sequence[tuple[MemberKey, str]]) -> None:
    """Add the numbers with which new members join."""
    if numbers:
        rows = [
            {"program_id": key[0], "member_id": key[1], "phone": phone, "since": None}
            for key, phone in numbers
        ]
        await conn.execute(insert(payee_numbers), rows)


async def add_number(conn: AsyncConnection, key: MemberKey, number: str, *, now: datetime) -> None:
    """Add a number that the member names now. One that is known keeps its age."""
    values = {"program_id": key[0], "member_id": key[1]}
    await conn.execute(_ADD, values | {"number": number, "now": now})
    await conn.execute(_DROP_OLDEST, values | {"most": NUMBERS_PER_MEMBER})


async def forget_number(conn: AsyncConnection, key: MemberKey, number: str) -> None:
    """Forget a number that is no longer the member's. It is new when it is named again."""
    await conn.execute(
        delete(payee_numbers).where(of_member(payee_numbers, key), payee_numbers.c.phone == number)
    )
