"""The proxy loses exactly the answer to a commit, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from engage.settings import Settings
from engage.torture.proxy import Proxy
from tests.support.proxy import proxy_to_postgres

LOST = (asyncpg.ConnectionDoesNotExistError, ConnectionResetError)


@asynccontextmanager
async def _connected(
    settings: Settings,
) -> AsyncIterator[tuple[Proxy, asyncpg.Connection, asyncpg.Connection]]:
    """Yield the proxy, a connection through it, and a direct one."""
    direct = await asyncpg.connect(settings.database_url.replace("+asyncpg", ""))
    try:
        await direct.execute("DROP TABLE IF EXISTS written; CREATE TABLE written (line text)")
        async with proxy_to_postgres(settings) as (proxy, url):
            through = await asyncpg.connect(url.replace("+asyncpg", ""))
            try:
                yield proxy, through, direct
            finally:
                through.terminate()
    finally:
        await direct.execute("DROP TABLE written")
        await direct.close()


async def _written(direct: asyncpg.Connection) -> list[str]:
    return [row[0] for row in await direct.fetch("SELECT line FROM written ORDER BY line")]


async def test_the_answer_to_a_transactions_commit_is_lost(own_database: Settings) -> None:
    async with _connected(own_database) as (proxy, through, direct):
        at_commit: list[bool] = []
        proxy.cut_at_commit(lambda: at_commit.append(True))
        assert await through.fetchval("SELECT 1") == 1
        transaction = through.transaction()
        await transaction.start()
        await through.execute("INSERT INTO written VALUES ('one')")
        assert not at_commit
        with pytest.raises(LOST):
            await transaction.commit()
        assert at_commit
        assert await _written(direct) == ["one"]
        assert not proxy.forget_commit()


async def test_the_answer_to_a_statement_that_commits_itself_is_lost(own_database: Settings) -> None:
    async with _connected(own_database) as (proxy, through, direct):
        statement = await through.prepare("INSERT INTO written VALUES ($1) RETURNING line")
        assert await statement.fetchval("before") == "before"
        proxy.cut_at_commit()
        with pytest.raises(LOST):
            await statement.fetchval("cut")
        assert await _written(direct) == ["before", "cut"]


async def test_what_was_rolled_back_or_failed_is_no_commit(own_database: Settings) -> None:
    async with _connected(own_database) as (proxy, through, direct):
        proxy.cut_at_commit()
        transaction = through.transaction()
        await transaction.start()
        await through.execute("INSERT INTO written VALUES ('undone')")
        await transaction.rollback()
        with pytest.raises(asyncpg.UndefinedTableError):
            await through.execute("INSERT INTO nowhere VALUES (1)")
        assert await through.fetchval("SELECT count(*) FROM written") == 0
        assert proxy.forget_commit()
        assert await _written(direct) == []


async def test_slow_bytes_come_late_and_in_order(own_database: Settings) -> None:
    async with _connected(own_database) as (proxy, through, _):
        proxy.delay_s = 0.05
        numbers = await through.fetch("SELECT generate_series(1, 50000)")
        proxy.heal()
        assert [row[0] for row in numbers] == list(range(1, 50_001))
        assert await through.fetchval("SELECT 1") == 1
