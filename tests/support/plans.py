"""The tables that a statement reads without saying whose rows it means, by PostgreSQL's own plan.

The conditions of a plan are the same for a small table and for a large one; where the planner puts them is
not. A table is bound by `column = parameter`, by `column = ANY (parameter)`, or by the same column of what is
bound. Nothing else binds: neither another comparison, nor one branch of an OR.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, TypeAlias

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Plan: TypeAlias = dict[str, Any]

# Conditions of rows. A join that keeps rows without a partner binds the other side all the same: its rows are
# looked for by what the first side has.
CONDITIONS: Final = (
    "Index Cond",
    "Recheck Cond",
    "TID Cond",
    "Filter",
    "Hash Cond",
    "Merge Cond",
    "Join Filter",
)

_NAME: Final = r'(?:"[^"]+"|\w+)'
_COLUMN: Final = re.compile(rf"({_NAME})\.({_NAME})")
_CAST: Final = re.compile(
    r"::(?:character varying|timestamp with(?:out)? time zone|double precision|\w+)(?:\(\d+\))?(?:\[\])?"
)
_ANY: Final = re.compile(r"ANY (\(.*\))")
# Of a parameter, and of what a part of the plan has read for a node: that part is looked at by itself.
_GIVEN: Final = re.compile(r"\$\d+|'[^']*'|\((?:hashed )?(?:SubPlan|InitPlan|CTE) \w+\)\.\w+")

_EXPLAIN: Final = """
CREATE OR REPLACE FUNCTION pg_temp.explain(statement text) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (GENERIC_PLAN, VERBOSE, COSTS OFF, FORMAT JSON) ' || statement INTO plan;
    RETURN plan;
END $$
"""


async def plans_of(conn: AsyncConnection, statements: Collection[str]) -> dict[str, Plan]:
    """Plan each statement, whose parameters are `$1` and so on."""
    await conn.execute(text(_EXPLAIN))
    explain = text("SELECT pg_temp.explain(:statement)")
    return {
        each: (await conn.execute(explain, {"statement": each})).scalar_one()[0]["Plan"]
        for each in statements
    }


def unbound_tables(
    plan: Plan, divided_by: Mapping[str, Collection[str]], free: Collection[str] = ()
) -> set[str]:
    """Return the tables that are scanned without a value for a column that divides them.

    `free` are those that may be: what is joined with them is bound.
    """
    nodes = list(_nodes(plan))
    scans = {
        node["Alias"]: node["Relation Name"]
        for node in nodes
        if "Relation Name" in node and node["Node Type"].endswith("Scan")
    }
    divided = {alias: table for alias, table in scans.items() if table in divided_by}
    bound = {alias for alias, table in divided.items() if table in free}
    equalities = [pair for node in nodes for name in CONDITIONS for pair in _equalities(node.get(name, ""))]
    grows = True
    while grows:
        found = {
            alias
            for alias, column, other in equalities
            if alias in divided
            and column in divided_by[divided[alias]]
            and _is_bound(other, bound, scans, divided_by)
        }
        grows = not found <= bound
        bound |= found
    return {f"{table} as {alias}" for alias, table in divided.items() if alias not in bound}


def _is_bound(
    other: str, bound: Collection[str], scans: Mapping[str, str], divided_by: Mapping[str, Collection[str]]
) -> bool:
    if column := _COLUMN.fullmatch(other):
        alias, name = column.groups()
        if alias in scans:
            return alias in bound and name in divided_by[scans[alias]]
        # What is not a table is made of parameters, or of tables that are looked at by themselves.
        return True
    if values := _ANY.fullmatch(other):
        return _COLUMN.search(values[1]) is None or _GIVEN.search(values[1]) is not None
    return _GIVEN.search(other) is not None and _COLUMN.search(_GIVEN.sub("", other)) is None


def _equalities(condition: str) -> Iterator[tuple[str, str, str]]:
    """Yield (alias, column, what it is equal to) of each equality that a row has to meet."""
    for part in _conjuncts(_CAST.sub("", condition)):
        sides = [_bare(side) for side in re.split(r"(?<![<>!]) = ", _bare(part))]
        if len(sides) == 2:
            for side, other in (sides, sides[::-1]):
                if column := _COLUMN.fullmatch(side):
                    yield *column.groups(), other  # type: ignore[misc]  # Two groups.


def _conjuncts(condition: str) -> list[str]:
    """Split at each AND of the outermost level, and within it."""
    bare = _bare(condition)
    parts = _split(bare, " AND ")
    return [bare] if len(parts) == 1 else [each for part in parts for each in _conjuncts(part)]


def _split(condition: str, separator: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for n, char in enumerate(condition):
        depth += (char == "(") - (char == ")")
        if depth == 0 and condition.startswith(separator, n):
            parts.append(condition[start:n])
            start = n + len(separator)
    return [*parts, condition[start:]]


def _bare(condition: str) -> str:
    """Remove the brackets around the whole."""
    condition = condition.strip()
    while condition.startswith("(") and condition.endswith(")") and _closes_last(condition):
        condition = condition[1:-1].strip()
    return condition


def _closes_last(condition: str) -> bool:
    depth = 0
    for n, char in enumerate(condition):
        depth += (char == "(") - (char == ")")
        if depth == 0:
            return n == len(condition) - 1
    return False


def _nodes(plan: Plan) -> Iterator[Plan]:
    """Yield the nodes of a plan, but not the branches of an OR: none of them holds for all rows."""
    yield plan
    for each in plan.get("Plans", ()) if plan["Node Type"] != "BitmapOr" else ():
        yield from _nodes(each)
