"""API keys: however many are made up, the database is asked about them now and then."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.api.http import api_keys
from engage.api.http.api_keys import READ_INTERVAL_S, ApiKeyCache
from engage.flows.operations.keys import create_key, list_keys, revoke_key
from engage.runtime.database import open_database
from engage.settings import Settings
from engage.store.api_keys import new_key

MADE_UP = 300


class Queries:
    """The number of statements that an engine has sent."""

    def __init__(self, db: AsyncEngine) -> None:
        self.count = 0
        event.listen(db.sync_engine, "before_cursor_execute", self._sent)

    def _sent(self, *_: object) -> None:
        self.count += 1


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator[AsyncEngine]:
    opened = open_database(settings.database_url, pool_size=2)
    yield opened
    await opened.dispose()


async def test_made_up_keys_cost_no_query_each(db: AsyncEngine) -> None:
    key = await create_key(db, name="shop", scopes=["shop"], programs=None)
    cache, queries = ApiKeyCache(db), Queries(db)
    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        found = [group.create_task(cache.find(new_key())) for _ in range(MADE_UP)]
    assert queries.count <= 2, "once for all keys, and once more for those that may be new"
    for text in ("", "x", "ek_", "ek_1_", "é" * 200, f"ek_{key.split('_')[1]}_other", key + "x", "\x00"):
        assert await cache.find(text) is None
    assert {task.result() for task in found} == {None}
    known = await cache.find(key)
    assert known is not None
    assert known.scopes == ("shop",)
    assert queries.count <= 2 + (time.monotonic() - begun) / READ_INTERVAL_S, "one after another, slowly"


async def test_a_new_key_is_found_and_a_revoked_one_is_not(
    db: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ApiKeyCache(db)
    assert await cache.find(new_key()) is None
    key = await create_key(db, name="till", scopes=["admin"], programs=None)
    assert await cache.find(key) is not None, "although an unknown key has just been asked for"
    (listed,) = [each for each in await list_keys(db) if each.name == "till"]
    assert await revoke_key(db, listed.id)
    monkeypatch.setattr(api_keys, "KEYS_TTL_S", 0.0)
    assert await cache.find(key) is None
