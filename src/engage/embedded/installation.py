"""Run the servers of an installation: for `engage up`, commands on a folder, tests and benchmarks."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from engage.embedded import postgres as pg
from engage.embedded import run_file, secrets
from engage.embedded import valkey as vk
from engage.embedded.child_process import POLL_S
from engage.embedded.data_folder import DEFAULT_FOLDER, DataFolder, folder_at, is_locked, lock_folder
from engage.embedded.errors import FolderInUse, InstallationError
from engage.embedded.run_file import Run
from engage.embedded.supervisor import Supervisor, start_all
from engage.settings import Settings, from_environment, names_a_database, to_environment

STARTING_S = 15.0  # Time for another run of the same folder to become reachable.


class Servers(msgspec.Struct, frozen=True):
    """Running servers, and their supervisor, which can start more processes."""

    settings: Settings
    supervisor: Supervisor


def _ignore_message(_line: str) -> None:
    pass


def _ignore_ready(_name: str, _seconds: float) -> None:
    pass


def _unchanged(settings: Settings) -> Settings:
    return settings


@asynccontextmanager
async def open_folder(
    path: Path, *, on_message: Callable[[str], None] = _ignore_message
) -> AsyncIterator[DataFolder]:
    """Create or open an installation's folder, lock it, and stop processes that a killed run left.

    Raises InstallationError.
    """
    folder = folder_at(path)
    with lock_folder(folder):
        for name in await run_file.end_leftovers(folder):
            on_message(f"{name} was still running after a run that was killed; it was ended")
        run_file.write(folder, Run())
        try:
            yield folder
        finally:
            run_file.clean_up(folder)


def settings_for(folder: DataFolder, postgres: pg.Postgres, valkey: vk.Valkey) -> Settings:
    """Return the settings of a sandbox on these servers. Create its secrets if there are none."""
    return Settings(
        database_url=pg.url(postgres),
        state_url=vk.url(valkey, vk.STATE),
        queue_url=vk.url(valkey, vk.QUEUE),
        topics_url=vk.url(valkey, vk.STATE),
        jwks=str(folder.jwks),
        pepper=secrets.ensure(folder).pepper,
        sandbox=folder.sandbox,
    )


@asynccontextmanager
async def open_servers(
    folder: DataFolder,
    *,
    durable: bool = True,
    adjust: Callable[[Settings], Settings] = _unchanged,
    on_message: Callable[[str], None] = _ignore_message,
    on_ready: Callable[[str, float], None] = _ignore_ready,
) -> AsyncIterator[Servers]:
    """Run the servers of a locked folder. `adjust` changes the settings before other processes read them.
    `on_ready` receives the name of each server and the seconds until it was ready.

    Raises InstallationError.
    """
    valkey = vk.prepare(folder, durable=durable)
    postgres = await pg.prepare(folder, durable=durable)
    for opened in postgres.opened:
        on_message(f"every user may now traverse {opened}, because PostgreSQL runs as another user")
    settings = adjust(settings_for(folder, postgres, valkey))
    environment: dict[str, str] = {}

    def record() -> None:
        run_file.write(
            folder, Run(environment=environment, processes=supervisor.records(), scratch=postgres.scratch)
        )

    supervisor = Supervisor(record, on_message)
    try:
        await _start_servers(supervisor, postgres, valkey, on_ready)
        environment.update(to_environment(settings))
        record()
        yield Servers(settings, supervisor)
    finally:
        await supervisor.stop()


@asynccontextmanager
async def running_servers(path: Path, *, durable: bool = True) -> AsyncIterator[Settings]:
    """Run the servers of the installation at `path`, which is created if it does not exist.

    Raises InstallationError.
    """
    async with open_folder(path) as folder, open_servers(folder, durable=durable) as servers:
        yield servers.settings


@asynccontextmanager
async def open_installation(path: Path | None) -> AsyncIterator[Settings]:
    """Open the installation that a command works on, running or not. Without `path` it is that of the
    environment variables, or else of the default folder.

    Raises InstallationError, SettingsError.
    """
    if path is None and names_a_database(os.environ):
        yield from_environment()
        return
    folder = folder_at(path or DEFAULT_FOLDER)
    if not folder.layout.exists():
        raise InstallationError(f"{folder.path} is not a data folder of engage; `engage up` creates one")
    environment = await running_environment(folder)
    if environment is not None:
        yield from_environment(environment)
        return
    async with running_servers(folder.path) as settings:
        yield settings


async def running_environment(folder: DataFolder) -> dict[str, str] | None:
    """Return the environment of the run that has locked the folder, or None if there is none.

    Raises FolderInUse where the run does not become reachable.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STARTING_S
    while is_locked(folder):
        run = run_file.read(folder)
        if run is not None and run.environment:
            return run.environment
        if loop.time() > deadline:
            raise FolderInUse(folder.path, None)
        await asyncio.sleep(POLL_S)
    return None


async def _start_servers(
    supervisor: Supervisor, postgres: pg.Postgres, valkey: vk.Valkey, on_ready: Callable[[str, float], None]
) -> None:
    async def start_postgres() -> None:
        seconds = await supervisor.start(postgres.process)
        version = await pg.ensure_database(postgres)
        on_ready(f"{pg.NAME} {version}", seconds)

    async def start_valkey() -> None:
        on_ready(vk.NAME, await supervisor.start(valkey.process))

    await start_all(start_postgres(), start_valkey())
