"""An import reads the members that a batch names and no others, before anything has counted the table.

The first import fills an empty table. Until that is analyzed, the planner believes that a program has few
members, and would read all of them for each batch.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from sqlalchemy import text

from engage.runtime.database import open_database
from engage.settings import Settings
from engage.store.members import batches

PROGRAM, MEMBERS, BATCH = "club", 20_000, 20

_MANY = text("""
INSERT INTO members (program_id, member_id, country, kind, joined_at, person_hash)
SELECT :program, 'm-' || n, 'IN', 'person', now(), sha256(convert_to('old m-' || n, 'UTF8'))
FROM generate_series(1, :members) n
""")


async def test_an_import_reads_no_members_but_those_whose_hashes_it_brings(own_database: Settings) -> None:
    ids = [f"m-{n}" for n in range(1, MEMBERS, MEMBERS // BATCH)]
    # The second hash of before is that of another pepper.
    rows = [
        (PROGRAM, id_, _hash("new", id_), _hash(before, id_)) for id_ in ids for before in ("old", "older")
    ]
    db = open_database(own_database.database_url, pool_size=1)
    async with db.connect() as conn:
        await conn.execute(_MANY, {"program": PROGRAM, "members": MEMBERS})
        explain = text(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {batches._REHASH.text}")
        plan = (await conn.execute(explain, batches._REHASHED.of(rows))).scalar_one()[0]["Plan"]
        await conn.rollback()
    await db.dispose()
    read = [_rows_of(node) for node in _nodes(plan) if node.get("Relation Name") == "members"]
    assert BATCH <= max(read) <= len(rows)


def _hash(pepper: str, id_: str) -> bytes:
    return sha256(f"{pepper} {id_}".encode()).digest()


def _rows_of(node: dict[str, Any]) -> float:
    """Return the rows that a scan has read, in all its loops."""
    removed = sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)
