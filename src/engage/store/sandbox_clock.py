"""The offset of the sandbox's clock from the machine's, shared by all processes."""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.schema.sandbox_clock import sandbox_clock


async def read(conn: AsyncConnection) -> timedelta:
    ahead: timedelta | None = (await conn.execute(select(sandbox_clock.c.ahead))).scalar()
    return ahead or timedelta()


async def begin(conn: AsyncConnection) -> None:
    """Mark the installation as a sandbox: outside one there is no row. A clock that is ahead stays so."""
    await conn.execute(insert(sandbox_clock).values(ahead=timedelta()).on_conflict_do_nothing())


async def advance_to(conn: AsyncConnection, ahead: timedelta) -> timedelta:
    """Set the clock ahead, unless another process has set it further; return how far it is."""
    statement = insert(sandbox_clock).values(ahead=ahead)
    furthest = func.greatest(sandbox_clock.c.ahead, statement.excluded.ahead)
    upsert = statement.on_conflict_do_update(index_elements=["one"], set_={"ahead": furthest})
    found: timedelta = (await conn.execute(upsert.returning(sandbox_clock.c.ahead))).scalar_one()
    return found
