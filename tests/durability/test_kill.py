"""A tap answered with 202 is exactly one credit, even when processes are killed."""

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path

import httpx

from tests.support.clock import FAR_NOON
from tests.support.command_line import advance_clock, connect_to, health, pids, run, up
from tests.support.eventually import eventually
from tests.support.ports import server_port

MEMBERS = 240
AT_ONCE = 24
KILLED = ("api", "worker", "feed", "api", "worker", "api")
BETWEEN_KILLS = 30  # Number of answers.
PATIENCE_S = 120.0
ANSWERED = {202, 409}


async def test_every_202_is_exactly_one_credit_whatever_is_killed(tmp_path: Path) -> None:
    port = server_port()
    folder = tmp_path / "there"
    async with up(tmp_path, port) as (running, _):
        await advance_clock(port, FAR_NOON)  # At noon, so that a repeated tap is on the same day.
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            tokens = await _members(client)
            statuses = await _tap_while_processes_are_killed(client, tokens, folder)
            await eventually(lambda: health(port) == 200, within_s=PATIENCE_S)
            moved = await client.post("/v1/sandbox/clock", json={"advance": "PT5M"})
            assert moved.status_code == 200, moved.text
            shown = [await _points(client, token) for token in tokens.values()]
        assert set(statuses.values()) == {202}, Counter(statuses.values())
        assert set(shown) == {(52, 0)}, Counter(shown)
        assert await _credits_by_member(folder) == dict.fromkeys(tokens, 1)

        status, output = await run(None, "audit", "--data", "there", cwd=tmp_path)
        assert status == 0, output
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0


async def _members(client: httpx.AsyncClient) -> dict[str, str]:
    tokens = {}
    for _ in range(MEMBERS):
        made = (await client.post("/v1/sandbox/members", json={"program": "eu-mi-points"})).json()
        tokens[made["member_id"]] = made["token"]
    return tokens


async def _tap_while_processes_are_killed(
    client: httpx.AsyncClient, tokens: dict[str, str], folder: Path
) -> dict[str, int]:
    """Return each member's status. An app without an answer taps again: 409 if the lost tap counted."""
    waiting = list(tokens.items())
    random.Random(7).shuffle(waiting)
    statuses: dict[str, int] = {}
    unanswered: set[str] = set()
    victims = iter(KILLED)

    async def app() -> None:
        while waiting:
            member_id, token = waiting.pop()
            status = await _tap(client, token, unanswered, member_id)
            # A 409 after a lost answer counts as its 202.
            statuses[member_id] = 202 if status == 409 and member_id in unanswered else status
            if len(statuses) % BETWEEN_KILLS == 0 and (victim := next(victims, None)) is not None:
                os.kill(pids(folder)[victim], signal.SIGKILL)

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(app() for _ in range(AT_ONCE)))
    assert next(victims, None) is None, "every kill happened during taps"
    return statuses


async def _tap(client: httpx.AsyncClient, token: str, unanswered: set[str], member_id: str) -> int:
    while True:
        try:
            answer = await client.post("/v1/fuel/taps", headers={"Authorization": f"Bearer {token}"})
        except httpx.TransportError:
            unanswered.add(member_id)
        else:
            if answer.status_code in ANSWERED:
                return answer.status_code
            assert answer.status_code == 503, answer.text
            assert "retry-after" in answer.headers
            unanswered.add(member_id)
        await asyncio.sleep(0.05)


async def _points(client: httpx.AsyncClient, token: str) -> tuple[int, int]:
    home = (await client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})).json()
    return home["balance"]["active"], home["balance"]["pending"]


async def _credits_by_member(folder: Path) -> dict[str, int]:
    db = await connect_to(folder)
    try:
        rows = await db.fetch("SELECT member_id, count(*) FROM credits WHERE rule_id = 'fuel' GROUP BY 1")
    finally:
        await db.close()
    return {row["member_id"]: row["count"] for row in rows}
