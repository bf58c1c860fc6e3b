"""A server that answers every request with the same bytes: what the load client can do at most. A hand."""

import asyncio
from typing import cast

from msgspec import Struct

from engage.bench.setup.child_program import obey
from engage.bench.setup.constants import HOST

BODY = (
    b'{"credits":[{"id":"019aa0c0-0000-7000-8000-000000000000","rule":"fuel","points":2,"state":"pending"}]}'
)
ANSWER = b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Serve(Struct, frozen=True):
    """Begin, on a free port."""


class Serving(Struct, frozen=True):
    port: int


class _Canned(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # As uvloop's is, without being its subclass.

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))


async def serve(_order: Serve) -> Serving:
    server = await asyncio.get_running_loop().create_server(_Canned, HOST, 0)
    # It serves for as long as this process lives.
    kept.append(server)
    return Serving(server.sockets[0].getsockname()[1])


kept: list[asyncio.Server] = []

if __name__ == "__main__":
    obey(Serve, serve)
