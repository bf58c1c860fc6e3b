"""Under an Idempotency-Key there is one payout, one coupon and one play, whatever is killed at any moment."""

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import httpx
from sqlalchemy import text

from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operations.install import install
from engage.flows.programs.publish import publish
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services, open_services
from engage.sandbox_secrets import read
from engage.tokens.signing import SANDBOX_LIFETIME, sign
from tests.api.process import ApiProcess, api_process
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import FIVE_MINUTES, NOON, StoppedClock, advance, set_sandbox_clock
from tests.support.eventually import eventually
from tests.support.servers import Servers, own_servers
from tests.support.withdrawals import OPEN, PROGRAM, document

MEMBERS: Final = 30
AT_ONCE: Final = 12
PATIENCE_S: Final = 120.0
KILLED_AFTER: Final = {8: "postgres", 20: "postgres", 32: "api", 44: "postgres"}  # By number of answers.

REWARD = """
[[rewards]]
type = "coupon"
id = "one_euro"
title = "1 EUR off"
points = 10
value_minor = 100
"""
GAME = """
[[games]]
id = "wheel"
title = { en = "Wheel" }
from = 2020-01-01T00:00:00
until = 2090-01-01T00:00:00
chances = { count = 9, window = "ever" }

[[games.prizes]]
id = "ten"
title = { en = "Ten points" }
odds = "1/2"
stock = 1000
points = 10
"""
ACTIONS: Final = [
    ("/v1/games/wheel/plays", {}, 202),
    ("/v1/withdrawals", {"points": 50, "method": "cash"}, 202),
    ("/v1/redemptions", {"reward_id": "one_euro"}, 201),
]


async def test_a_key_covers_its_action_whatever_is_killed(tmp_path: Path) -> None:
    if os.geteuid() == 0:  # The servers run as another user, who has to come to their folder.
        tmp_path.parent.chmod(0o711)
    async with own_servers(tmp_path) as servers:
        await install(servers.settings)
        await set_sandbox_clock(servers.settings)
        async with open_services(servers.settings, StoppedClock(NOON)) as services:
            tokens = await _members(services)
            async with AsyncExitStack() as stack:
                folders = [tmp_path / name for name in ("one", "two")]
                for folder in folders:
                    folder.mkdir()
                apis = [await stack.enter_async_context(api_process(servers.settings, f)) for f in folders]
                statuses = await _ask_while_servers_are_killed(servers, apis, tokens)
            assert set(statuses.values()) == {201, 202}, Counter(statuses.values())
            for table in ("withdrawals", "coupons", "game_plays"):
                assert await _counts(services, table) == dict.fromkeys(tokens, 1), table
            await assert_audit_is_clean(services)


async def _members(services: Services) -> dict[str, str]:
    """Register members with 100 points; return their tokens."""
    await publish(
        services.db,
        document(OPEN + REWARD + GAME),
        source="market",
        operator="test",
        clock=services.clock,
    )
    await services.programs.refresh(services.db)
    assert services.settings.sandbox is not None
    secrets = read(services.settings.sandbox)
    names = [f"m-{n}" for n in range(MEMBERS)]
    for name in names:
        await register_member(services, MemberRegistration(member_id=name, program=PROGRAM, country="BF"))
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    await services.post_commit.drain()
    return {name: sign(secrets, PROGRAM, name, SANDBOX_LIFETIME) for name in names}


async def _ask_while_servers_are_killed(
    servers: Servers, apis: list[ApiProcess], tokens: dict[str, str]
) -> dict[tuple[str, str], int]:
    """Each app repeats its requests with their keys until they are done. Return the statuses."""
    statuses: dict[tuple[str, str], int] = {}
    waiting = [(member_id, *action) for member_id in tokens for action in ACTIONS]
    random.Random(7).shuffle(waiting)

    async def app(client: httpx.AsyncClient) -> None:
        while waiting:
            member_id, path, body, expected = waiting.pop()
            key = f"{path}:{member_id}"
            headers = {"Authorization": f"Bearer {tokens[member_id]}", "Idempotency-Key": key}
            statuses[member_id, path] = await _answered(client, apis, path, body, headers, expected)

    async def killer() -> None:
        for answers, victim in KILLED_AFTER.items():
            await eventually(partial(_has, statuses, answers), within_s=PATIENCE_S)
            if victim == "api":
                os.kill(apis[0].child.pid, signal.SIGKILL)
            else:
                await servers.postgres.kill()
                await servers.postgres.start()

    async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(timeout=30) as client:
        await asyncio.gather(killer(), *(app(client) for _ in range(AT_ONCE)))
    return statuses


def _has(statuses: dict[tuple[str, str], int], answers: int) -> bool:
    return len(statuses) >= answers


async def _answered(
    client: httpx.AsyncClient,
    apis: list[ApiProcess],
    path: str,
    body: object,
    headers: dict[str, str],
    expected: int,
) -> int:
    """Send a request to both APIs at once, again and again, until it is done."""
    while True:
        answers = await asyncio.gather(
            *(client.post(api.url + path, json=body, headers=headers) for api in apis), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                assert isinstance(answer, httpx.TransportError), answer
            elif answer.status_code == expected:
                return expected
            else:
                assert answer.status_code in (409, 503), answer.text
                assert answer.json()["code"] in ("request_in_flight", "unavailable")
        await asyncio.sleep(0.02)


async def _counts(services: Services, table: str) -> dict[str, int]:
    async with services.db.connect() as conn:
        rows = await conn.execute(text(f"SELECT member_id, count(*) FROM {table} GROUP BY 1"))
        return {row[0]: row[1] for row in rows}
