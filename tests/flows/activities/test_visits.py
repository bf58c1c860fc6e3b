"""Visits of pages: each earns by the rules about its page and about all pages, within their limits."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from engage.domain.refusals import Refusal
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.members.erase import erase_member
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operations.audit import audit
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.clock import stopped_clock
from tests.support.database import rows
from tests.support.programs import services_with
from tests.support.visits import DOCUMENT, PROGRAM, visit

MEMBER = "m-1"


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with(settings, DOCUMENT) as opened:
        await register_member(opened, MemberRegistration(member_id=MEMBER, program=PROGRAM, country="ES"))
        yield opened


async def go_to(services: Services, page: str) -> dict[str, int]:
    """Visit a page; return the points by rule. Raises Refusal."""
    activity = MemberActivity(PROGRAM, MEMBER, visit(page), services.clock.now())
    (answer,) = await record(services, [activity])
    if isinstance(answer, Refusal):
        raise answer
    return {credit.rule: credit.points for credit in answer.credits}


async def test_a_visit_earns_by_the_rules_about_its_page_and_about_all_pages(services: Services) -> None:
    assert await go_to(services, "offers") == {"browse": 5, "offers": 20, "new_pages": 1}
    assert await go_to(services, "offers") == {"browse": 5}
    assert await go_to(services, "café: ☕") == {"browse": 5, "new_pages": 1}
    with pytest.raises(Refusal) as refused:
        await go_to(services, "offers")
    assert (refused.value.code, refused.value.facts["resets_at"].isoformat()) == (
        "limit_reached",
        "2026-11-21T23:00:00+00:00",
    )
    stopped_clock(services).at = refused.value.facts["resets_at"]
    assert await go_to(services, "offers") == {"browse": 5}, "a new day in Madrid"


async def test_twenty_visits_at_once_over_two_processes_earn_what_the_limits_allow(
    services: Services, settings: Settings
) -> None:
    async with services_with(settings, clock=services.clock) as other:
        batches = await asyncio.gather(
            *(
                record(process, [MemberActivity(PROGRAM, MEMBER, visit("offers"), services.clock.now())])
                for _ in range(10)
                for process in (services, other)
            )
        )
        await other.post_commit.drain()
    answers = [answer for batch in batches for answer in batch]
    earned = Counter(c.rule for a in answers if isinstance(a, RecordedActivity) for c in a.credits)
    assert earned == {"browse": 3, "offers": 1, "new_pages": 1}
    assert {a.code for a in answers if isinstance(a, Refusal)} == {"limit_reached"}
    await services.post_commit.drain()
    assert (await audit(settings)).broken == []


async def test_an_erasure_forgets_which_pages_were_visited(services: Services, settings: Settings) -> None:
    await go_to(services, "debt-advice")
    await erase_member(services, PROGRAM, MEMBER, operator="test")
    kept = await rows(services.db, "SELECT source_key || CAST(why AS text) FROM credits")
    assert [text for (text,) in kept if "debt-advice" in str(text)] == []
    assert (await audit(settings)).broken == []
