"""Two operators at once, over two processes: the second is refused as if it had come later, because it did.

Both requests are under way when the first one is let through: a third connection holds the campaign until
each of them waits for a lock.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

import msgspec
import pytest
from msgspec import Struct

from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.lifecycle import ActionKind
from engage.domain.refusals import Code, Refusal
from engage.flows.campaigns.act import ActedVersion, act
from engage.flows.campaigns.change import WrittenVersion, change, create, duplicate
from engage.flows.campaigns.read import show_campaign
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.campaigns import versions
from tests.support.campaigns import boost, document, operator
from tests.support.clock import advance
from tests.support.database import logged, rows
from tests.support.tiers import PROGRAM

KEY: Final = PROGRAM, "double"
PATIENCE_S: Final = 30.0
_WAITING: Final = """
SELECT count(*) >= :count FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database()
"""

Answer = ActedVersion | WrittenVersion | Refusal


class Lost(Struct, frozen=True):
    """The refusal of the second operator."""

    code: Code
    facts: dict[str, Any] = {}


def campaign(title: str = "double") -> Campaign:
    return msgspec.convert(document(title={"en": title}, boosts=[boost("fuel", add=3)]), Campaign)


class Operators:
    """Deeds of an operator on the campaign in one process."""

    def __init__(self, services: Services, name: str) -> None:
        self._services = services
        self._by = operator(name)

    async def do(self, what: str) -> Answer:
        kinds: dict[str, ActionKind] = {
            "submit": "submitted",
            "approve": "approved",
            "reject": "rejected",
            "pause": "paused",
            "resume": "resumed",
            "end": "ended",
        }
        try:
            if what == "put":
                return await change(
                    self._services, campaign(self._by.name), expected=(1, 1), operator=self._by
                )
            if what == "duplicate":
                return await duplicate(self._services, KEY, "copy", begin=None, operator=self._by)
            return await act(self._services, KEY, kinds[what], operator=self._by, reason="why not")
        except Refusal as refusal:
            return refusal


async def bring_to(services: Services, state: str) -> None:
    """Write the campaign and bring it into a state."""
    await create(services, campaign(), operator=operator("author"))
    steps: list[ActionKind] = []
    if state != "draft":
        steps.append("submitted")
    if state in ("running", "paused"):
        steps.append("approved")
    if state == "paused":
        steps.append("paused")
    for step in steps:
        await act(services, KEY, step, operator=operator("lead"))
        advance(services, timedelta(minutes=1))
    assert (await show_campaign(services, KEY, None)).state == state


async def at_once(
    services: Services, first: Callable[[], Awaitable[Answer]], second: Callable[[], Awaitable[Answer]]
) -> tuple[Answer, Answer]:
    """Begin both while nobody can change the campaign; the first one comes first."""
    async with transaction(services.db) as holding:
        await versions.lock(holding, KEY)
        running = []
        for number, begin in enumerate((first, second), start=1):
            running.append(asyncio.ensure_future(begin()))
            await until_waiting(services, number)
    return await running[0], await running[1]


async def until_waiting(services: Services, count: int) -> None:
    """Wait until so many statements wait for a lock."""
    async with asyncio.timeout(PATIENCE_S):
        while await rows(services.db, _WAITING, count=count) != [(True,)]:
            await asyncio.sleep(0)


CHANGED: Final = Lost(Code.CHANGED_MEANWHILE)


def wrong(state: str) -> Lost:
    return Lost(Code.WRONG_STATE, {"state": state})


@pytest.mark.parametrize(
    ("state", "first", "second", "lost"),
    [
        ("draft", "put", "put", CHANGED),
        ("draft", "put", "submit", CHANGED),
        ("draft", "put", "end", CHANGED),
        ("draft", "submit", "submit", wrong("submitted")),
        ("draft", "end", "put", wrong("ended")),
        ("draft", "end", "submit", wrong("ended")),
        ("submitted", "put", "put", CHANGED),
        ("submitted", "put", "approve", wrong("draft")),
        ("submitted", "put", "reject", wrong("draft")),
        ("submitted", "approve", "approve", wrong("running")),
        ("submitted", "approve", "reject", wrong("running")),
        ("submitted", "reject", "approve", wrong("draft")),
        ("submitted", "end", "approve", wrong("ended")),
        ("running", "put", "put", CHANGED),
        ("running", "put", "pause", CHANGED),
        ("running", "pause", "pause", wrong("paused")),
        ("running", "end", "pause", wrong("ended")),
        ("running", "end", "end", wrong("ended")),
        ("running", "end", "put", wrong("ended")),
        ("paused", "resume", "resume", wrong("running")),
        ("paused", "end", "resume", wrong("ended")),
        # One after the other, both are possible.
        ("draft", "submit", "put", None),
        ("submitted", "approve", "put", None),
        ("submitted", "approve", "end", None),
        ("running", "pause", "end", None),
        ("running", "pause", "put", None),
    ],
)
async def test_of_two_at_once_the_second_is_judged_by_what_the_first_has_done(
    services: Services, other: Services, state: str, first: str, second: str, lost: Lost | None
) -> None:
    await bring_to(services, state)
    before = await read_actions(services)
    one, two = Operators(services, "one"), Operators(other, "two")
    won, answer = await at_once(services, lambda: one.do(first), lambda: two.do(second))
    assert not isinstance(won, Refusal), won
    if lost is None:
        assert not isinstance(answer, Refusal), answer
    else:
        assert isinstance(answer, Refusal), answer
        assert answer.code is lost.code
        assert lost.facts.items() <= answer.facts.items()
        if (first, second) == ("put", "put"):
            assert answer.facts["difference"][0].field == "title.en"
    done = 1 if lost else 2
    after = await read_actions(services)
    assert len(after) == len(before) + done
    assert after[: len(before)] == before
    assert [name for name, _, _ in after[len(before) :]] == ["one", "two"][:done]
    log = await logged(services.db, f"campaign:{KEY[1]}")
    assert [entry[:2] for entry in log] == [(name, kind) for name, kind, _ in after], (
        "one entry for each deed"
    )
    for process in (services, other):
        await process.campaigns.refresh(process.db)
    at = advance(services, timedelta(minutes=1))
    known = [
        [each.name for each in process.campaigns.of(PROGRAM).in_force(at, country="IN", zone="Asia/Kolkata")]
        for process in (services, other)
    ]
    assert known[0] == known[1]


async def read_actions(services: Services) -> list[tuple[object, ...]]:
    query = "SELECT operator, kind, version FROM campaign_actions WHERE campaign_id = :id ORDER BY number"
    return await rows(services.db, query, id=KEY[1])


async def test_one_copy_is_made_however_many_ask(services: Services, other: Services) -> None:
    await bring_to(services, "running")
    asking = [Operators(process, name).do("duplicate") for process in (services, other) for name in "abc"]
    answers = await asyncio.gather(*asking)
    refused = [answer for answer in answers if isinstance(answer, Refusal)]
    assert [refusal.code for refusal in refused] == [Code.EXISTS] * 5
    assert await rows(services.db, "SELECT count(*) FROM campaign_actions WHERE campaign_id = 'copy'") == [
        (1,)
    ]


async def test_of_many_approvals_at_once_one_is_done(services: Services, other: Services) -> None:
    await bring_to(services, "submitted")
    asking = [Operators(process, name).do("approve") for process in (services, other) for name in "abcd"]
    answers = await asyncio.gather(*asking)
    assert [answer for answer in answers if not isinstance(answer, Refusal)] == [ActedVersion("running", 1)]
    assert {answer.code for answer in answers if isinstance(answer, Refusal)} == {Code.WRONG_STATE}
    approved = "SELECT count(*) FROM campaign_actions WHERE kind = 'approved'"
    assert await rows(services.db, approved) == [(1,)]
    assert await rows(services.db, "SELECT count(*) FROM audit_log WHERE action = 'approved'") == [(1,)]
