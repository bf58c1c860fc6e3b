"""Keep a sender of pushes from running ahead of its receivers: they confirm each round."""

import asyncio
from types import TracebackType

from msgspec import Struct

from engage.bench.setup.constants import HOST

# Rounds in flight: enough to keep all processes busy, few enough that no socket buffer fills and no change
# is skipped.
ROUNDS_IN_FLIGHT = 4


class OpenPacer(Struct, frozen=True, tag=True):
    """Open the port at which receivers confirm rounds."""


class PortOpen(Struct, frozen=True):
    port: int


class Pacer(asyncio.Protocol):
    """A server at `port`. A connection allows the first rounds, and each byte received one more."""

    port: int

    def __init__(self) -> None:
        self._allowed = asyncio.Semaphore(0)
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Pacer":
        self._server = await asyncio.get_running_loop().create_server(lambda: self, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._allow(ROUNDS_IN_FLIGHT)

    def data_received(self, data: bytes) -> None:
        self._allow(len(data))

    def _allow(self, rounds: int) -> None:
        for _ in range(rounds):
            self._allowed.release()

    async def wait(self) -> None:
        """Wait until one more round may be sent."""
        await self._allowed.acquire()
