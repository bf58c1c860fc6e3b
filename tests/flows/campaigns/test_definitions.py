"""Quizzes, games, draws and challenges of a campaign are there while it is, for its audience."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from engage.domain.refusals import Refusal
from engage.flows.draws.enter import EntryRequest, enter
from engage.flows.games.play import play
from engage.flows.games.player import GamePlayed, PlayRequest
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operations.audit import audit_snapshot
from engage.flows.quizzes.answer import AnswerRequest, GradedAttempt, answer
from engage.flows.quizzes.start import StartRequest, start
from engage.flows.quizzes.views import StartedAttempt
from engage.flows.reads.tasks import read_tasks
from engage.flows.scheduled.due_work import run_due_work
from engage.runtime.database import snapshot
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.campaigns import act_on, approve, document
from tests.support.challenges import (
    REVIEWS,
    paid_steps,
    progress,
    react,
    services_with_challenges,
    write_reviews,
)
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.games import prize
from tests.support.orders import PROGRAM
from tests.support.quizzes import quiz_document

RIGHT = {"one": ["b"], "several": ["a", "c"], "order": ["d", "b", "a", "c"]}
CRITIC = {"id": "critic", "title": {"en": "Critic"}, "goal": REVIEWS, "steps": [{"at": 2, "points": 10}]}
WHEEL = {
    "id": "wheel",
    "title": {"en": "Wheel"},
    "from": "2026-11-20T00:00:00",
    "until": "2026-11-27T00:00:00",
    "chances": {"count": 3, "window": "day"},
    "prizes": [prize()],
}
DRAW = {
    "id": "raffle",
    "title": {"en": "Raffle"},
    "opens_at": "2026-11-20T00:00:00",
    "closes_at": "2026-11-23T00:00:00",
    "winners": 1,
    "points": 50,
}


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_challenges(settings) as opened:
        for member_id, country in (("m-1", "ES"), ("m-2", "NZ")):
            joining = MemberRegistration(member_id=member_id, program=PROGRAM, country=country)
            await register_member(opened, joining)
        yield opened
        advance(opened, 10 * DAY)
        await run_due_work(opened, now=opened.clock.now())
        await opened.post_commit.drain()
        async with snapshot(opened.db) as conn:
            audited = await audit_snapshot(conn, opened.clock)
        assert not audited.broken, [(finding.check.name, finding.rows) for finding in audited.broken]


def fair(**parts: Any) -> dict[str, Any]:
    return document("fair", program=PROGRAM, **({"audience": {"countries": ["ES"]}} | parts))


async def begin(services: Services, member_id: str = "m-1") -> StartedAttempt | Refusal:
    (found,) = await start(services, [StartRequest(PROGRAM, member_id, "spring", "en")])
    return found


async def spin(services: Services, member_id: str = "m-1") -> GamePlayed | Refusal:
    (found,) = await play(services, [PlayRequest(PROGRAM, member_id, "wheel", "en")])
    return found


async def tasks(services: Services, member_id: str = "m-1") -> set[str]:
    found = (await read_tasks(services, PROGRAM, member_id)).tasks
    return {task.rule for task in found if task.state == "open" and ":" in task.rule}


async def campaigns_of(services: Services) -> list[tuple[object, ...]]:
    return await rows(
        services.db, "SELECT rule_id, points, campaign FROM credits WHERE campaign IS NOT NULL ORDER BY 1, id"
    )


async def test_a_quiz_is_there_for_the_audience_while_the_campaign_is(services: Services) -> None:
    assert isinstance(await begin(services), Refusal)
    await approve(services, fair(quizzes=[quiz_document()]))
    assert isinstance(await begin(services, "m-2"), Refusal), "another country"
    assert (await tasks(services), await tasks(services, "m-2")) == ({"quiz:spring"}, set())
    begun = await begin(services)
    assert isinstance(begun, StartedAttempt)
    await act_on(services, fair(), "paused")
    graded = await answer(services, [AnswerRequest(PROGRAM, "m-1", "spring", begun.attempt_id, RIGHT, "en")])
    assert isinstance(graded[0], GradedAttempt), "what began goes on"
    assert await campaigns_of(services) == [("quiz:spring", 10, "fair")]
    assert isinstance(await begin(services), Refusal), "nothing begins while it is paused"
    await act_on(services, fair(), "resumed")
    assert isinstance(await begin(services), StartedAttempt)
    await act_on(services, fair(), "ended")
    assert await tasks(services) == {"quiz:spring"}, "the attempt that is open"


async def test_a_game_is_played_by_its_audience(services: Services) -> None:
    await approve(services, fair(games=[WHEEL]))
    assert isinstance(await spin(services), GamePlayed)
    assert isinstance(await spin(services, "m-2"), Refusal)
    await act_on(services, fair(), "ended")
    assert isinstance(await spin(services), Refusal)
    assert await campaigns_of(services) == [("game:wheel", 10, "fair")]


async def test_a_draw_is_entered_by_its_audience(services: Services) -> None:
    await approve(services, fair(draws=[DRAW]))
    requests = [EntryRequest(PROGRAM, member_id, "raffle") for member_id in ("m-1", "m-2")]
    first, second = await enter(services, requests)
    assert not isinstance(first, Refusal)
    assert isinstance(second, Refusal)


async def test_a_challenge_counts_from_the_approval_until_the_end(services: Services) -> None:
    await write_reviews(services, "r-0")
    await write_reviews(services, "r-0", member_id="m-2")
    advance(services, timedelta(hours=1))
    now = services.clock.now()
    await approve(services, fair(challenges=[CRITIC]), at=now)
    advance(services, timedelta(seconds=3))
    await services.campaigns.refresh(services.db)
    await write_reviews(services, "r-1", "r-2")
    await write_reviews(services, "r-1", "r-2", member_id="m-2")
    await react(services)
    assert await progress(services) == {"critic": 2}
    assert await progress(services, "m-2") == {}
    assert [points for _, _, points in await paid_steps(services)] == [10]
    assert await paid_steps(services, "m-2") == []
    assert await campaigns_of(services) == [("challenge:critic", 10, "fair")]


async def test_members_who_are_held_out_have_none_of_it(services: Services) -> None:
    half = fair(quizzes=[quiz_document()], holdout_percent=90, audience={})
    await approve(services, half)
    for n in range(40):
        joining = MemberRegistration(member_id=f"h-{n}", program=PROGRAM, country="ES")
        await register_member(services, joining)
    begun = [await begin(services, f"h-{n}") for n in range(40)]
    offered = [isinstance(each, StartedAttempt) for each in begun]
    assert 0 < sum(offered) < 20
    listed = [await tasks(services, f"h-{n}") != set() for n in range(40)]
    assert listed == offered
