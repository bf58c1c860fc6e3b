"""Checks of the audit: promises that SQL can see, each with the rows that break it.

The ledger and each feature of the store bring their own (`checks`), and `engage.flows.operations.audit` runs
them all. They see one snapshot, so they may run while points move. Nothing is repaired: an entry is never
changed, and an operator looks at what is wrong.

A large ledger is checked in a minute because its tables are read as wholes, and few times: checks of the same
rows (`Rows`) share one pass over them, and rows are joined by account.
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


class Rows(Struct, frozen=True):
    """Rows that several checks are about: a query, whose rows have an `account` and what the checks ask."""

    query: str
    parameters: Parameters = _no_parameters


class Check(Struct, frozen=True):
    """A promise, and a query for the rows that break it. A broken `warning` is late, not wrong.

    A check of shared `rows` has a condition (`broken`) for those that break it, and names the columns that
    are `shown`; the member of the account is shown before them. Queries and conditions can use :now, :wall
    (without the sandbox's offset) and what `parameters` makes of all that is published.
    """

    name: str
    promise: str
    query: str = ""
    warning: bool = False
    parameters: Parameters = _no_parameters
    rows: Rows | None = None
    broken: str = ""
    shown: str = ""


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


def passes(checks: Sequence[Check]) -> list[list[Check]]:
    """Group the checks that share their rows; they take longest, and come first. Any other is by itself."""
    grouped: dict[int, list[Check]] = {}
    for check in checks:
        grouped.setdefault(id(check if check.rows is None else check.rows), []).append(check)
    return sorted(grouped.values(), key=lambda sharing: sharing[0].rows is None)


async def run_checks(
    conn: AsyncConnection,
    checks: Sequence[Check],
    *,
    published: Published,
    now: datetime,
    wall: datetime,
    limit: int,
) -> list[Finding]:
    """Run the checks of one pass, and show up to `limit` of the rows that break each promise."""
    rows = checks[0].rows
    parameters = checks[0].parameters if rows is None else rows.parameters
    values = {**parameters(published), "now": now, "wall": wall, "limit": limit}
    result = await conn.execute(text(_alone(checks[0]) if rows is None else _shared(rows, checks)), values)
    columns = list(result.keys())[2:]
    found: dict[int, list[Any]] = {}
    for row in result:
        found.setdefault(row[0], []).append(row)
    return [_finding(checks[number], columns, broken) for number, broken in sorted(found.items())]


def _finding(check: Check, columns: list[str], rows: Sequence[Any]) -> Finding:
    shown = ["program_id", "member_id", *check.shown.replace(",", " ").split()] if check.rows else columns
    places = [2 + columns.index(name) for name in shown]
    return Finding(check, rows[0][1], shown, [tuple(row[place] for place in places) for row in rows])


def _alone(check: Check) -> str:
    return f"SELECT 0, count(*) OVER () AS all_rows, broken.* FROM ({check.query}) broken LIMIT :limit"  # noqa: S608


def _shared(rows: Rows, checks: Sequence[Check]) -> str:
    """Rows that break any of the checks are collected in one pass, and shown for each check."""
    conditions = [f"({check.broken})" for check in checks]
    return f"""
        WITH broken AS MATERIALIZED (
            SELECT r.*, ARRAY[{", ".join(conditions)}] AS breaks FROM ({rows.query}) r
            WHERE {" OR ".join(conditions)}
        )
        SELECT f.number, f.all_rows, b.program_id, b.member_id, f.*
        FROM generate_series(0, {len(checks) - 1}) n
        CROSS JOIN LATERAL (
            SELECT n AS number, count(*) OVER () AS all_rows, * FROM broken WHERE breaks[n + 1] LIMIT :limit
        ) f
        LEFT JOIN balances b USING (account)
    """  # noqa: S608  # Constants.
