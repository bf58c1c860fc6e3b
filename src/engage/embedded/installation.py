"""An installation's servers, running: for `up`, for commands on a folder, for tests and benchmarks."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from engage.embedded import postgres as pg
from engage.embedded import run_file, secrets
from engage.embedded import valkey as vk
from engage.embedded.child import POLL_S
from engage.embedded.data_folder import DEFAULT_FOLDER, DataFolder, folder_at, hold, is_held
from engage.embedded.errors import FolderInUse, InstallationError
from engage.embedded.run_file import Run
from engage.embedded.supervisor import Supervisor, together
from engage.settings import Settings, from_environment, to_environment

STARTING_S = 15.0  # How long another run of the same folder may take until it can be joined.


class Servers(msgspec.Struct, frozen=True):
    """Running servers, and the supervisor that keeps them so and takes more parts."""

    settings: Settings
    supervisor: Supervisor


def _unsaid(_line: str) -> None:
    pass


def _untold(_what: str, _seconds: float) -> None:
    pass


def _as_they_are(settings: Settings) -> Settings:
    return settings


@asynccontextmanager
async def open_folder(path: Path, *, say: Callable[[str], None] = _unsaid) -> AsyncIterator[DataFolder]:
    """Hold an installation's folder, made if there is none, and end what a killed run left running in it.

    Raises InstallationError.
    """
    folder = folder_at(path)
    with hold(folder):
        for name in await run_file.end_leftovers(folder):
            say(f"{name} was still running after a run that was killed; it is ended")
        run_file.write(folder, Run())
        try:
            yield folder
        finally:
            run_file.clear_away(folder)


@asynccontextmanager
async def open_servers(
    folder: DataFolder,
    *,
    durable: bool = True,
    adjust: Callable[[Settings], Settings] = _as_they_are,
    say: Callable[[str], None] = _unsaid,
    told: Callable[[str, float], None] = _untold,
) -> AsyncIterator[Servers]:
    """Run the servers of a folder that is held. `adjust` changes the settings before others can read them;
    `told` hears what came up, and the seconds it took.

    Raises InstallationError.
    """
    known = secrets.ensure(folder)
    valkey = vk.prepare(folder, durable=durable)
    postgres = await pg.prepare(folder, durable=durable)
    for opened in postgres.opened:
        say(f"{opened} can now be passed through by every user, which PostgreSQL's own needs")
    settings = adjust(
        Settings(
            database_url=pg.url(postgres),
            state_url=vk.url(valkey, vk.STATE),
            queue_url=vk.url(valkey, vk.QUEUE),
            topics_url=vk.url(valkey, vk.STATE),
            jwks=str(folder.jwks),
            pepper=known.pepper,
            sandbox=folder.sandbox,
        )
    )
    joinable: dict[str, str] = {}

    def note() -> None:
        run_file.write(folder, Run(environment=joinable, kin=supervisor.kin(), scratch=postgres.scratch))

    supervisor = Supervisor(note, say)
    try:
        await _start_servers(supervisor, postgres, valkey, told)
        joinable.update(to_environment(settings))
        note()
        yield Servers(settings, supervisor)
    finally:
        await supervisor.stop()


@asynccontextmanager
async def running_servers(path: Path, *, durable: bool = True) -> AsyncIterator[Settings]:
    """The servers of the installation at `path`, made if there is none, for as long as the context is open.

    Raises InstallationError.
    """
    async with open_folder(path) as folder, open_servers(folder, durable=durable) as servers:
        yield servers.settings


@asynccontextmanager
async def open_installation(path: Path | None) -> AsyncIterator[Settings]:
    """What a command works on: the installation of a folder, running or not; without one, the environment's;
    without that, the default folder's.

    Raises InstallationError, SettingsError.
    """
    if path is None and "ENGAGE_DATABASE_URL" in os.environ:
        yield from_environment()
        return
    folder = folder_at(path or DEFAULT_FOLDER)
    if not folder.layout.exists():
        raise InstallationError(f"{folder.path} is not a data folder of engage; `engage up` makes one")
    settings = await _join(folder)
    if settings is not None:
        yield settings
        return
    async with running_servers(folder.path) as settings:
        yield settings


async def _join(folder: DataFolder) -> Settings | None:
    """The settings of the run that holds the folder; None where nobody does."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STARTING_S
    while is_held(folder):
        run = run_file.read(folder)
        if run is not None and run.environment:
            return from_environment(run.environment)
        if loop.time() > deadline:
            raise FolderInUse(folder.path, None)
        await asyncio.sleep(POLL_S)
    return None


async def _start_servers(
    supervisor: Supervisor, postgres: pg.Postgres, valkey: vk.Valkey, told: Callable[[str, float], None]
) -> None:
    async def start_postgres() -> None:
        seconds = await supervisor.start(postgres.part)
        version = await pg.ensure_database(postgres)
        told(f"{pg.NAME} {version}", seconds)

    async def start_valkey() -> None:
        told(vk.NAME, await supervisor.start(valkey.part))

    await together(start_postgres(), start_valkey())
