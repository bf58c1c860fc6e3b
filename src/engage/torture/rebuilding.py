"""Compare decisions before and after a rebuild: an installation decides equally with Valkey rebuilt."""

import asyncio

import httpx

from engage.flows.operations.rebuild import rebuild
from engage.runtime.services import open_services
from engage.torture.asking import open_client
from engage.torture.checks import Broken
from engage.torture.record import Record
from engage.torture.system import System

MEMBERS = 100
ANSWER_S = 30.0
AT_ONCE = 8
SOME = f"SELECT program_id, member_id FROM members ORDER BY md5(member_id) LIMIT {MEMBERS}"  # noqa: S608

Decisions = dict[tuple[str, str], tuple[int, str]]


async def decides_equally(system: System, record: Record) -> list[Broken]:
    """Let members tap twice, rebuild, and let them tap again: the second and the third answer are equal."""
    connection = await system.connect()
    try:
        members = [(row[0], row[1]) for row in await connection.fetch(SOME)]
    finally:
        connection.terminate()
    await _tap(system, record, members)
    before = await _tap(system, record, members)
    async with open_services(system.settings, command_timeout_s=None) as services:
        await services.follow_clock()
        await rebuild(services)
    after = await _tap(system, record, members)
    return [
        Broken("a rebuild decides equally", (), f"{member}: {before[member]} before, {after[member]} after")
        for member in members
        if before[member] != after[member]
    ]


async def _tap(system: System, record: Record, members: list[tuple[str, str]]) -> Decisions:
    """Return status and code of each member's tap, with the time of the next one."""
    answers: Decisions = {}
    gate = asyncio.Semaphore(AT_ONCE)

    async def tap(client: httpx.AsyncClient, program: str, member: str) -> None:
        async with gate:
            body = {"program": program, "member_id": member}
            token = await client.post("/v1/sandbox/tokens", json=body)
            if token.status_code != 201:
                answers[program, member] = token.status_code, ""
                return
            headers = {"authorization": f"Bearer {token.json()['token']}"}
            answer = await client.post("/v1/fuel/taps", headers=headers)
            body = answer.json()
            answers[program, member] = answer.status_code, f"{body.get('code')} {body.get('next_tap_at')}"

    api = system.endpoints.apis[0]
    async with open_client(record, "rebuild", base_url=api, timeout_s=ANSWER_S) as client:
        await asyncio.gather(*(tap(client, *member) for member in members))
    return answers
