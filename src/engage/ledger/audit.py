"""Running the checks of `engage.ledger.checks`: which rows break a promise, and how many.

A query sees one snapshot, so it may run while points move. Nothing here mends anything: an entry is never
changed, and what is wrong is for a person to look at.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.program import DailyStreak, Once, OncePer, PerWindow, Program, Rule, SameAs
from engage.ledger.checks import Check


class Finding(msgspec.Struct, frozen=True):
    """What a check found: how many rows break the promise, and the first few of them."""

    check: Check
    count: int
    columns: list[str]
    rows: list[tuple[Any, ...]]


class Totals(msgspec.Struct, frozen=True):
    """What there was to check. `active_points` and `pending_points` are what all members have."""

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


async def find(
    conn: AsyncConnection,
    check: Check,
    *,
    rules: dict[str, list[Any]],
    now: datetime,
    wall: datetime,
    limit: int,
) -> Finding:
    """Runs a check; up to `limit` of the rows that break it. `rules` are from `rules_as_rows`."""
    query = f"SELECT count(*) OVER () AS all_rows, broken.* FROM ({check.query}) broken LIMIT :limit"  # noqa: S608
    result = await conn.execute(text(query), rules | {"now": now, "wall": wall, "limit": limit})
    columns = list(result.keys())[1:]
    rows = [tuple(row) for row in result]
    return Finding(check, rows[0][0] if rows else 0, columns, [row[1:] for row in rows])


async def read_totals(conn: AsyncConnection) -> Totals:
    members, credits, entries, active, pending = (await conn.execute(_TOTALS)).one()
    return Totals(members, credits, entries, active or 0, pending or 0)


def rules_as_rows(programs: Sequence[Program]) -> dict[str, list[Any]]:
    """What the rules of all versions say of their credits, as the columns that the checks take."""
    rows = [(program, rule) for program in programs for rule in program.rules]
    return {
        "rule_programs": [program.id for program, _ in rows],
        "rule_versions": [program.version for program, _ in rows],
        "rule_ids": [rule.id for _, rule in rows],
        "rule_limits": [str(rule.limit.__struct_config__.tag) for _, rule in rows],
        "rule_patterns": [_pattern(program, rule) for program, rule in rows],
        "rule_counts": [rule.limit.count if isinstance(rule.limit, PerWindow) else None for _, rule in rows],
        "rule_sources": [rule.limit.rule if isinstance(rule.limit, SameAs) else None for _, rule in rows],
    }


_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MONTH = "[0-9]{4}-[0-9]{2}"


def _pattern(program: Program, rule: Rule) -> str:
    """A regular expression for the source keys that a rule gives."""
    if rule.on.activity == "order":
        return f"^order:.+:{rule.id}$"
    limit = program.rule(rule.limit.rule).limit if isinstance(rule.limit, SameAs) else rule.limit
    match limit:
        case DailyStreak():
            place = f":{_DAY}"
        case PerWindow(window=kind):
            place = f":{_DAY if kind == 'day' else _MONTH}:[0-9]{{1,9}}"
        case OncePer():
            place = ":.+"
        case Once() | SameAs():
            place = ""
    return f"^{rule.id}{place}$"
