"""Local relays of a beacon, which answer what a test sets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from tests.support.tcp import HOST, tcp_server


class Relay:
    """`status` and `body` answer every request. With `hanging` none is answered."""

    def __init__(self, status: int = 200, body: bytes = b"", *, hanging: bool = False) -> None:
        self.status, self.body, self.hanging = status, body, hanging
        self.paths: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        self.paths.append(request.split(b" ")[1].decode())
        if not self.hanging:
            head = (
                f"HTTP/1.1 {self.status} .\r\nContent-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + self.body)
            writer.write_eof()
        await reader.read()  # The client closes the connection.


def round_of(number: int, signature: str) -> bytes:
    """A relay's answer, with fields that are not read."""
    return msgspec.json.encode({"round": number, "randomness": "00", "signature": signature})


@asynccontextmanager
async def serving(*relays: Relay) -> AsyncIterator[list[str]]:
    """Serve relays; their addresses."""
    async with AsyncExitStack() as stack:
        for relay in relays:
            port = await stack.enter_async_context(tcp_server(relay.serve))
            relay.url = f"http://{HOST}:{port}"
        yield [relay.url for relay in relays]
