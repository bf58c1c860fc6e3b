"""An import reads the members that a batch names and no others, before anything has counted the table.

The first import fills an empty table. Until that is analyzed, the planner believes that a program has few
members, and would read all of them for each batch.
"""

from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.runtime.database import open_database
from engage.settings import Settings
from engage.store.members import batches

PROGRAM, MEMBERS, BATCH = "club", 20_000, 20
IDS = [f"m-{n}" for n in range(1, MEMBERS, MEMBERS // BATCH)]

_MANY = text("""
INSERT INTO members (program_id, member_id, country, kind, joined_at, person_hash)
SELECT :program, 'm-' || n, 'IN', 'person', now(), sha256(convert_to('old m-' || n, 'UTF8'))
FROM generate_series(1, :members) n
""")

_CARDS = text("""
INSERT INTO card_numbers (program_id, card_number, member_id)
SELECT :program, 'c-m-' || n, 'm-' || n FROM generate_series(1, :members) n
""")


@pytest.fixture
async def filled(own_database: Settings) -> AsyncIterator[AsyncConnection]:
    """A connection that sees many members and their cards, without statistics."""
    db = open_database(own_database.database_url, pool_size=1)
    async with db.connect() as conn:
        for many in (_MANY, _CARDS):
            await conn.execute(many, {"program": PROGRAM, "members": MEMBERS})
        yield conn
        await conn.rollback()
    await db.dispose()


async def test_an_import_reads_no_members_but_those_whose_hashes_it_brings(filled: AsyncConnection) -> None:
    # The second hash of before is that of another pepper.
    rows = [
        (PROGRAM, id_, _hash("new", id_), _hash(before, id_)) for id_ in IDS for before in ("old", "older")
    ]
    read = await _rows_read(filled, batches._REHASH, batches._REHASHED.of(rows), "members")
    assert BATCH <= read <= len(rows)


async def test_an_import_looks_up_the_ids_persons_and_cards_of_a_batch_and_no_others(
    filled: AsyncConnection,
) -> None:
    ids = batches._IDS.of((PROGRAM, id_) for id_ in IDS)
    persons = batches._PERSONS.of((PROGRAM, _hash("old", id_)) for id_ in IDS)
    cards = batches._CARDS.of((PROGRAM, f"c-{id_}") for id_ in IDS)
    assert [
        await _rows_read(filled, batches._READ_MEMBERS, ids, "members"),
        await _rows_read(filled, batches._READ_PERSONS, persons, "members"),
        await _rows_read(filled, batches._READ_CARDS, cards, "card_numbers"),
    ] == [BATCH, BATCH, BATCH]


async def _rows_read(
    conn: AsyncConnection, statement: TextClause, parameters: dict[str, list[Any]], table: str
) -> float:
    """Return the rows of a table that the scan which reads most of them has read."""
    explain = text(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement.text}")
    plan = (await conn.execute(explain, parameters)).scalar_one()[0]["Plan"]
    return max(_rows_of(node) for node in _nodes(plan) if node.get("Relation Name") == table)


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
