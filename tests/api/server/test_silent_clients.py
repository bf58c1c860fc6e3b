"""Thousands of clients that send nothing, or half of it, do not keep anybody from tapping."""

import asyncio
import itertools
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from engage.api.server.connections import Limits
from engage.flows.operations.install import install
from engage.settings import Settings
from tests.api.process import ApiProcess, api_process

SILENT = 3_000
TAPS = 30
TAP_S = 2.0  # Machines of tests are busy. Before, a tap waited as long as the silent ones stayed.

BEGINNINGS = (
    b"",
    b"",
    b"POST /v1/fuel/taps HTTP/1.1\r\nhost: x\r\nauth",
    b"POST /v1/sandbox/clock HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b'content-length: 20\r\n\r\n{"advance"',
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


async def test_taps_go_on_while_thousands_of_clients_are_silent(settings: Settings, tmp_path: Path) -> None:
    await install(settings)
    async with api_process(settings, tmp_path) as api:
        async with httpx.AsyncClient(base_url=api.url) as client:
            made = [
                (await client.post("/v1/sandbox/members", json={"program": "eu-mi-points"})).json()
                for _ in range(TAPS)
            ]
        with enough_descriptors(), ExitStack() as stack:
            silent = [stack.enter_context(_silent(api, sent)) for sent in _beginnings()]
            for member in made:
                # Each tap comes by a new connection, behind all of the silent ones.
                async with httpx.AsyncClient(base_url=api.url, timeout=TAP_S) as client:
                    headers = {"authorization": f"Bearer {member['token']}"}
                    assert (await client.post("/v1/fuel/taps", headers=headers)).status_code == 202
            async with asyncio.timeout(TAP_S * 2):
                while sum(map(_is_open, silent)) > Limits().per_address:
                    await asyncio.sleep(0.1)


@contextmanager
def enough_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SILENT + 500
    if before[0] < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, before[1])))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _beginnings() -> Iterator[bytes]:
    return itertools.islice(itertools.cycle(BEGINNINGS), SILENT)


def _silent(api: ApiProcess, sent: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", api.settings.api_port))
    client.sendall(sent)
    client.setblocking(False)
    return client


def _is_open(client: socket.socket) -> bool:
    try:
        return client.recv(1024, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
