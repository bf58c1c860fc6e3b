"""The servers of an installation: real, new enough, and there for as long as they are asked for."""

import stat
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from engage import sandbox_secrets
from engage.embedded.errors import FolderInUse, FolderUnusable
from engage.embedded.installation import open_installation, running_servers
from engage.settings import Settings


async def _one(settings: Settings, question: str) -> object:
    engine = create_async_engine(settings.database_url)
    try:
        async with engine.begin() as connection:
            return (await connection.execute(text(question))).scalar()
    finally:
        await engine.dispose()


async def test_postgresql_is_18_or_later_and_speaks_utf8(servers: Settings) -> None:
    version = await _one(servers, "SELECT current_setting('server_version_num')::int")
    assert isinstance(version, int)
    assert version >= 180_000
    assert (
        await _one(servers, "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'engage'")
        == "UTF8"
    )


async def test_valkey_never_evicts_and_keeps_a_log(servers: Settings, valkey: Redis) -> None:
    assert (await valkey.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
    assert (await valkey.config_get("appendonly"))["appendonly"] == "yes"
    assert (await valkey.config_get("bind"))["bind"] == "127.0.0.1"
