"""The API as a process: real HTTP, signals, and starting before its servers."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import psutil
from sqlalchemy import text

from engage.embedded.child_process import engage_command
from engage.flows.operations.install import install
from engage.runtime.database import open_database
from engage.settings import Settings, to_environment
from tests.api.process import HOST, api_process
from tests.support.eventually import WITHIN_S

STOPS_WITHIN_S = 5.0
WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'stored_credits'::regclass")


async def test_a_tap_over_real_http(settings: Settings, tmp_path: Path) -> None:
    await install(settings)
    async with api_process(settings, tmp_path) as api, httpx.AsyncClient(base_url=api.url) as client:
        made = (await client.post("/v1/sandbox/members", json={"program": "eu-mi-points"})).json()
        tap = await client.post("/v1/fuel/taps", headers={"authorization": f"Bearer {made['token']}"})
        assert tap.status_code == 202
        assert tap.json()["credits"][0]["points"] == 2
        json = {"content-type": "application/json"}
        large = await client.post("/v1/sandbox/members", content=_spaces(200_000), headers=json)
        assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
        assert psutil.Process(api.child.pid).children() == [], (
            "a single process, so a kill leaves none behind"
        )


async def _spaces(count: int) -> AsyncIterator[bytes]:
    """Yield a body in chunks, so that it is sent without a length."""
    for _ in range(0, count, 1_000):
        yield b" " * 1_000


async def test_a_signal_ends_the_process_and_its_connections(settings: Settings, tmp_path: Path) -> None:
    await install(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        async with api_process(settings, tmp_path) as api:
            os.kill(api.child.pid, number)
            async with asyncio.timeout(STOPS_WITHIN_S):
                assert await api.child.wait() == 0
            assert "Traceback" not in api.log()


async def test_a_tap_under_way_is_answered_before_the_end(settings: Settings, tmp_path: Path) -> None:
    await install(settings)
    db = open_database(settings.database_url, pool_size=2)
    async with api_process(settings, tmp_path) as api, httpx.AsyncClient(base_url=api.url) as client:
        made = (await client.post("/v1/sandbox/members", json={"program": "eu-mi-points"})).json()
        async with db.begin() as conn:
            await conn.execute(text("LOCK TABLE stored_credits IN EXCLUSIVE MODE"))
            tap = asyncio.create_task(
                client.post("/v1/fuel/taps", headers={"authorization": f"Bearer {made['token']}"})
            )
            async with asyncio.timeout(STOPS_WITHIN_S), db.connect() as other:
                while not (await other.execute(WAITING)).scalar_one():
                    await asyncio.sleep(0.01)
            os.kill(api.child.pid, signal.SIGTERM)
        assert (await tap).status_code == 202
        assert await api.child.wait() == 0
    await db.dispose()


async def test_the_process_starts_before_its_servers(settings: Settings, tmp_path: Path) -> None:
    nowhere = msgspec.structs.replace(
        settings,
        database_url=f"postgresql+asyncpg://postgres@/engage?host={tmp_path}&port=5432",
        state_url="redis://127.0.0.1:1/0",
        queue_url="redis://127.0.0.1:1/1",
        topics_url="redis://127.0.0.1:1/0",
    )
    async with api_process(nowhere, tmp_path) as api, httpx.AsyncClient(base_url=api.url) as client:
        ready = await client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["status"] == "down"
        assert set(ready.json()["parts"].values()) == {"down"}
        tap = await client.post("/v1/fuel/taps", headers={"authorization": "Bearer x"})
        assert (tap.status_code, tap.json()["code"]) == (503, "unavailable")
        assert int(tap.headers["retry-after"]) >= 1


async def test_missing_settings_are_reported_in_one_line(settings: Settings, tmp_path: Path) -> None:
    wrong = msgspec.structs.replace(settings, jwks=str(tmp_path / "none.json"))
    status, output = await _run(wrong, tmp_path)
    assert status == 1
    assert "ENGAGE_JWKS" in output
    assert "Traceback" not in output


async def test_without_a_secret_to_hash_persons_with_the_api_does_not_start(
    settings: Settings, tmp_path: Path
) -> None:
    for pepper in ("", "pepper"):
        status, output = await _run(msgspec.structs.replace(settings, pepper=pepper), tmp_path)
        assert status == 1
        assert "ENGAGE_PEPPER" in output
        assert "Traceback" not in output


async def test_a_taken_port_is_reported(settings: Settings, tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        status, output = await _run(
            msgspec.structs.replace(settings, api_port=taken.getsockname()[1]), tmp_path
        )
    assert status == 1
    assert "in use" in output
    assert "Traceback" not in output


async def _run(settings: Settings, folder: Path) -> tuple[int | None, str]:
    """Run `engage api` until it ends by itself; return (exit status, output)."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)} | to_environment(settings)
    running = await asyncio.create_subprocess_exec(
        *engage_command("api"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(WITHIN_S):
        output, _ = await running.communicate()
    return running.returncode, output.decode()
