"""An attempt is graded and paid once, whatever is killed while it is answered."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from engage.domain.quizzes.kind import QUIZ
from engage.flows.definitions.change import add_definition
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operations.install import install
from engage.flows.programs.publish import publish
from engage.runtime.services import Services, open_services
from engage.sandbox_secrets import read
from engage.tokens.signing import SANDBOX_LIFETIME, sign
from tests.api.process import ApiProcess, api_process
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import NOON, StoppedClock, set_sandbox_clock
from tests.support.database import rows
from tests.support.eventually import eventually
from tests.support.quizzes import quiz
from tests.support.servers import Servers, own_servers
from tests.support.withdrawals import OPEN, PROGRAM, document

MEMBERS: Final = 24
AT_ONCE: Final = 8
PATIENCE_S: Final = 120.0
KILLED_AFTER: Final = {5: "postgres", 12: "api", 18: "postgres"}  # By number of members who are done.

PATH: Final = "/v1/quizzes/spring/attempts"
RIGHT: Final = {"one": ["b"], "several": ["a", "c"], "order": ["d", "b", "a", "c"]}


async def test_an_attempt_is_paid_once_whatever_is_killed(tmp_path: Path) -> None:
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
                grades = await _take_while_servers_are_killed(servers, apis, tokens)
            assert all(grade["correct"] == 3 for grade in grades.values())
            paid = await rows(
                services.db,
                """SELECT member_id, count(*), sum(points), min(source_key) FROM credits
                   WHERE rule_id = 'quiz:spring' GROUP BY 1""",
            )
            assert {row[0] for row in paid} == tokens.keys()
            assert {row[1:] for row in paid} == {(1, 10, "quiz:spring:2026-11-21:1")}
            attempts = await rows(services.db, "SELECT count(*), count(answered_at) FROM quiz_attempts")
            assert attempts == [(MEMBERS, MEMBERS)]
            await assert_audit_is_clean(services)


async def _members(services: Services) -> dict[str, str]:
    """Register members; return their tokens."""
    await publish(services.db, document(OPEN), source="market", operator="test", clock=services.clock)
    await services.programs.refresh(services.db)
    await add_definition(services, QUIZ, quiz(program=PROGRAM, time_limit="PT1H"), operator="test")
    assert services.settings.sandbox is not None
    secrets = read(services.settings.sandbox)
    names = [f"m-{n}" for n in range(MEMBERS)]
    for name in names:
        await register_member(services, MemberRegistration(member_id=name, program=PROGRAM, country="BF"))
    await services.post_commit.drain()
    return {name: sign(secrets, PROGRAM, name, SANDBOX_LIFETIME) for name in names}


async def _take_while_servers_are_killed(
    servers: Servers, apis: list[ApiProcess], tokens: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Each app asks both APIs at once, again and again, until it has its grade. Return the grades."""
    grades: dict[str, dict[str, Any]] = {}
    waiting: Iterator[str] = iter(tokens)

    async def app(client: httpx.AsyncClient) -> None:
        for member_id in waiting:
            send = partial(_both, client, apis, {"Authorization": f"Bearer {tokens[member_id]}"})
            attempt = await send(PATH, None, 201)
            answers = f"{PATH}/{attempt['attempt_id']}/answers"
            grades[member_id] = await send(answers, {"answers": RIGHT}, 202)

    async def killer() -> None:
        for done, victim in KILLED_AFTER.items():
            await eventually(partial(_has, grades, done), within_s=PATIENCE_S)
            if victim == "api":
                os.kill(apis[0].child.pid, signal.SIGKILL)
            else:
                await servers.postgres.kill()
                await servers.postgres.start()

    async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(timeout=30) as client:
        await asyncio.gather(killer(), *(app(client) for _ in range(AT_ONCE)))
    return grades


def _has(grades: dict[str, dict[str, Any]], count: int) -> bool:
    return len(grades) >= count


async def _both(
    client: httpx.AsyncClient,
    apis: list[ApiProcess],
    headers: dict[str, str],
    path: str,
    body: object,
    expected: int,
) -> dict[str, Any]:
    while True:
        answers = await asyncio.gather(
            *(client.post(api.url + path, json=body, headers=headers) for api in apis), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                assert isinstance(answer, httpx.TransportError), answer
            elif answer.status_code == expected:
                found: dict[str, Any] = answer.json()
                return found
            else:
                assert answer.status_code == 503, answer.text
        await asyncio.sleep(0.02)
