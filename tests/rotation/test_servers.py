"""Passwords of PostgreSQL and Valkey are rotated while calls go on: none fails, and old ones are refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.connections.cluster import open_servers
from engage.connections.postgres import open_engine
from engage.connections.servers import Call, Servers
from engage.connections.valkey import open_client
from engage.domain.refusals import Unavailable
from engage.embedded.valkey_cluster import Cluster
from engage.live_settings import LiveSettings
from engage.runtime.database import transaction
from engage.settings import Settings
from engage.signals.doorbell import open_queue
from tests.support.rotation import (
    role_with_password,
    traffic,
    user_with_password,
    write_secret,
)
from tests.support.valkey import own_valkey

OLD, NEW = "old-password", "new-password"
ONE = text("SELECT 1")


def live_url(settings: Settings, name: str, path: Path, url: str) -> LiveSettings:
    """Settings with a URL that is in a file."""
    write_secret(path, url)
    return LiveSettings(replace(settings, **{name: url, "secret_files": {name: path}}))


async def use(db: AsyncEngine) -> None:
    async with transaction(db) as conn:
        assert (await conn.execute(ONE)).scalar_one() == 1


async def use_once(db: AsyncEngine) -> None:
    """Use a connection that is closed afterwards: the next call makes a new one."""
    async with db.connect() as conn:
        await conn.execute(ONE)
        await conn.invalidate()


async def test_the_password_of_the_database_is_rotated(own_database: Settings, tmp_path: Path) -> None:
    path = tmp_path / "url"
    async with role_with_password(own_database, OLD) as role:
        live = live_url(own_database, "database_url", path, role.url(OLD))
        db = open_engine(live.reader("database_url"), pool_size=2, command_timeout_s=10)
        try:
            async with traffic(lambda: use_once(db)) as calls:
                await calls.goes_on()
                write_secret(path, role.url(NEW), role.url(OLD))
                await calls.goes_on()
                await role.set_password(NEW)
                await calls.goes_on()
                write_secret(path, role.url(NEW))
                await calls.goes_on()
        finally:
            await db.dispose()
        late = open_engine(role.url(OLD), pool_size=1, command_timeout_s=10)
        with pytest.raises(Unavailable):
            await use(late)


async def test_a_role_takes_the_place_of_another(own_database: Settings, tmp_path: Path) -> None:
    """No server has to accept two passwords of one role, and no moment matters."""
    path = tmp_path / "url"
    async with role_with_password(own_database, OLD) as one, role_with_password(own_database, NEW) as two:
        live = live_url(own_database, "database_url", path, one.url(OLD))
        db = open_engine(live.reader("database_url"), pool_size=1, command_timeout_s=10)
        await use_once(db)
        write_secret(path, two.url(NEW))
        async with transaction(db) as conn:
            assert (await conn.execute(text("SELECT current_user"))).scalar_one() == two.name
        await db.dispose()


async def test_existing_connections_to_the_database_go_on(own_database: Settings, tmp_path: Path) -> None:
    path = tmp_path / "url"
    async with role_with_password(own_database, OLD) as role:
        live = live_url(own_database, "database_url", path, role.url(OLD))
        db = open_engine(live.reader("database_url"), pool_size=1, command_timeout_s=10)
        pid = text("SELECT pg_backend_pid()")
        async with transaction(db) as conn:
            before = (await conn.execute(pid)).scalar_one()
        await role.set_password(NEW)
        write_secret(path, role.url(NEW))
        async with transaction(db) as conn:
            assert (await conn.execute(pid)).scalar_one() == before
        await db.dispose()


@asynccontextmanager
async def opened(servers: Servers) -> AsyncIterator[Servers]:
    try:
        yield servers
    finally:
        await servers.aclose()


async def test_the_password_of_valkey_is_rotated(settings: Settings, valkey: Redis, tmp_path: Path) -> None:
    path, key = tmp_path / "url", "engage:rotation"
    async with user_with_password(valkey, OLD) as user:
        old, new = (user.url(settings.topics_url, password) for password in (OLD, NEW))
        live = live_url(settings, "topics_url", path, old)
        async with opened(open_servers(live.reader("topics_url"))) as servers:

            async def call() -> None:
                (answer,) = await servers.run([Call(key, ("SET", key, "1"))])
                assert answer is True or answer == b"OK"

            async with traffic(call) as calls:
                await calls.goes_on()
                await user.allow(NEW)
                write_secret(path, new)
                await calls.goes_on()
                await user.refuse(OLD)
                await calls.goes_on()
            await user.disconnect()
            await call()
        with pytest.raises(Unavailable):
            async with opened(open_servers(old)) as late:
                await late.on_each("PING")


async def test_the_only_password_of_a_valkey_is_rotated(settings: Settings, tmp_path: Path) -> None:
    """`requirepass` has one value: both are tried until the old one is taken out."""
    path = tmp_path / "url"
    async with own_valkey(tmp_path) as server:
        plain = f"127.0.0.1:{server.port}/1"
        admin = Redis.from_url(f"redis://{plain}")
        await admin.config_set("requirepass", OLD)
        old, new = f"redis://:{OLD}@{plain}", f"redis://:{NEW}@{plain}"
        live = live_url(settings, "queue_url", path, old)
        queue = open_queue(live.reader("queue_url"))
        await queue.ping()
        write_secret(path, new, old)
        await queue.connection_pool.disconnect()
        await queue.ping()
        await admin.config_set("requirepass", NEW)
        await queue.connection_pool.disconnect()
        await queue.ping()
        write_secret(path, new)
        await queue.connection_pool.disconnect()
        await queue.ping()
        late = open_client(Redis, old)
        with pytest.raises(AuthenticationError):
            await late.ping()
        for client in (queue, late, admin):
            await client.aclose()


async def test_the_password_of_a_cluster_is_rotated(
    settings: Settings, cluster: Cluster, tmp_path: Path
) -> None:
    path, keys = tmp_path / "url", [f"engage:rotation:{number}" for number in range(16)]
    name = "rotating"
    async with opened(open_servers(cluster.url)) as admin:
        await admin.on_each("ACL", "SETUSER", name, "on", f">{OLD}", "~*", "&*", "+@all")
        old, new = (
            cluster.url.replace("redis+cluster://", f"redis+cluster://{name}:{password}@")
            for password in (OLD, NEW)
        )
        live = live_url(settings, "state_url", path, old)
        async with opened(open_servers(live.reader("state_url"))) as servers:

            async def call() -> None:
                answers = await servers.run([Call(key, ("SET", key, "1")) for key in keys])
                assert not any(isinstance(answer, Exception) for answer in answers)

            await call()
            await admin.on_each("ACL", "SETUSER", name, f">{NEW}")
            write_secret(path, new)
            await admin.on_each("ACL", "SETUSER", name, f"<{OLD}")
            await admin.on_each("CLIENT", "KILL", "USER", name)
            await call()
        await admin.on_each("ACL", "DELUSER", name)
