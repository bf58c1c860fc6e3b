"""Servers that are too old for the statements are refused by name, by `migrate` and by every process."""

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from asyncpg.types import ServerVersion
from sqlalchemy import text

from engage.connections.server_version import ServerTooOld, check_postgres, check_valkey
from engage.domain.refusals import Unavailable
from engage.flows.operations.install import migrate
from engage.runtime.database import one_statement, open_database
from engage.settings import Settings


@pytest.mark.parametrize(
    ("check", "detail"),
    [
        (lambda: check_postgres(17, "17.9"), "PostgreSQL 17.9 is too old: engage needs 18 or later"),
        (
            lambda: check_valkey({"valkey_version": "7.2.5"}),
            "Valkey 7.2.5 is too old: engage needs 8 or later",
        ),
        (lambda: check_valkey({"redis_version": "7.4.1"}), "Redis 7.4.1 is not Valkey 8 or later"),
    ],
)
def test_an_old_server_is_refused_in_words(check: Callable[[], None], detail: str) -> None:
    with pytest.raises(ServerTooOld) as refused:
        check()
    assert refused.value.detail == detail
    assert isinstance(refused.value, Unavailable), "a process waits for a better one, and is not ready"


def test_the_oldest_servers_are_good_enough() -> None:
    check_postgres(18, "18.0")
    check_valkey({"valkey_version": "8.0.0"})


@pytest.fixture
def on_postgres_15(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(_: Any) -> ServerVersion:
        return ServerVersion(15, 14, 0, "final", 0)

    monkeypatch.setattr(asyncpg.Connection, "get_server_version", version)


@pytest.mark.usefixtures("on_postgres_15")
async def test_no_process_works_on_an_old_postgres(database: Settings) -> None:
    db = open_database(database.database_url, pool_size=1)
    with pytest.raises(ServerTooOld):
        async with one_statement(db) as conn:
            await conn.execute(text("SELECT 1"))
    await db.dispose()
    with pytest.raises(ServerTooOld):
        await migrate(database)
