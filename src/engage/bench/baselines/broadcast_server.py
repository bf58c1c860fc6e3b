"""The baseline of `feed`, a child program: the server of the websockets library with its `broadcast`."""

import asyncio

from msgspec import Struct
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve

from engage.bench.clients.pacing import OpenPacer, Pacer, PortOpen
from engage.bench.setup.child_program import answer_requests
from engage.bench.setup.constants import HOST, raise_file_limit


class StartServer(Struct, frozen=True, tag=True):
    """Serve on a free port."""


class Broadcast(Struct, frozen=True, tag=True):
    """Send the message to all `sockets`, once a round. Wait first until all have connected."""

    message: str
    rounds: int
    sockets: int


class MessagesSent(Struct, frozen=True):
    messages: int


class BroadcastServer:
    def __init__(self) -> None:
        self._server: Server | None = None
        self._connections: set[ServerConnection] = set()
        self._connected = asyncio.Event()
        self._pacer = Pacer()

    async def handle(self, request: StartServer | OpenPacer | Broadcast) -> Struct:
        match request:
            case StartServer():
                raise_file_limit()
                # As in the feed: no compression, and the keepalive of the library.
                self._server = await serve(self._keep_open, HOST, 0, compression=None)
                return PortOpen(next(iter(self._server.sockets)).getsockname()[1])
            case OpenPacer():
                self._pacer = await Pacer().__aenter__()
                return PortOpen(self._pacer.port)
            case Broadcast():
                return await self._broadcast(request)

    async def _broadcast(self, request: Broadcast) -> MessagesSent:
        while len(self._connections) < request.sockets:
            self._connected.clear()
            await self._connected.wait()
        for _ in range(request.rounds):
            await self._pacer.wait()
            broadcast(self._connections, request.message)
            # Let closing and pings run, as they do in a real program.
            await asyncio.sleep(0)
        return MessagesSent(request.rounds * len(self._connections))

    async def _keep_open(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        self._connected.set()
        try:
            await connection.wait_closed()
        finally:
            self._connections.discard(connection)


if __name__ == "__main__":
    answer_requests(StartServer | OpenPacer | Broadcast, BroadcastServer().handle)
