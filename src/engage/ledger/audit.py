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

from engage.domain.earning.definition import Rule
from engage.domain.earning.limits import PerWindow, SameAs
from engage.domain.program.program import Program
from engage.ledger import adjustments, opening
from engage.ledger.checks import Check
from engage.ledger.closing import merge


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


async def run_check(
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
    """What the rules of all versions say of their credits, and how many there are of their rewards, as the
    columns that the checks take.
    """
    rows = [_row(program, rule) for program in programs for rule in program.rules]
    rows += [
        _Row(program, rule_id, "reserved", pattern)
        for program in programs
        for rule_id, pattern in RESERVED.items()
    ]
    stocks = _stocks(programs)
    return {
        "rule_programs": [row.program.id for row in rows],
        "rule_versions": [row.program.version for row in rows],
        "rule_ids": [row.rule_id for row in rows],
        "rule_limits": [row.limit for row in rows],
        "rule_patterns": [row.pattern for row in rows],
        "rule_counts": [row.count for row in rows],
        "rule_sources": [row.source for row in rows],
        "rule_promises": [row.program.promise for row in rows],
        "reward_programs": [program_id for program_id, _ in stocks],
        "reward_ids": [reward_id for _, reward_id in stocks],
        "reward_stocks": list(stocks.values()),
    }


# Credits that are of no rule of a program, and the source keys that they have.
RESERVED = {
    adjustments.ADJUSTMENT_RULE: f"^{adjustments.ADJUSTMENT_RULE}:.+$",
    opening.OPENING_RULE: f"^{opening.source_key('.+')}$",
    merge.TRANSFER_RULE: f"^{merge.TRANSFER_RULE}:.+:[0-9a-f-]{{36}}$",
}


class _Row(msgspec.Struct, frozen=True):
    program: Program
    rule_id: str
    limit: str
    pattern: str
    count: int | None = None
    source: str | None = None


def _row(program: Program, rule: Rule) -> _Row:
    limit = rule.limit
    return _Row(
        program,
        rule.id,
        limit.kind,
        _pattern(program, rule),
        limit.count if isinstance(limit, PerWindow) else None,
        limit.rule if isinstance(limit, SameAs) else None,
    )


def _stocks(programs: Sequence[Program]) -> dict[tuple[str, str], int]:
    """The most that there ever were of each reward, of those that were never without a limit."""
    rewards = [(program.id, reward) for program in programs for reward in program.rewards]
    unlimited = {(program_id, reward.id) for program_id, reward in rewards if reward.stock is None}
    stocks: dict[tuple[str, str], int] = {}
    for program_id, reward in rewards:
        key = (program_id, reward.id)
        if reward.stock is not None and key not in unlimited:
            stocks[key] = max(reward.stock, stocks.get(key, 0))
    return stocks


def _pattern(program: Program, rule: Rule) -> str:
    """A regular expression for the source keys that a rule gives."""
    if rule.on.activity == "order":
        return f"^order:.+:{rule.id}$"
    limit = program.earning.rules.leader(rule.id).limit
    return f"^{rule.id}{limit.key_pattern()}$"
