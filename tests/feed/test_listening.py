"""All clients can come back at once after a restart, also while the feed is busy with the first of them."""

import asyncio
import resource
import socket
import time

from engage.feed.server import _listening_sockets

CLIENTS = 5_000
WITHIN_S = 0.9  # The system sends a first packet again after a second.


async def test_five_thousand_connections_wait_to_be_accepted() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listening = _listening_sockets("127.0.0.1", 0)
    clients = [socket.socket() for _ in range(CLIENTS)]
    try:
        began = time.monotonic()
        for client in clients:
            client.setblocking(False)
            client.connect_ex(listening[0].getsockname())
        async with asyncio.timeout(30):
            while not all(_is_connected(client) for client in clients):
                await asyncio.sleep(0.01)
                assert time.monotonic() - began < WITHIN_S + 5
        retransmitted = sum(_retransmissions(client) for client in clients)
        assert retransmitted == 0, "a client found no place"
    finally:
        for each in (*clients, *listening):
            each.close()


def _is_connected(client: socket.socket) -> bool:
    try:
        client.getpeername()
    except OSError:
        return False
    return True


def _retransmissions(client: socket.socket) -> int:
    """Return tcpi_total_retrans of Linux."""
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int.from_bytes(info[100:104], "little")
