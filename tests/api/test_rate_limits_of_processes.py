"""A limit holds for all processes together, within the bound that docs/security.md states."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
from msgspec.structs import replace

from engage.runtime.rate_limits import REPORT_S
from engage.settings import Settings
from tests.api.process import api_process

QUOTA = 20
PROCESSES = 2


async def test_processes_share_a_quota(installed: Settings, tmp_path: Path) -> None:
    """Whole again after hours: a window adds nothing while this runs."""
    settings = replace(installed, limit_member=f"{QUOTA}/36000")
    async with AsyncExitStack() as stack:
        clients = []
        for number in range(PROCESSES):
            folder = tmp_path / str(number)
            folder.mkdir()
            process = await stack.enter_async_context(api_process(settings, folder))
            clients.append(await stack.enter_async_context(httpx.AsyncClient(base_url=process.url)))

        async def ask(client: httpx.AsyncClient, headers: dict[str, str]) -> int:
            return (await client.get("/v1/me", headers=headers)).status_code

        async def member() -> dict[str, str]:
            made = (await clients[0].post("/v1/sandbox/members", json={"program": "eu-mi-points"})).json()
            return {"authorization": f"Bearer {made['token']}"}

        # At once: before they know of each other, each lets a quota through.
        ana = await member()
        answers = await asyncio.gather(*(ask(client, ana) for client in clients for _ in range(2 * QUOTA)))
        assert set(answers) == {200, 429}
        assert QUOTA <= answers.count(200) <= PROCESSES * QUOTA

        # One after the other: what one has let through, the other knows.
        bea = await member()
        assert [await ask(clients[0], bea) for _ in range(QUOTA)] == [200] * QUOTA

        tries = 0
        while await ask(clients[1], bea) == 200:
            tries += 1
            assert tries < QUOTA, "it has learnt nothing"
            await asyncio.sleep(5 * REPORT_S)
