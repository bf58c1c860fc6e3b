"""A child program that answers every HTTP request with the same bytes: the limit of the load client."""

import asyncio
from typing import cast

from msgspec import Struct

from engage.bench.setup.child_program import answer_requests
from engage.bench.setup.constants import HOST

BODY = (
    b'{"credits":[{"id":"019aa0c0-0000-7000-8000-000000000000","rule":"fuel","points":2,"state":"pending"}]}'
)
RESPONSE = b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


class StartServer(Struct, frozen=True):
    """Serve on a free port until the program ends."""


class ServerStarted(Struct, frozen=True):
    port: int


class _FixedResponse(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport has the methods of asyncio.Transport but is no subclass.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(RESPONSE * data.count(b"\r\n\r\n"))


async def start_server(_request: StartServer) -> ServerStarted:
    server = await asyncio.get_running_loop().create_server(_FixedResponse, HOST, 0)
    _servers.append(server)
    return ServerStarted(server.sockets[0].getsockname()[1])


_servers: list[asyncio.Server] = []  # References, so that they are not collected.

if __name__ == "__main__":
    answer_requests(StartServer, start_server)
