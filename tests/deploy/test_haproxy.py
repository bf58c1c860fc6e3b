"""Several APIs and feeds behind the proxy of deploy/haproxy.cfg, of which some are killed or restarted."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from engage.embedded.child_process import ChildProcess, ProcessSpec, engage_command, start
from engage.flows.operations.install import install
from engage.settings import Settings, to_environment
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S
from tests.support.haproxy import HOST, PROGRAM, haproxy, lives
from tests.support.ports import server_port

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="haproxy is not installed")

TAPS = "/v1/fuel/taps"
MEMBERS = 60
CLIENTS = 4
SOCKETS = 12


class Part:
    """One process of the installation, on a port that it keeps."""

    def __init__(self, kind: str, settings: Settings, folder: Path) -> None:
        self.port = server_port()
        address: dict[str, Any] = {f"{kind}_host": HOST, f"{kind}_port": self.port}
        self._spec = ProcessSpec(
            name=f"{kind}-{self.port}",
            command=engage_command(kind),
            log=folder / f"{kind}-{self.port}.log",
            directory=folder,
            environment=to_environment(replace(settings, **address)),
            ready=partial(lives, self.port),
        )
        self.child: ChildProcess | None = None

    async def start(self) -> None:
        self.child = await start(self._spec)
        await self.child.wait_until_ready()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.child is not None:
            os.kill(self.child.pid, number)
            await self.child.wait()
            self.child = None

    async def replace(self) -> None:
        """Start the next process on the same port, then stop this one, as a deployment does."""
        old = self.child
        await self.start()
        assert old is not None
        os.kill(old.pid, signal.SIGTERM)
        await old.wait()


class Site:
    """Two APIs and two feeds behind a proxy, and a client of them."""

    def __init__(self, apis: list[Part], feeds: list[Part], port: int, client: httpx.AsyncClient) -> None:
        self.apis = apis
        self.feeds = feeds
        self.url = f"ws://{HOST}:{port}/"
        self.client = client

    async def member(self) -> dict[str, str]:
        """Return the headers of a new member."""
        made = await self.client.post("/v1/sandbox/members", json={"program": "eu-mi-points"})
        assert made.status_code == 201, made.text
        return {"authorization": f"Bearer {made.json()['token']}"}


@pytest.fixture
async def site(own_database: Settings, valkey: object, tmp_path: Path) -> AsyncIterator[Site]:
    await install(own_database)
    async with AsyncExitStack() as stack:
        apis, feeds = [[Part(kind, own_database, tmp_path) for _ in range(2)] for kind in ("api", "feed")]
        for part in (*apis, *feeds):
            stack.push_async_callback(part.end)
        await asyncio.gather(*(part.start() for part in (*apis, *feeds)))
        servers = {"api": [p.port for p in apis], "feed": [p.port for p in feeds]}
        port = await stack.enter_async_context(haproxy(tmp_path, servers))
        client = httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=WITHIN_S)
        yield Site(apis, feeds, port, await stack.enter_async_context(client))


class Taps:
    """Members who each tap once, some at a time, and again until they know how it ended."""

    def __init__(self, site: Site, members: list[dict[str, str]]) -> None:
        self._site = site
        self._left = list(members)
        self.first: list[int] = []  # The first answers; 0 for a connection that ended without one.
        self.last: list[int] = []

    def more_than(self, count: int) -> bool:
        return len(self.last) > count or not self._left

    async def run(self) -> None:
        while self._left:
            member = self._left.pop()
            status = await self._tap(member)
            self.first.append(status)
            async with asyncio.timeout(WITHIN_S):
                while status not in (202, 409):
                    await asyncio.sleep(LOOK_AGAIN_S)
                    status = await self._tap(member)
            self.last.append(status)

    async def _tap(self, member: dict[str, str]) -> int:
        try:
            return (await self._site.client.post(TAPS, headers=member)).status_code
        except httpx.TransportError:
            return 0


@asynccontextmanager
async def tapping(site: Site, members: list[dict[str, str]]) -> AsyncIterator[Taps]:
    taps = Taps(site, members)
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(taps.run())
        yield taps


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(LOOK_AGAIN_S)


async def expect_one_tap_each(site: Site, members: list[dict[str, str]]) -> None:
    for member in members:
        credits = (await site.client.get("/v1/me/credits", headers=member)).json()["items"]
        assert [credit["rule"] for credit in credits].count("fuel") == 1
        assert (await site.client.post(TAPS, headers=member)).status_code == 409


async def test_a_killed_api_costs_the_requests_that_it_was_answering(site: Site) -> None:
    members = [await site.member() for _ in range(MEMBERS)]
    async with tapping(site, members) as taps:
        await until(lambda: len(taps.last) >= MEMBERS // 4)
        await site.apis[0].end(signal.SIGKILL)
    broken = [status for status in taps.first if status != 202]
    assert len(broken) <= CLIENTS, "each client had one request under way"
    assert set(broken) <= {0, 502, 503}
    assert set(taps.last) <= {202, 409}
    await expect_one_tap_each(site, members)


async def test_a_rolling_restart_of_the_apis_breaks_no_request(site: Site) -> None:
    members = [await site.member() for _ in range(MEMBERS)]
    async with tapping(site, members) as taps:
        for part in site.apis:
            await until(partial(taps.more_than, len(taps.last)))
            await part.replace()
    assert set(taps.first) == {202}
    await expect_one_tap_each(site, members)


class Screen:
    """A member's open screen, which connects again when it has to, and the newest state that it shows."""

    def __init__(self, site: Site, member: dict[str, str]) -> None:
        self._site = site
        self._member = member
        self.seq = 0
        self.pending = 0
        self.codes: list[int | None] = []

    async def run(self) -> None:
        while True:
            try:
                async with connect(self._site.url, additional_headers=self._member, proxy=None) as socket:
                    if self.seq:
                        await socket.send(json.dumps({"type": "resume", "seq": self.seq}))
                    async for text in socket:
                        self._show(json.loads(text))
                    self.codes.append(socket.close_code)
            except (ConnectionClosed, OSError):
                self.codes.append(None)
            except Exception as error:
                # The proxy has no feed at this moment.
                if "rejected" not in str(error):
                    raise
            await asyncio.sleep(LOOK_AGAIN_S)

    def _show(self, message: dict[str, Any]) -> None:
        if message["type"] in ("snapshot", "balance"):
            assert message["seq"] >= self.seq, "a state is never older than the one before"
            self.seq, self.pending = message["seq"], message["balance"]["pending"]


async def test_a_restart_of_one_feed_loses_no_update(site: Site) -> None:
    members = [await site.member() for _ in range(SOCKETS)]
    screens = [Screen(site, member) for member in members]
    running = [asyncio.create_task(screen.run()) for screen in screens]
    try:
        await until(lambda: all(screen.seq for screen in screens))
        before = [screen.pending for screen in screens]
        for number, member in enumerate(members):
            if number == SOCKETS // 2:
                await site.feeds[0].end()
            assert (await site.client.post(TAPS, headers=member)).status_code == 202
        await until(lambda: all(s.pending > b for s, b in zip(screens, before, strict=True)))
        codes = [code for screen in screens for code in screen.codes]
        assert codes, "some were connected to the feed that ended"
        assert set(codes) == {1012}
        await site.feeds[0].start()
    finally:
        for task in running:
            task.cancel()
        for outcome in await asyncio.gather(*running, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError), outcome
