"""Totals of the ledger: what there is to audit."""

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


class Totals(msgspec.Struct, frozen=True):
    """`active_points` and `pending_points` are those of all members."""

    members: int
    credits: int
    entries: int
    active_points: int
    pending_points: int


_TOTALS = text("""
SELECT (SELECT count(*) FROM members), (SELECT count(*) FROM credits WHERE points > 0),
       (SELECT count(*) FROM entries), sum(active)::bigint, sum(pending)::bigint
FROM balances
""")


async def read_totals(conn: AsyncConnection) -> Totals:
    members, credits, entries, active, pending = (await conn.execute(_TOTALS)).one()
    return Totals(members, credits, entries, active or 0, pending or 0)
