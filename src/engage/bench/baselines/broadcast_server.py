"""What the feed is compared with: the websockets library's server and its `broadcast`. A hand."""

import asyncio

from msgspec import Struct
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve

from engage.bench.clients.pacing import Pace
from engage.bench.setup.child_program import obey
from engage.bench.setup.constants import HOST, many_files


class Begin(Struct, frozen=True, tag=True):
    """Serve on a free port."""


class Prepare(Struct, frozen=True, tag=True):
    """Listen for the clients' pace."""


class Broadcast(Struct, frozen=True, tag=True):
    """The message to everyone, so many times. They are `sockets`, once the last of them has come."""

    message: str
    rounds: int
    sockets: int


class Begun(Struct, frozen=True):
    port: int


class Sent(Struct, frozen=True):
    messages: int


class BareFeed:
    def __init__(self) -> None:
        self._server: Server | None = None
        self._connections: set[ServerConnection] = set()
        self._joined = asyncio.Event()
        self._pace = Pace()

    async def act(self, order: Begin | Prepare | Broadcast) -> Struct:
        match order:
            case Begin():
                many_files()
                # As the feed has it: no compression, and the library's keepalive, which is the feed's too.
                self._server = await serve(self._handle, HOST, 0, compression=None)
                return Begun(next(iter(self._server.sockets)).getsockname()[1])
            case Prepare():
                self._pace = await Pace().__aenter__()
                return Begun(self._pace.port)
            case Broadcast():
                while len(self._connections) < order.sockets:
                    self._joined.clear()
                    await self._joined.wait()
                for _ in range(order.rounds):
                    await self._pace.turn()
                    broadcast(self._connections, order.message)
                    # Closing and pings have their turn, as they would have in a program.
                    await asyncio.sleep(0)
                return Sent(order.rounds * len(self._connections))

    async def _handle(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        self._joined.set()
        try:
            await connection.wait_closed()
        finally:
            self._connections.discard(connection)


if __name__ == "__main__":
    obey(Begin | Prepare | Broadcast, BareFeed().act)
