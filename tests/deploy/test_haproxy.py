"""APIs and feeds behind the proxy of deploy/haproxy/haproxy.cfg, of which some are killed or restarted.

Each test ends other processes than the others.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from engage.embedded.child_process import ChildProcess, ProcessSpec, engage_command, start
from engage.settings import Settings, to_environment
from engage.torture.system import COMPILED
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S, eventually
from tests.support.haproxy import PROGRAM, haproxy, is_live
from tests.support.ports import HOST, server_port

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="haproxy is not installed")

TAPS = "/v1/fuel/taps"
MEMBERS = 16
CLIENTS = 4
SOCKETS = 8
BETWEEN_CLOCKS = timedelta(seconds=1)
APIS, FEEDS = 3, 2  # One API to kill, one to drain, and one that stays.

Member = dict[str, str]


async def _start(kind: str, settings: Settings, folder: Path) -> tuple[int, ChildProcess]:
    """Start a part on a port, and return both."""
    port = server_port()
    address: dict[str, Any] = {f"{kind}_host": HOST, f"{kind}_port": port}
    spec = ProcessSpec(
        name=f"{kind}-{port}",
        command=engage_command(kind),
        log=folder / f"{kind}-{port}.log",
        directory=folder,
        # Each would compile all modules again where Python may not write beside them.
        environment=to_environment(replace(settings, **address)) | COMPILED,
        ready=partial(is_live, port),
    )
    return port, await start(spec)


async def post_until_available(client: httpx.AsyncClient, path: str, **options: Any) -> httpx.Response:
    """Send a request again while it is answered 503, as an app does.

    For seconds the proxy counts on the APIs that the test before ended, and can meet two of them in a row.
    """
    async with asyncio.timeout(WITHIN_S):
        while (answer := await client.post(path, **options)).status_code == 503:
            assert answer.headers["retry-after"] == "1"
            await asyncio.sleep(LOOK_AGAIN_S)
    return answer


class Site:
    """APIs and feeds behind a proxy."""

    def __init__(self, apis: list[ChildProcess], feeds: list[ChildProcess], port: int) -> None:
        self.apis = apis
        self.feeds = feeds
        self.address = f"{HOST}:{port}"

    def client(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://{self.address}", timeout=WITHIN_S, **options)

    async def members(self, count: int) -> list[Member]:
        """Return the headers of new members."""
        async with self.client() as client:
            made = [
                await post_until_available(client, "/v1/sandbox/members", json={"program": "eu-mi-points"})
                for _ in range(count)
            ]
        return [{"authorization": f"Bearer {answer.json()['token']}"} for answer in made]


@pytest.fixture(scope="module")
async def site(module_installed: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    # Members tap all the time, and whether they may is not asked here.
    settings = replace(module_installed, limit_member="")
    async with AsyncExitStack() as stack:
        parts: dict[str, list[tuple[int, ChildProcess]]] = {"api": [], "feed": []}
        for kind in APIS * ["api"] + FEEDS * ["feed"]:
            port, child = await _start(kind, settings, folder)
            stack.push_async_callback(child.stop)
            parts[kind].append((port, child))
        for _, child in (*parts["api"], *parts["feed"]):
            await child.wait_until_ready()
        ports = {kind: [port for port, _ in of_kind] for kind, of_kind in parts.items()}
        proxy = await stack.enter_async_context(haproxy(folder, ports))
        apis, feeds = ([child for _, child in of_kind] for of_kind in parts.values())
        yield Site(apis, feeds, proxy)


class Taps:
    """Members who tap again and again, and what they were answered: 0 where there was no answer."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.unexpected: list[httpx.Response] = []

    async def run(self, client: httpx.AsyncClient, members: list[Member]) -> None:
        for member in cycle(members):
            try:
                answer = await client.post(TAPS, headers=member)
            except httpx.TransportError:
                self.statuses.append(0)
                continue
            self.statuses.append(answer.status_code)
            retry = answer.headers.get("retry-after")
            problem = None if answer.status_code == 202 else answer.json()["code"]
            if (answer.status_code, problem, retry) not in {
                (202, None, None),
                (409, "already_tapped", None),
                (503, "unavailable", "1"),
            }:
                self.unexpected.append(answer)
            await asyncio.sleep(LOOK_AGAIN_S)

    async def answered(self, more: int) -> None:
        """Wait until members have been answered, whatever it was."""
        at_least = len(self.statuses) + more
        await eventually(lambda: len(self.statuses) >= at_least)


@asynccontextmanager
async def tapping(site: Site, members: list[Member], **options: Any) -> AsyncIterator[Taps]:
    """Let members tap until the block ends."""
    taps = Taps()
    async with site.client(**options) as client:
        running = [asyncio.create_task(taps.run(client, members[n::CLIENTS])) for n in range(CLIENTS)]
        try:
            yield taps
        finally:
            for task in running:
                task.cancel()
            for outcome in await asyncio.gather(*running, return_exceptions=True):
                assert isinstance(outcome, asyncio.CancelledError), outcome


