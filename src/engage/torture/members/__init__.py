"""Simulated members, who use an installation until they are stopped."""

import asyncio
import random
from contextlib import suppress

import httpx

from engage.torture.endpoints import Endpoints
from engage.torture.record import Answered, Lost, Record, Sent

PROGRAM = "demo-store"
COUNT = 5
ANSWER_S = 15.0
PAUSE_S = 0.05


async def live(endpoints: Endpoints, seed: int, record: Record, stop: asyncio.Event) -> None:
    """Let members tap until `stop` is set. Every answer and every loss is in the record."""
    async with asyncio.TaskGroup() as group:
        for number in range(COUNT):
            group.create_task(_tap(endpoints, random.Random(f"{seed}/{number}"), record, stop))  # noqa: S311 - replayed.


async def _tap(endpoints: Endpoints, rng: random.Random, record: Record, stop: asyncio.Event) -> None:
    async with httpx.AsyncClient(timeout=ANSWER_S) as client:
        while not stop.is_set():
            api = rng.choice(endpoints.apis)
            body = {"program": PROGRAM}
            answer = await _send(client, record, "", api, "/v1/sandbox/members", body, None)
            if answer is not None and answer.status_code == 201:
                joined = answer.json()
                await _send(client, record, joined["member_id"], api, "/v1/fuel/taps", None, joined["token"])
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), PAUSE_S)


async def _send(
    client: httpx.AsyncClient,
    record: Record,
    member: str,
    api: str,
    path: str,
    body: object,
    token: str | None,
) -> httpx.Response | None:
    sent = Sent(id=record.new_id(), at=record.now(), member=member, method="POST", path=path, body=body)
    record.add(sent)
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    try:
        answer = await client.post(f"{api}{path}", json=body, headers=headers)
    except httpx.HTTPError as error:
        record.add(Lost(sent_id=sent.id, at=record.now(), error=repr(error)))
        return None
    kept = {name: answer.headers[name] for name in ("retry-after",) if name in answer.headers}
    record.add(
        Answered(
            sent_id=sent.id,
            at=record.now(),
            status=answer.status_code,
            headers=kept,
            body=answer.text[:1_000],
        )
    )
    return answer
