"""The servers of an installation: version, durability, permissions, restart."""

import asyncio
import os
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from engage import sandbox_secrets
from engage.embedded import postgres, run_file
from engage.embedded.data_folder import DataFolder
from engage.embedded.errors import FolderInUse
from engage.embedded.installation import Servers, open_folder, open_installation, open_servers
from engage.settings import Settings
from tests.embedded.probes import is_running, query

RESTART_S = 30.0


@pytest.fixture(scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[DataFolder, Servers]]:
    """An installation whose servers the tests of this file may kill."""
    path = tmp_path_factory.mktemp("servers") / "installation"
    async with open_folder(path) as folder, open_servers(folder) as servers:
        yield folder, servers


async def test_postgresql_is_18_or_later_and_uses_utf8(servers: Settings) -> None:
    version = await query(servers, "SELECT current_setting('server_version_num')::int")
    assert isinstance(version, int)
    assert version >= 180_000
    assert await query(servers, "SHOW server_encoding") == "UTF8"


async def test_an_installation_is_durable(installation: tuple[DataFolder, Servers]) -> None:
    _, servers = installation
    assert await query(servers.settings, "SHOW fsync") == "on"
    assert await query(servers.settings, "SHOW synchronous_commit") == "on"
    async with Redis.from_url(servers.settings.state_url) as client:
        found = await client.config_get("appendonly", "appendfsync", "maxmemory-policy", "bind")
    assert found == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1",
    }


async def test_other_users_cannot_read_the_folder(installation: tuple[DataFolder, Servers]) -> None:
    folder, _ = installation

    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    # If we are root, the user of PostgreSQL traverses the folder without reading it.
    assert mode(folder.path) == (0o711 if os.geteuid() == 0 else 0o700)
    assert mode(folder.postgres) == mode(folder.logs) == mode(folder.valkey) == 0o700
    assert mode(folder.sandbox) == mode(folder.run) == mode(folder.lock) == 0o600


async def test_the_public_key_belongs_to_the_private_key(
    installation: tuple[DataFolder, Servers],
) -> None:
    _, servers = installation
    assert servers.settings.sandbox is not None
    secrets = sandbox_secrets.read(servers.settings.sandbox)
    jwks = msgspec.json.decode(Path(servers.settings.jwks).read_bytes())
    public = {name: value for name, value in secrets.signing_key.items() if name != "d"}
    assert jwks == {"keys": [public]}
    assert secrets.signing_key["d"]
    assert public["kid"]
    assert secrets.pepper == servers.settings.pepper
    for key in (secrets.shop_key, secrets.admin_key, secrets.approver_key):
        prefix, id_, secret = key.split("_", 2)
        assert (prefix, len(id_), len(secret)) == ("ek", 8, 43)
        int(id_, 16)


async def test_a_locked_folder_is_refused_with_the_pid_of_its_process(
    installation: tuple[DataFolder, Servers],
) -> None:
    folder, _ = installation
    with pytest.raises(FolderInUse) as refused:
        async with open_folder(folder.path):
            pass
    assert str(refused.value) == f"{folder.path} is in use by the running program with pid {os.getpid()}"


async def test_a_command_uses_a_running_installation(installation: tuple[DataFolder, Servers]) -> None:
    folder, servers = installation
    async with open_installation(folder.path) as settings:
        assert settings == servers.settings


async def test_valkey_is_restarted_on_its_port_with_its_data(
    installation: tuple[DataFolder, Servers],
) -> None:
    folder, servers = installation
    async with Redis.from_url(servers.settings.state_url) as client:
        await client.set("kept", "through a kill")
    pid = await kill(servers, "Valkey")
    async with asyncio.timeout(RESTART_S), Redis.from_url(servers.settings.state_url) as client:
        while True:
            try:
                assert await client.get("kept") == b"through a kill"
                break
            except RedisError:
                await asyncio.sleep(0.02)
    await recorded(folder, "Valkey", not_pid=pid)


@pytest.mark.parametrize("hung", [False, True], ids=["running", "hung"])
async def test_postgresql_is_restarted_with_its_data(
    installation: tuple[DataFolder, Servers], hung: bool
) -> None:
    folder, servers = installation
    await query(servers.settings, "CREATE TABLE IF NOT EXISTS kept AS SELECT 1 AS one")
    children = psutil.Process(servers.supervisor.pid("PostgreSQL")).children()
    assert children
    if hung:
        # They do not notice that their parent has ended, and keep its shared memory.
        for child in children:
            with suppress(psutil.NoSuchProcess):  # Those of autovacuum come and go.
                child.suspend()
    pid = await kill(servers, "PostgreSQL")
    async with asyncio.timeout(RESTART_S):
        while True:
            try:
                assert await query(servers.settings, "SELECT one FROM kept") == 1
                break
            except (OSError, DBAPIError):
                await asyncio.sleep(0.02)
    await recorded(folder, "PostgreSQL", not_pid=pid)
    assert [child.pid for child in children if is_running(child.pid)] == []


async def test_the_locks_of_a_server_that_has_ended_are_removed(tmp_path: Path) -> None:
    """Their pid may be that of a zombie, or of another program by now: a new server would refuse to start."""
    async with open_folder(tmp_path / "installation") as folder:
        await postgres.prepare(folder, durable=False)
        locks = [folder.postgres / "postmaster.pid", folder.postgres / f".s.PGSQL.{postgres.PORT}.lock"]
        for lock in locks:
            lock.write_text(f"{os.getpid()}\n")
        await postgres.prepare(folder, durable=False)
        assert [lock for lock in locks if lock.exists()] == []


async def kill(servers: Servers, name: str) -> int:
    pid = servers.supervisor.pid(name)
    os.kill(pid, signal.SIGKILL)
    return pid


async def recorded(folder: DataFolder, name: str, *, not_pid: int) -> None:
    """Wait until `run.json` lists the new child."""
    async with asyncio.timeout(RESTART_S):
        while True:
            run = run_file.read(folder)
            assert run is not None
            if [record for record in run.processes if record.name == name and record.pid != not_pid]:
                return
            await asyncio.sleep(0.02)
