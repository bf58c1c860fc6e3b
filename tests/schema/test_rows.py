"""Batches and structs take their columns from the tables."""

from uuid import UUID

import pytest
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.runtime.database import open_database, transaction
from engage.schema.holds import holds
from engage.schema.rows import Batch, columns, from_row, select_list
from engage.settings import Settings


class HoldPoints(Struct, frozen=True):
    id: UUID
    points: int


def test_a_batch_has_the_types_of_its_table() -> None:
    batch = Batch("k", holds, "id", "order_id", "points", since="timestamptz")
    assert str(batch) == (
        "unnest(CAST(:k_id AS UUID[]), CAST(:k_order_id AS TEXT[]), CAST(:k_points AS BIGINT[]), "
        "CAST(:k_since AS timestamptz[])) AS k (id, order_id, points, since)"
    )
    assert batch.columns == "id, order_id, points, since"


def test_a_batch_of_no_rows_has_empty_arrays() -> None:
    assert Batch("k", holds, "id", "points").of([]) == {"k_id": [], "k_points": []}


def test_a_row_that_lacks_a_value_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Batch("k", holds, "id", "points").of([(UUID(int=1), 5), (UUID(int=2),)])


def test_a_column_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError):
        Batch("k", holds, "ponits")


async def test_rows_go_in_and_out_in_batches(database: Settings) -> None:
    given = [HoldPoints(UUID(int=n), n * 10) for n in (1, 2)]
    batch = Batch("k", holds, *HoldPoints.__struct_fields__)
    db: AsyncEngine = open_database(database.database_url, pool_size=1)
    try:
        async with transaction(db) as conn:
            rows = await conn.execute(
                text(f"SELECT {select_list(HoldPoints, 'k')} FROM {batch}"), batch.of_structs(given)
            )
            assert [from_row(HoldPoints, row) for row in rows] == given
    finally:
        await db.dispose()
    assert columns(holds, HoldPoints) == [holds.c.id, holds.c.points]
