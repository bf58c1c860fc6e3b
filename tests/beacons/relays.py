"""Local relays of a beacon, which answer what a test sets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec


class Relay:
    """`status` and `body` answer every request. With `hanging` none is answered."""

    def __init__(self, status: int = 200, body: bytes = b"", *, hanging: bool = False) -> None:
        self.status, self.body, self.hanging = status, body, hanging
        self.paths: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            self.paths.append(request.split(b" ")[1].decode())
            if self.hanging:
                await reader.read()
                return
            head = (
                f"HTTP/1.1 {self.status} .\r\nContent-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + self.body)
            await writer.drain()
        finally:
            writer.close()


def round_of(number: int, signature: str) -> bytes:
    """A relay's answer, with fields that are not read."""
    return msgspec.json.encode({"round": number, "randomness": "00", "signature": signature})


@asynccontextmanager
async def serving(*relays: Relay) -> AsyncIterator[list[str]]:
    """Serve relays; their addresses."""
    servers = [await asyncio.start_server(relay.serve, "127.0.0.1", 0) for relay in relays]
    for relay, server in zip(relays, servers, strict=True):
        relay.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield [relay.url for relay in relays]
    finally:
        for server in servers:
            server.close()
