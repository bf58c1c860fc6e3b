"""A PostgreSQL with a standby, which tests stop and promote, and a Valkey."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec

from engage.embedded import postgres, valkey
from engage.embedded.child_process import SystemUser
from engage.embedded.data_folder import folder_at, lock_folder
from engage.embedded.installation import settings_for
from engage.flows.operations.install import install
from engage.settings import Settings
from tests.support.clock import set_sandbox_clock
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S
from tests.support.servers import Server, own_servers

STANDBY = "standby"


class Host(msgspec.Struct, frozen=True):
    """A server of the pair, and the folder of its socket."""

    server: Server
    sockets: Path

    async def run(self, statement: str) -> object:
        """Run a statement outside of engage; return the first value of its result."""
        connection = await asyncpg.connect(
            host=str(self.sockets), port=postgres.PORT, user=postgres.SUPERUSER, database=postgres.DATABASE
        )
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    async def promote(self) -> None:
        assert await self.run("SELECT pg_promote()")

    async def until(self, condition: str) -> None:
        """Wait until a statement that answers with a boolean says yes."""
        async with asyncio.timeout(WITHIN_S):
            while not await self.run(condition):
                await asyncio.sleep(LOOK_AGAIN_S)


class Pair(msgspec.Struct, frozen=True):
    """`settings` name both hosts."""

    settings: Settings
    primary: Host
    standby: Host
    valkey: Server

    async def wait_for_standby(self) -> None:
        """Let every commit wait for the standby from now on."""
        await self.primary.run(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
        await self.primary.run("SELECT pg_reload_conf()")
        await self.primary.until("SELECT sync_state = 'sync' FROM pg_stat_replication")

    async def until_replayed(self) -> None:
        """Wait until the standby has everything that the primary has."""
        at = await self.primary.run("SELECT pg_current_wal_lsn()::text")
        await self.standby.until(f"SELECT pg_last_wal_replay_lsn() >= '{at}'::pg_lsn")


async def install_once(path: Path) -> Path:
    """Prepare an installation whose servers are stopped. Pairs begin with copies of its folder."""
    async with own_servers(path) as servers:
        await install(servers.settings)
        await set_sandbox_clock(servers.settings)
        await servers.postgres.stop()
    return path / "installation"


@asynccontextmanager
async def running_pair(path: Path, installed: Path | None = None) -> AsyncIterator[Pair]:
    """Start a primary with a copy of an installation or an empty database, its standby by streaming
    replication, and a Valkey.
    """
    if os.geteuid() == 0:
        path.parent.chmod(0o711)
    folder, copy = folder_at(path / "first"), folder_at(path / "second")
    if installed is not None:
        await _run_program("cp", "-a", str(installed), str(folder.path))
    with lock_folder(folder), lock_folder(copy):
        first = await postgres.prepare(folder, durable=False)
        cache = valkey.prepare(folder, durable=False)
        primary = Host(Server(first.process), first.sockets)
        state = Server(cache.process)
        standby: Host | None = None
        try:
            await primary.server.start()
            await postgres.ensure_database(first)
            await _copy(first, copy.postgres)
            second = await postgres.prepare(copy, durable=False)
            standby = Host(Server(second.process), second.sockets)
            await standby.server.start()
            await state.start()
            hosts = f"{first.sockets},{second.sockets}"
            ports = f"{postgres.PORT},{postgres.PORT}"
            settings = msgspec.structs.replace(
                settings_for(folder, first, cache),
                database_url=f"postgresql+asyncpg://{postgres.SUPERUSER}@/{postgres.DATABASE}"
                f"?host={hosts}&port={ports}",
            )
            yield Pair(settings, primary, standby, state)
        finally:
            for server in (primary.server, state, *([standby.server] if standby else [])):
                await server.kill()


async def _copy(first: postgres.Postgres, target: Path) -> None:
    """Copy the files of the running primary, with the settings of a standby of it."""
    target.mkdir(mode=0o700, exist_ok=True)
    user = first.process.user
    if user is not None:
        os.chown(target, user.uid, user.gid)
    program = Path(first.process.command[0]).parent / "pg_basebackup"
    where = f"host={first.sockets} port={postgres.PORT} user={postgres.SUPERUSER} application_name={STANDBY}"
    options = ("-d", where, "-D", str(target), "-R", "-X", "stream", "-c", "fast", "--no-sync")
    await _run_program(str(program), *options, cwd=target, user=user)


async def _run_program(*command: str, cwd: Path | None = None, user: SystemUser | None = None) -> None:
    running = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.environ["PATH"]},
        user=None if user is None else user.uid,
        group=None if user is None else user.gid,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await running.communicate()
    assert running.returncode == 0, errors.decode()
