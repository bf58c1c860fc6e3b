"""A Valkey of one test, which may kill, restart and hang it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from engage.embedded import valkey
from engage.embedded.data_folder import folder_at, lock_folder
from tests.support.servers import Server


class OwnValkey(Server):
    def __init__(self, prepared: valkey.Valkey) -> None:
        super().__init__(prepared.process)
        self.port = prepared.port

    def connected_from(self) -> set[int]:
        """Return the local ports of this process's connections to the server."""
        return {
            connection.laddr.port
            for connection in psutil.Process().net_connections("tcp")
            if connection.raddr and connection.raddr.port == self.port and connection.status == "ESTABLISHED"
        }


@asynccontextmanager
async def own_valkey(path: Path) -> AsyncIterator[OwnValkey]:
    folder = folder_at(path / "installation")
    with lock_folder(folder):
        server = OwnValkey(valkey.prepare(folder, durable=False))
        try:
            await server.start()
            yield server
        finally:
            await server.kill()
