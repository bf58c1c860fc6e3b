"""Numbers and health on the operations ports of real processes."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import httpx
from msgspec.structs import replace
from sqlalchemy import text
from websockets.asyncio.client import connect

from engage.embedded.child_process import engage_command
from engage.flows.operations.gauges import read_gauges
from engage.flows.operations.install import install
from engage.runtime.database import transaction
from engage.runtime.services import open_services
from engage.settings import Settings, to_environment
from tests.metrics.parts import HOST, part
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S
from tests.support.ports import server_port
from tests.support.servers import own_servers

PROGRAM = "eu-mi-points"
LIVE = "/health/live"  # An API without a feed is not ready.
FORGOTTEN = text(
    "UPDATE stored_credits SET due_at = accepted_at - interval '1 minute' WHERE state = 'pending'"
)


async def reaches(read: Callable[[], Awaitable[float]], value: float) -> None:
    """Raises TimeoutError when a number does not come to be `value`."""
    async with asyncio.timeout(WITHIN_S):
        while await read() != value:
            await asyncio.sleep(LOOK_AGAIN_S)


async def test_a_tap_a_refusal_a_settlement_and_a_socket_are_seen(settings: Settings, tmp_path: Path) -> None:
    await install(settings)
    feed_port = server_port()
    settings = replace(
        settings, api_port=server_port(), feed_port=feed_port, feed_url=f"ws://{HOST}:{feed_port}/"
    )
    async with AsyncExitStack() as stack:
        api, feed, worker = await asyncio.gather(
            *(
                stack.enter_async_context(part(name, settings, tmp_path, path=LIVE))
                for name in ("api", "feed", "worker")
            )
        )
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://{HOST}:{settings.api_port}", timeout=WITHIN_S)
        )
        made = (await client.post("/v1/sandbox/members", json={"program": PROGRAM})).json()
        of_member = {"authorization": f"Bearer {made['token']}"}
        async with connect(settings.feed_url, additional_headers=of_member) as websocket:
            await websocket.recv()
            for status in (202, 409, 409):
                assert (await client.post("/v1/fuel/taps", headers=of_member)).status_code == status
            await websocket.recv()
            assert await feed.number("engage_feed_sockets") == 1
            assert await feed.number("engage_feed_members") == 1
            assert await feed.number("engage_feed_pushes_total") >= 1
        await reaches(lambda: feed.number("engage_feed_sockets"), 0)

        assert await api.number("engage_taps_total", PROGRAM, "accepted") == 1
        assert await api.number("engage_taps_total", PROGRAM, "already_tapped") == 2
        assert await api.number("engage_refusals_total", "already_tapped") == 2
        assert await api.number("engage_requests_total", "recordFuelTap", "4xx") == 2
        assert await api.number("engage_request_seconds_count", "recordFuelTap") == 3
        assert await api.number("engage_credits_accepted_total", PROGRAM, "fuel") == 1
        assert await api.number("engage_points_accepted_total", PROGRAM, "fuel") == 2
        assert await worker.number("engage_taps_total", PROGRAM, "accepted") == 0

        assert (await client.post("/v1/sandbox/clock", json={"advance": "PT5M"})).status_code == 200

        async def settled() -> float:
            return sum([await each.number("engage_credits_settled_total", PROGRAM) for each in (api, worker)])

        # A part counts after its COMMIT, which the other part may see first.
        await reaches(settled, 2)  # The points of the registration and those of the tap.
        assert await api.number("engage_promise_breaches_total", PROGRAM) == 0
        assert (await worker.get("/health/ready")).json()["status"] == "up"
        assert (await feed.get("/health/ready")).json()["parts"] == {"postgres": "up", "valkey": "up"}
        assert (await api.get("/nothing")).status_code == 404


async def test_what_a_stopped_worker_leaves_is_overdue_and_then_a_broken_promise(
    settings: Settings, tmp_path: Path
) -> None:
    await install(settings)
    settings = replace(settings, api_port=server_port())
    async with (
        part("api", settings, tmp_path, path=LIVE) as api,
        part("worker", settings, tmp_path) as worker,
    ):
        os.kill(worker.pid, signal.SIGSTOP)
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{api.settings.api_port}") as client:
            made = await client.post("/v1/sandbox/members", json={"program": PROGRAM}, timeout=WITHIN_S)
            assert made.status_code == 201
        async with open_services(settings) as services:
            await services.follow_clock()
            await services.programs.refresh(services.db)
            async with transaction(services.db) as conn:
                await conn.execute(FORGOTTEN)
            await read_gauges(services)
            numbers = services.metrics.database
            assert numbers.overdue_credits.numbers == {(PROGRAM,): 1}
            assert numbers.overdue_points.numbers == {(PROGRAM,): 50}
            assert numbers.overdue_age.numbers[()] > 50
            assert numbers.pending_credits.numbers[()] == 1

            os.kill(worker.pid, signal.SIGCONT)
            await reaches(lambda: worker.number("engage_promise_breaches_total", PROGRAM), 1)
            assert await worker.number("engage_doorbell_missed_credits_total", PROGRAM) == 1
            assert await worker.number("engage_settlement_lag_seconds_count", PROGRAM) == 1
            await read_gauges(services)
            assert numbers.overdue_credits.numbers == {}


async def test_numbers_are_shown_while_postgresql_and_valkey_are_away(tmp_path: Path) -> None:
    async with own_servers(tmp_path) as servers:
        await install(servers.settings)
        settings = replace(servers.settings, api_port=server_port())
        async with (
            part("api", settings, tmp_path, path=LIVE) as api,
            part("worker", settings, tmp_path) as worker,
        ):
            await servers.postgres.kill()
            await servers.valkey.kill()
            for each in (api, worker):
                assert (await each.get("/health/live")).json()["status"] == "up"
                await reaches(partial(each.number, "engage_loop_state", "programs"), 1)
                assert (await each.get("/health/ready")).status_code == 503


async def test_a_taken_port_is_reported_in_one_line(settings: Settings, tmp_path: Path) -> None:
    await install(settings)
    with socket.create_server((HOST, 0)) as taken:
        wrong = replace(settings, api_port=server_port(), operations_port=taken.getsockname()[1])
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | to_environment(wrong)
        running = await asyncio.create_subprocess_exec(
            *engage_command("worker"),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(WITHIN_S):
            output, _ = await running.communicate()
    assert running.returncode == 1
    assert b"for operations" in output
    assert b"Traceback" not in output
