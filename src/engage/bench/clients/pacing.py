"""How a sender of pushes does not run ahead of the clients: they say when a round has reached them all."""

import asyncio
from types import TracebackType

from engage.bench.setup.constants import HOST

# Rounds under way: enough to keep everyone busy, few enough that no socket's buffer fills and no state is
# skipped.
AHEAD = 4


class Pace(asyncio.Protocol):
    """Listens at `port`. The first rounds may be sent when the clients connect, which they do when they can
    count; each byte from them says that one more has arrived.
    """

    port: int

    def __init__(self) -> None:
        self._open = asyncio.Semaphore(0)
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Pace":
        self._server = await asyncio.get_running_loop().create_server(lambda: self, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._allow(AHEAD)

    def data_received(self, data: bytes) -> None:
        self._allow(len(data))

    def _allow(self, rounds: int) -> None:
        for _ in range(rounds):
            self._open.release()

    async def turn(self) -> None:
        """Returns when one more round may be sent."""
        await self._open.acquire()
