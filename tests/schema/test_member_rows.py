"""Every table says what becomes of its rows when a member joins, is merged or is erased."""

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import MetaData, PrimaryKeyConstraint, Table, Text

from engage.domain.keys import MemberKey
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.schema import metadata
from engage.schema.columns import member_key, required
from engage.schema.member_rows import Delete, Keep, Move, member_rows, tables_of_members, undeclared_tables
from engage.settings import Settings
from tests.support import orders
from tests.support.audit import assert_audit_is_clean
from tests.support.database import rows
from tests.support.orders import join


def test_every_table_with_members_declares_what_becomes_of_their_rows() -> None:
    assert undeclared_tables(metadata) == []
    assert {table.name for table, _ in tables_of_members()} >= {
        "members",
        "stored_entries",
        "idempotency_keys",
    }


def test_a_table_that_declares_nothing_is_found() -> None:
    tables = MetaData()
    Table("quiz_answers", tables, *member_key())
    Table("quizzes", tables, required("id", Text))
    assert undeclared_tables(tables) == ["quiz_answers"]


@pytest.fixture
def answers() -> Iterator[Table]:
    """A table of a new feature."""
    table = Table(
        "quiz_answers",
        metadata,
        *member_key(),
        required("answer", Text),
        PrimaryKeyConstraint("program_id", "answer"),
        info=member_rows(merge=Move(), erase=Delete()),
    )
    yield table
    metadata.remove(table)


@pytest.fixture
def statistics() -> Iterator[Table]:
    table = Table(
        "quiz_statistics",
        metadata,
        *member_key(),
        required("played", Text, "0"),
        PrimaryKeyConstraint("program_id", "member_id"),
        info=member_rows(merge=Keep("Counts of one account."), erase=Keep("Not personal."), join=True),
    )
    yield table
    metadata.remove(table)


@pytest.fixture
async def services(own_database: Settings, answers: Table, statistics: Table) -> AsyncIterator[Services]:
    async with orders.services_with_orders(own_database) as services:
        async with transaction(services.db) as conn:
            await conn.run_sync(answers.create)
            await conn.run_sync(statistics.create)
        yield services
        await assert_audit_is_clean(services)


async def test_a_new_table_needs_no_other_line(services: Services, answers: Table) -> None:
    """Rows are added with a new member, moved to the survivor of a merger, and deleted by an erasure."""
    program = orders.PROGRAM
    keys: list[MemberKey] = [(program, member_id) for member_id in ("m-1", "m-2", "m-3")]
    for key in keys:
        await join(services, key[1])
    assert await rows(services.db, "SELECT program_id, member_id FROM quiz_statistics ORDER BY 2") == keys
    async with transaction(services.db) as conn:
        for program_id, member_id in keys:
            values = {"program_id": program_id, "member_id": member_id, "answer": f"by {member_id}"}
            await conn.execute(answers.insert().values(values))

    await merge_members(services, program, "m-1", into="m-2", reason="one person", operator="key-1")
    moved = await rows(services.db, "SELECT member_id, answer FROM quiz_answers ORDER BY 2")
    assert moved == [("m-2", "by m-1"), ("m-2", "by m-2"), ("m-3", "by m-3")]

    await erase_member(services, program, "m-2", operator="key-1")
    assert await rows(services.db, "SELECT answer FROM quiz_answers") == [("by m-3",)]
