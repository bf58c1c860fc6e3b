"""Transactions raise Unavailable within a time limit when the database cannot be reached."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest
from sqlalchemy import TextClause, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.domain.accounts.balance import MOST_BALANCE
from engage.domain.refusals import AccountFull, Unavailable
from engage.runtime.database import (
    COMMAND_TIMEOUT_S,
    export,
    one_statement,
    open_database,
    snapshot,
    transaction,
)
from engage.runtime.services import open_services
from engage.schema.balances import balances
from engage.settings import Settings
from tests.support.eventually import WITHIN_S

NEVER = text("SELECT pg_sleep(3600)")


@pytest.mark.parametrize("opened", [transaction, one_statement])
async def test_a_statement_over_the_time_limit_is_unavailable(
    settings: Settings, opened: Callable[[AsyncEngine], AbstractAsyncContextManager[AsyncConnection]]
) -> None:
    db = open_database(settings.database_url, pool_size=1, command_timeout_s=0.2)
    try:
        async with asyncio.timeout(WITHIN_S):
            with pytest.raises(Unavailable) as away:
                async with opened(db) as conn:
                    await conn.execute(NEVER)
        assert away.value.facts["part"] == "postgres"
        async with opened(db) as conn:
            assert (await conn.execute(text("SELECT 1"))).scalar_one() == 1
    finally:
        await db.dispose()


async def test_a_connection_lost_during_a_statement_is_unavailable(settings: Settings) -> None:
    db = open_database(settings.database_url, pool_size=1)
    with pytest.raises(Unavailable):
        async with one_statement(db):
            raise asyncpg.InternalClientError(
                "cannot switch to state 11; another operation (2) is in progress"
            )
    with pytest.raises(asyncpg.InternalClientError):
        async with one_statement(db):
            raise asyncpg.InternalClientError("no codec for this type")
    await db.dispose()


@pytest.mark.parametrize("last_words", [b"", b"N", b"NR"], ids=["none", "no TLS", "half a word"])
async def test_a_connection_lost_while_connecting_is_unavailable(last_words: bytes) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for word in last_words:
            await reader.read(1_000)
            writer.write(bytes((word,)))
            await writer.drain()
        writer.transport.abort()

    async with await asyncio.start_server(die, "127.0.0.1", 0) as dying:
        port = dying.sockets[0].getsockname()[1]
        db = open_database(f"postgresql+asyncpg://postgres@127.0.0.1:{port}/engage")
        for opened in (transaction, one_statement):
            with pytest.raises(Unavailable):
                async with opened(db) as conn:
                    await conn.execute(text("SELECT 1"))
        await db.dispose()


async def test_services_limit_the_time_of_statements(
    settings: Settings,
) -> None:
    async with open_services(settings) as services, transaction(services.db) as conn:
        raw = await conn.get_raw_connection()
        assert raw.driver_connection is not None
        assert raw.driver_connection._config.command_timeout == COMMAND_TIMEOUT_S <= 10


ADD = text("INSERT INTO balances (program_id, member_id, active) VALUES ('p', :member_id, :active)")
MEMBERS = text("SELECT member_id, active FROM balances ORDER BY member_id")


async def _add(db: AsyncEngine, members: dict[str, int], last: TextClause = MEMBERS) -> list[str]:
    """Add balances in a transaction whose statements go to the driver; the members that it sees then."""
    async with transaction(db, direct=True) as conn:
        for member_id, active in members.items():
            await conn.execute(ADD, {"active": active, "member_id": member_id})
        assert (await conn.execute(text("SELECT 1 WHERE false"))).scalars().all() == []
        assert (await conn.execute(select(func.count()).select_from(balances))).scalar_one() == len(members)
        return [row.member_id for row in await conn.execute(last)]


async def _read(db: AsyncEngine) -> list[tuple[str, int]]:
    async with one_statement(db) as conn:
        return [(row.member_id, row.active) for row in await conn.execute(MEMBERS)]


async def test_statements_given_to_the_driver_belong_to_the_transaction(settings: Settings) -> None:
    db = open_database(settings.database_url, pool_size=1)
    assert await _add(db, {"a": 1, "b": 2}) == ["a", "b"]
    assert await _read(db) == [("a", 1), ("b", 2)]
    await db.dispose()


async def test_an_error_of_the_driver_ends_the_transaction(settings: Settings) -> None:
    db = open_database(settings.database_url, pool_size=1)
    with pytest.raises(AccountFull):
        await _add(db, {"a": 1, "b": MOST_BALANCE + 1})
    assert await _read(db) == []
    with pytest.raises(asyncpg.DivisionByZeroError):
        await _add(db, {"a": 1}, last=text("SELECT 1 / 0"))
    assert await _read(db) == []
    assert await _add(db, {"a": 1, "b": 2}) == ["a", "b"]
    await db.dispose()


async def test_a_statement_of_the_driver_over_the_time_limit_is_unavailable(settings: Settings) -> None:
    db = open_database(settings.database_url, pool_size=1, command_timeout_s=0.2)
    with pytest.raises(Unavailable):
        await _add(db, {"a": 1}, last=NEVER)
    await db.dispose()
    again = open_database(settings.database_url, pool_size=1)
    assert await _read(again) == []
    await again.dispose()


async def test_an_exported_snapshot_is_seen_by_others_after_changes(settings: Settings) -> None:
    db = open_database(settings.database_url, pool_size=3)
    count = text("SELECT count(*) FROM outbox")
    try:
        async with snapshot(db) as first:
            exported = await export(first)
            async with transaction(db) as conn:
                await conn.execute(text("INSERT INTO outbox VALUES (uuidv7(), now(), 'active', '{}', '{}')"))
            async with snapshot(db, exported) as second:
                assert (await second.execute(count)).scalar_one() == 0
        async with snapshot(db) as later:
            assert (await later.execute(count)).scalar_one() == 1
    finally:
        await db.dispose()
