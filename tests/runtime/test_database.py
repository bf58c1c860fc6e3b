"""Transactions raise Unavailable within a time limit when the database cannot be reached."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.domain.refusals import Unavailable
from engage.runtime.database import COMMAND_TIMEOUT_S, one_statement, open_database, transaction
from engage.runtime.services import open_services
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
