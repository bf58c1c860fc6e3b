"""Compare decisions before and after a rebuild: an installation decides equally with Valkey rebuilt."""

import asyncio

import httpx
from msgspec import Struct

from engage.flows.operations.rebuild import rebuild
from engage.runtime.services import open_services
from engage.torture.asking import open_client
from engage.torture.checks import Broken
from engage.torture.record import Record
from engage.torture.system import System

MEMBERS = 100
ANSWER_S = 30.0
AT_ONCE = 8
SOME = f"""
SELECT program_id, member_id FROM members WHERE merged_into IS NULL AND erased_at IS NULL
ORDER BY md5(member_id) LIMIT {MEMBERS}
"""  # noqa: S608

PROMISE = "a rebuild decides equally"

Member = tuple[str, str]


class Answer(Struct, frozen=True):
    """The answer to a tap. Only one that says when the next tap is possible has decided by the member's
    record at the gate; a member who is unknown, or a part that is away, is refused without it.
    """

    status: int
    code: str | None = None
    next_tap_at: str | None = None


async def decides_equally(system: System, record: Record) -> list[Broken]:
    """Let members tap twice, rebuild, and let them tap again: the second and the third are refused until the
    same time.
    """
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
    return unequal(before, await _tap(system, record, members))


def unequal(before: dict[Member, Answer], after: dict[Member, Answer]) -> list[Broken]:
    """Compare the decisions of before with the answers of after. To compare none is broken too."""
    decided = {member: answer for member, answer in before.items() if answer.next_tap_at is not None}
    if not decided:
        given = sorted({f"{answer.status} {answer.code}" for answer in before.values()})
        text = f"none of {len(before)} members got a decision that could be compared: {', '.join(given)}"
        return [Broken(PROMISE, (), text)]
    return [
        Broken(PROMISE, (), f"{member}: {answer} before, {after[member]} after")
        for member, answer in decided.items()
        if after[member] != answer
    ]


async def _tap(system: System, record: Record, members: list[Member]) -> dict[Member, Answer]:
    answers: dict[Member, Answer] = {}
    gate = asyncio.Semaphore(AT_ONCE)

    async def tap(client: httpx.AsyncClient, program: str, member: str) -> None:
        async with gate:
            body = {"program": program, "member_id": member}
            token = await client.post("/v1/sandbox/tokens", json=body)
            if token.status_code != 201:
                answers[program, member] = Answer(token.status_code)
                return
            headers = {"authorization": f"Bearer {token.json()['token']}"}
            answer = await client.post("/v1/fuel/taps", headers=headers)
            body = answer.json()
            answers[program, member] = Answer(answer.status_code, body.get("code"), body.get("next_tap_at"))

    api = system.endpoints.apis[0]
    async with open_client(record, "rebuild", base_url=api, timeout_s=ANSWER_S) as client:
        await asyncio.gather(*(tap(client, *member) for member in members))
    return answers
