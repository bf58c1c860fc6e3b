"""The program of the proxies: it loses no byte of a healthy link, obeys orders, and ends with its parent."""

import asyncio
from contextlib import suppress

from engage.torture.links import open_links
from tests.support.tcp import tcp_server

LINK = "api-1/valkey-state"
CLIENTS = 200
ANSWER_S = 60.0  # A guard against hanging.


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while received := await reader.read(1_000):
        writer.write(received)


async def _asked(port: int) -> bytes:
    """Send before the proxy can have reached the server, and return the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"early")
        return await asyncio.wait_for(reader.readexactly(5), ANSWER_S)
    finally:
        writer.transport.abort()


async def test_bytes_that_come_before_the_server_is_reached_are_kept() -> None:
    async with tcp_server(_echo) as port, open_links({LINK: port}, []) as links:
        answers = await asyncio.gather(*(_asked(links.ports[LINK]) for _ in range(CLIENTS)))
        assert answers == [b"early"] * CLIENTS


async def test_a_link_that_was_refused_serves_again() -> None:
    async with tcp_server(_echo) as port, open_links({LINK: port}, []) as links:
        await links.order("refuse", LINK)
        with suppress(OSError, EOFError):
            assert not await _asked(links.ports[LINK])
        await links.order("heal", LINK)
        assert await _asked(links.ports[LINK]) == b"early"


async def test_cut_says_how_many_connections_it_ended() -> None:
    async with tcp_server(_echo) as port, open_links({LINK: port}, []) as links:
        reader, writer = await asyncio.open_connection("127.0.0.1", links.ports[LINK])
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        assert await links.order("cut", LINK) == 1
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), ANSWER_S) == b""
        writer.transport.abort()
