"""No server error is overlooked, whichever of torture's clients gets it and whatever it makes of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import cast

import httpx
import pytest
from msgspec import Struct

import engage.torture
from engage.embedded.errors import ProcessFailed
from engage.torture.asking import advance, open_client
from engage.torture.checks.exchanges import exchanges_of
from engage.torture.checks.statuses import no_server_errors
from engage.torture.endpoints import Endpoints
from engage.torture.members.sockets import Screen
from engage.torture.record import Record, read_record
from engage.torture.recovery import Probe
from engage.torture.system import System, wait_until_ready
from tests.support.tcp import HOST, tcp_server

ANSWER_S = 10.0
OUTAGE = "503 retry-after: 1"

# The probe's answers of an API that is live: it is ready, a member joins, and taps.
LIVE = ("200", '201 {"token": "t"}', "202")


@asynccontextmanager
async def answering(*answers: str) -> AsyncIterator[str]:
    """Serve one answer after the other, of a status and a header or a body, and the last one for ever."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await reader.readexactly(int(line.partition(b":")[2]))
        status, _, rest = (left.pop(0) if len(left) > 1 else left[0]).partition(" ")
        body, header = (rest, "") if rest.startswith("{") else ("", f"{rest}\r\n" if rest else "")
        writer.write(
            f"HTTP/1.1 {status} {HTTPStatus(int(status)).phrase}\r\n{header}content-length: {len(body)}\r\n"
            f"connection: close\r\n\r\n{body}".encode()
        )
        await writer.drain()

    async with tcp_server(serve) as port:
        yield f"{HOST}:{port}"


def endpoints(address: str) -> Endpoints:
    return Endpoints(
        apis=(f"http://{address}",),
        feed_url=f"ws://{address}/",
        shop_key="",
        admin_key="",
        approver_key="",
        database_url="",
        programs=(),
    )


class Installed(Struct):
    """An installation as the probe sees it."""

    endpoints: Endpoints

    def pid(self, _name: str) -> int:
        return 0


def found(record: Record) -> list[str]:
    return [broken.text for broken in no_server_errors(exchanges_of(record.lines))]


@pytest.mark.parametrize(
    ("answers", "path"),
    [
        (("500",), "/health/ready"),
        (("200", "500"), "/v1/sandbox/members"),
        (("200", LIVE[1], "502"), "/v1/fuel/taps"),
        (("503",), "/health/ready"),
    ],
)
async def test_a_server_error_that_the_probe_waits_out_is_found(answers: Sequence[str], path: str) -> None:
    record = Record()
    async with answering(*answers, *LIVE) as address:
        system = cast(System, Installed(endpoints(address)))
        recovery = await Probe(system, record).until_live(asyncio.get_running_loop().time())
    assert not recovery.missing
    assert found(record) == [f"probe, {path}: {answers[-1]} "]


async def test_an_outage_that_says_when_to_ask_again_is_none() -> None:
    record = Record()
    async with answering(OUTAGE, "200", OUTAGE, *LIVE) as address:
        system = cast(System, Installed(endpoints(address)))
        await Probe(system, record).until_live(asyncio.get_running_loop().time())
    assert found(record) == []


async def test_an_advance_is_repeated_after_an_outage_and_after_nothing_else() -> None:
    record = Record()
    async with (
        answering(OUTAGE, "200", "500", "200") as address,
        open_client(record, "end", base_url=f"http://{address}", timeout_s=ANSWER_S) as client,
    ):
        await advance(client, "PT1H")
        assert found(record) == []
        with pytest.raises(httpx.HTTPStatusError):
            await advance(client, "PT1H")
    assert found(record) == ["end, /v1/sandbox/clock: 500 "]


async def test_a_server_error_is_in_the_file_with_its_request(tmp_path: Path) -> None:
    with Record(tmp_path / "record.jsonl") as record:
        async with (
            answering('500 {"code": "bug"}') as address,
            open_client(record, "checks", base_url=f"http://{address}", timeout_s=ANSWER_S) as client,
        ):
            assert (await client.get("/v1/me")).json() == {"code": "bug"}
    assert found(read_record(tmp_path / "record.jsonl")) == ['checks, /v1/me: 500 {"code": "bug"}']


async def test_a_server_error_whose_body_is_cut_off_is_found() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 100\r\n\r\n{")
        await writer.drain()

    record = Record()
    async with (
        tcp_server(cut) as port,
        open_client(record, "checks", base_url=f"http://{HOST}:{port}", timeout_s=ANSWER_S) as client,
    ):
        with pytest.raises(httpx.TransportError):
            await client.get("/v1/me")
    assert found(record) == ["checks, /v1/me: 500 "]


@pytest.mark.parametrize(("answer", "is_found"), [("500", True), ("503", True), (OUTAGE, False)])
async def test_a_feed_that_refuses_a_screen_with_a_server_error_is_found(answer: str, is_found: bool) -> None:
    record, end = Record(), asyncio.Event()

    async with answering(answer) as address:
        watching = asyncio.create_task(
            Screen(endpoints(address), record, Random(1), "anna", "token").watch(end)
        )
        await asyncio.sleep(0)
        end.set()
        await asyncio.wait_for(watching, ANSWER_S)
    assert found(record) == ([f"anna feed, /: {answer} "] if is_found else [])


async def test_an_installation_that_answers_with_a_server_error_has_not_started() -> None:
    async with answering(OUTAGE, "500", "200") as address:
        with pytest.raises(ProcessFailed, match="500"):
            await wait_until_ready(endpoints(address))


def test_every_client_of_torture_keeps_what_it_is_answered() -> None:
    """Those of the members put each exchange in the record themselves."""
    folder = Path(engage.torture.__path__[0])
    openers = {
        str(path.relative_to(folder))
        for path in folder.rglob("*.py")
        if "httpx.AsyncClient(" in path.read_text()
    }
    assert openers == {"asking.py", "members/__init__.py"}