async def expect_one_tap_each(site: Site, members: list[Member]) -> None:
    async with site.client() as client:
        for member in members:
            # Whoever was interrupted taps once more.
            assert (await post_until_available(client, TAPS, headers=member)).status_code in (202, 409)
            credits = (await client.get("/v1/me/credits", headers=member)).json()["items"]
            assert [credit["rule"] for credit in credits].count("fuel") == 1


async def test_the_proxy_says_that_it_runs_whatever_is_behind(tmp_path: Path) -> None:
    nobody: dict[str, list[int]] = {"api": [], "feed": []}
    async with (
        haproxy(tmp_path, nobody, ready_at="/health/proxy") as port,
        httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=WITHIN_S) as client,
    ):
        assert (await client.get("/health/proxy")).status_code == 200
        asked = await client.get("/health/live")
    assert (asked.status_code, asked.json()["code"], asked.headers["retry-after"]) == (
        503,
        "unavailable",
        "1",
    )


async def test_a_clock_that_was_advanced_is_advanced_for_whom_another_api_answers(site: Site) -> None:
    async with site.client() as client:
        advanced = await client.post("/v1/sandbox/clock", json={"advance": "P1D"})
        shown = [await client.get("/v1/sandbox") for _ in range(2 * APIS)]
    assert advanced.status_code == 200
    times = [datetime.fromisoformat(answer.json()["now"]) for answer in shown]
    assert min(times) >= datetime.fromisoformat(advanced.json()["now"]) - BETWEEN_CLOCKS


async def test_who_taps_at_a_killed_api_is_answered_and_credited_once(site: Site) -> None:
    members = await site.members(MEMBERS)
    # Clients that connect anew: a connection that was used before may be closed without an answer.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with tapping(site, members, limits=limits) as taps:
        await taps.answered(MEMBERS // 2)
        # Requests wait for it, and are under way when it is killed.
        os.kill(site.apis[0].pid, signal.SIGSTOP)
        await taps.answered(CLIENTS)
        os.kill(site.apis[0].pid, signal.SIGKILL)
        await site.apis[0].wait()
        await taps.answered(2 * MEMBERS)
    assert taps.unexpected == []
    assert set(taps.statuses) == {202, 409, 503}, "the proxy answers for the killed API"
    assert taps.statuses.count(503) <= CLIENTS, "and for it alone"
    await expect_one_tap_each(site, members)


async def test_an_api_that_drains_breaks_no_request(site: Site) -> None:
    members = await site.members(MEMBERS)
    async with tapping(site, members) as taps:
        await taps.answered(MEMBERS // 2)
        os.kill(site.apis[1].pid, signal.SIGTERM)
        assert await site.apis[1].wait() == 0
        await taps.answered(MEMBERS)
    assert taps.unexpected == []
    assert set(taps.statuses) == {202, 409}
    await expect_one_tap_each(site, members)


class Screen:
    """A member's open screen, which connects again when it has to, and the newest state that it shows."""

    def __init__(self, site: Site, member: Member) -> None:
        self._url = f"ws://{site.address}/"
        self._member = member
        self.seq = 0
        self.pending = 0
        self.closed = 0

    async def run(self) -> None:
        while True:
            try:
                async with connect(self._url, additional_headers=self._member, proxy=None) as socket:
                    if self.seq:
                        await socket.send(json.dumps({"type": "resume", "seq": self.seq}))
                    async for text in socket:
                        self._show(json.loads(text))
                    self.closed += 1
            except ConnectionClosed:
                self.closed += 1
            except (InvalidHandshake, OSError, EOFError):
                pass  # There is no feed for it at this moment.
            await asyncio.sleep(LOOK_AGAIN_S)

    def _show(self, message: dict[str, Any]) -> None:
        if message["type"] in ("snapshot", "balance"):
            assert message["seq"] >= self.seq, "a state is never older than the one before"
            self.seq, self.pending = message["seq"], message["balance"]["pending"]


async def test_screens_of_a_killed_feed_go_to_the_other_and_miss_nothing(site: Site) -> None:
    members = await site.members(SOCKETS)
    screens = [Screen(site, member) for member in members]
    running = [asyncio.create_task(screen.run()) for screen in screens]
    try:
        async with site.client() as client:
            await eventually(lambda: all(screen.seq for screen in screens))
            before = [screen.pending for screen in screens]
            for number, member in enumerate(members):
                if number == SOCKETS // 2:
                    os.kill(site.feeds[0].pid, signal.SIGKILL)
                assert (await post_until_available(client, TAPS, headers=member)).status_code == 202
            await eventually(lambda: all(s.pending > b for s, b in zip(screens, before, strict=True)))
            homes = [(await client.get("/v1/me", headers=member)).json()["balance"] for member in members]
        assert [screen.pending for screen in screens] == [home["pending"] for home in homes]
        closed = [screen.closed for screen in screens]
        assert 0 < sum(closed) < SOCKETS, "some were connected to the feed that was killed"
    finally:
        for task in running:
            task.cancel()
        for outcome in await asyncio.gather(*running, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError), outcome
