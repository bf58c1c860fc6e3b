"""The codes that members invite friends by: unique in a program, one for each member."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.schema.referrals import referral_codes as table
from engage.schema.rows import of_member


async def read_code(conn: AsyncConnection, key: MemberKey) -> str | None:
    query = select(table.c.code).where(of_member(table, key), table.c.is_current)
    code: str | None = (await conn.execute(query)).scalar()
    return code


async def add_code(conn: AsyncConnection, key: MemberKey, code: str, *, now: datetime) -> None:
    """Give a member a code, unless they have one, or another member has this one."""
    row = {"program_id": key[0], "member_id": key[1], "code": code, "made_at": now}
    await conn.execute(insert(table).values(row).on_conflict_do_nothing())


async def read_owner(conn: AsyncConnection, program_id: str, code: str) -> str | None:
    """Read the member whose code it is. The code of a merged account is the survivor's."""
    query = select(table.c.member_id).where(table.c.program_id == program_id, table.c.code == code)
    owner: str | None = (await conn.execute(query)).scalar()
    return owner
