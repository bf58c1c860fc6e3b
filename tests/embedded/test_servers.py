"""The servers of an installation: real, new enough, brought back, and there for those who ask for them."""

import asyncio
import os
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from engage import sandbox_secrets
from engage.embedded import run_file
from engage.embedded.data_folder import DataFolder
from engage.embedded.errors import FolderInUse
from engage.embedded.installation import Servers, open_folder, open_installation, open_servers
from engage.settings import Settings
from tests.embedded.asking import ask

BACK_S = 30.0


@pytest.fixture(scope="module")
async def held(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[DataFolder, Servers]]:
    """An installation that is there for the tests of this file to be hurt."""
    path = tmp_path_factory.mktemp("servers") / "installation"
    async with open_folder(path) as folder, open_servers(folder) as servers:
        yield folder, servers


async def test_postgresql_is_18_or_later_and_speaks_utf8(servers: Settings) -> None:
    version = await ask(servers, "SELECT current_setting('server_version_num')::int")
    assert isinstance(version, int)
    assert version >= 180_000
    assert await ask(servers, "SHOW server_encoding") == "UTF8"


async def test_an_installation_forgets_nothing_it_was_told(held: tuple[DataFolder, Servers]) -> None:
    _, servers = held
    assert await ask(servers.settings, "SHOW fsync") == "on"
    assert await ask(servers.settings, "SHOW synchronous_commit") == "on"
    async with Redis.from_url(servers.settings.state_url) as client:
        found = await client.config_get("appendonly", "appendfsync", "maxmemory-policy", "bind")
    assert found == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1",
    }


async def test_nobody_else_can_look_into_the_folder(held: tuple[DataFolder, Servers]) -> None:
    folder, _ = held

    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    # As root, PostgreSQL's own user passes through the folder; it does not read it.
    assert mode(folder.path) == (0o711 if os.geteuid() == 0 else 0o700)
    assert mode(folder.postgres) == mode(folder.logs) == mode(folder.valkey) == 0o700
    assert mode(folder.sandbox) == mode(folder.run) == mode(folder.lock) == 0o600


async def test_the_secrets_are_made_once_and_the_public_key_is_theirs(
    held: tuple[DataFolder, Servers],
) -> None:
    _, servers = held
    assert servers.settings.sandbox is not None
    secrets = sandbox_secrets.read(servers.settings.sandbox)
    jwks = msgspec.json.decode(Path(servers.settings.jwks).read_bytes())
    public = {name: value for name, value in secrets.signing_key.items() if name != "d"}
    assert jwks == {"keys": [public]}
    assert secrets.signing_key["d"]
    assert public["kid"]
    assert secrets.pepper == servers.settings.pepper
    for key in (secrets.shop_key, secrets.admin_key):
        prefix, id_, secret = key.split("_", 2)
        assert (prefix, len(id_), len(secret)) == ("ek", 8, 43)
        int(id_, 16)


async def test_a_folder_in_use_is_refused_with_the_pid_of_its_user(held: tuple[DataFolder, Servers]) -> None:
    folder, _ = held
    with pytest.raises(FolderInUse) as refused:
        async with open_folder(folder.path):
            pass
    assert str(refused.value) == f"{folder.path} is in use by the running program with pid {os.getpid()}"


async def test_a_command_joins_an_installation_that_runs(held: tuple[DataFolder, Servers]) -> None:
    folder, servers = held
    async with open_installation(folder.path) as settings:
        assert settings == servers.settings


async def test_valkey_comes_back_on_its_port_with_what_it_held(held: tuple[DataFolder, Servers]) -> None:
    folder, servers = held
    async with Redis.from_url(servers.settings.state_url) as client:
        await client.set("kept", "through a kill")
    pid = await kill(servers, "Valkey")
    async with asyncio.timeout(BACK_S), Redis.from_url(servers.settings.state_url) as client:
        while True:
            try:
                assert await client.get("kept") == b"through a kill"
                break
            except RedisError:
                await asyncio.sleep(0.02)
    await noted(folder, "Valkey", not_pid=pid)


async def test_postgresql_comes_back_with_what_it_held(held: tuple[DataFolder, Servers]) -> None:
    folder, servers = held
    await ask(servers.settings, "CREATE TABLE kept AS SELECT 1 AS one")
    pid = await kill(servers, "PostgreSQL")
    async with asyncio.timeout(BACK_S):
        while True:
            try:
                assert await ask(servers.settings, "SELECT one FROM kept") == 1
                break
            except (OSError, DBAPIError):
                await asyncio.sleep(0.02)
    await noted(folder, "PostgreSQL", not_pid=pid)


async def kill(servers: Servers, name: str) -> int:
    pid = servers.supervisor.pid(name)
    os.kill(pid, signal.SIGKILL)
    return pid


async def noted(folder: DataFolder, name: str, *, not_pid: int) -> None:
    """Wait until the file for others names the new child."""
    async with asyncio.timeout(BACK_S):
        while True:
            run = run_file.read(folder)
            assert run is not None
            if [kin for kin in run.kin if kin.name == name and kin.pid != not_pid]:
                return
            await asyncio.sleep(0.02)
