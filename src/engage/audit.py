"""Checks of the audit: promises that SQL can see, each with a query for the rows that break it.

The ledger and each feature of the store bring their own (`checks`), and `engage.flows.operations.audit` runs
them all. A query reads each table once or twice as a whole, so that a large ledger is checked in minutes, and
it sees one snapshot, so it may run while points move. Nothing is repaired: an entry is never changed, and an
operator looks at what is wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.program.program import Program


class Published(Struct, frozen=True):
    """All published versions of programs, and all approved ones of campaigns."""

    programs: Sequence[Program]
    campaigns: Sequence[PublishedCampaign] = ()


Parameters = Callable[[Published], Mapping[str, Any]]


def _no_parameters(_published: Published) -> Mapping[str, Any]:
    return {}


class Check(Struct, frozen=True):
    """A promise, and the query for the rows that break it. A broken `warning` is late, not wrong.

    The query can use :now, :wall (without the sandbox's offset) and what `parameters` makes of all that is
    published.
    """

    name: str
    promise: str
    query: str
    warning: bool = False
    parameters: Parameters = _no_parameters


class Finding(Struct, frozen=True):
    """The result of a check: the number of rows that break the promise, and the first few of them."""

    check: Check
    count: int
    columns: list[str]
    rows: list[tuple[Any, ...]]


def later_than_now(times: Mapping[str, Sequence[str]]) -> str:
    """A query for members' rows with a time in the future, in these columns of these tables.

    Every process has a lower bound of the database's time, so a second is more than enough for drift.
    """
    latest = {table: f"greatest({', '.join(columns)})" for table, columns in times.items()}
    return " UNION ALL ".join(
        f"SELECT '{table}' AS of_table, program_id, member_id, {at} AS at FROM {table}"  # noqa: S608
        f" WHERE {at} > CAST(:now AS timestamptz) + interval '1 second'"
        for table, at in latest.items()
    )


async def run_check(
    conn: AsyncConnection,
    check: Check,
    *,
    published: Published,
    now: datetime,
    wall: datetime,
    limit: int,
) -> Finding:
    """Run a check; up to `limit` of the rows that break it."""
    query = f"SELECT count(*) OVER () AS all_rows, broken.* FROM ({check.query}) broken LIMIT :limit"  # noqa: S608
    values = {**check.parameters(published), "now": now, "wall": wall, "limit": limit}
    result = await conn.execute(text(query), values)
    columns = list(result.keys())[1:]
    rows = [tuple(row) for row in result]
    return Finding(check, rows[0][0] if rows else 0, columns, [row[1:] for row in rows])
