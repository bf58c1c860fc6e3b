"""Quizzes, challenges, games, draws and leaderboards of a campaign pay from its budget, whole or not."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from engage.domain.refusals import Code, Refusal
from engage.flows.campaigns.budgets import fold_returns
from engage.flows.draws.enter import DrawEntry, EntryRequest, enter
from engage.flows.games.play import play
from engage.flows.games.player import GamePlayed, PlayRequest
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.quizzes.answer import AnswerRequest, GradedAttempt, answer
from engage.flows.quizzes.start import StartRequest, start
from engage.flows.quizzes.views import StartedAttempt
from engage.flows.scheduled.due_work import run_due_work
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.campaigns.budgets import read_left
from tests.flows.campaigns.test_definitions import CRITIC, DRAW, RIGHT, WHEEL
from tests.support.audit import assert_audit_is_clean
from tests.support.campaigns import approve, document
from tests.support.challenges import react, services_with_challenges, write_reviews
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.games import prize
from tests.support.orders import PROGRAM
from tests.support.programs import services_with
from tests.support.quizzes import quiz_document

MEMBERS = [f"m-{n}" for n in range(1, 7)]
WRONG = {"one": ["a"], "several": ["a", "c"], "order": ["d", "b", "a", "c"]}
BOARD = {
    "id": "top",
    "title": {"en": "Top"},
    "score": "points_earned",
    "resets": "weekly",
    "prizes": [{"to_rank": 3, "points": 40}],
}


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_challenges(settings) as opened:
        for member_id in MEMBERS:
            joining = MemberRegistration(member_id=member_id, program=PROGRAM, country="ES")
            await register_member(opened, joining)
        yield opened
        await assert_audit_is_clean(opened)


@pytest.fixture
async def other(settings: Settings, services: Services) -> AsyncIterator[Services]:
    async with services_with(settings, clock=services.clock) as opened:
        yield opened


def fair(budget: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return document("fair", program=PROGRAM, budget=budget, **parts)


async def left(services: Services) -> tuple[int | None, int | None]:
    await fold_returns(services, now=services.clock.now(), on_time=False)
    async with transaction(services.db) as conn:
        found = (await read_left(conn, [(PROGRAM, "fair")]))[PROGRAM, "fair"]
    return found.points, found.count


async def granted(services: Services) -> list[tuple[str, int]]:
    found = await rows(
        services.db,
        "SELECT member_id, points FROM credits WHERE campaign = 'fair' AND state <> 'reversed'"
        " ORDER BY member_id, id",
    )
    return [(str(member), int(str(points))) for member, points in found]


def codes(answers: list[Any]) -> list[Code | None]:
    return [each.code if isinstance(each, Refusal) else None for each in answers]


async def run(services: Services) -> None:
    """Let ten days pass in two steps: a draw is frozen in the first, and drawn in the second."""
    for _ in range(2):
        advance(services, 5 * DAY)
        await run_due_work(services, now=services.clock.now())


async def begin(services: Services, member_id: str) -> StartedAttempt:
    (found,) = await start(services, [StartRequest(PROGRAM, member_id, "spring", "en")])
    assert isinstance(found, StartedAttempt)
    return found


def answers_to(
    attempts: dict[str, StartedAttempt], right: dict[str, list[str]] = RIGHT
) -> list[AnswerRequest]:
    return [
        AnswerRequest(PROGRAM, member, "spring", attempt.attempt_id, right, "en")
        for member, attempt in attempts.items()
    ]


async def test_quizzes_in_two_processes_pay_no_more_than_the_budget(
    services: Services, other: Services
) -> None:
    await approve(services, fair({"points": 35}, quizzes=[quiz_document()]))
    await other.campaigns.refresh(other.db)
    attempts = {member: await begin(services, member) for member in MEMBERS}
    requests = answers_to(attempts)
    batches = await asyncio.gather(answer(services, requests[:3]), answer(other, requests[3:]))
    found = [each for batch in batches for each in batch]
    assert sorted(map(str, codes(found))) == ["None"] * 3 + ["budget_exhausted"] * 3
    assert [points for _, points in await granted(services)] == [10] * 3
    assert await left(services) == (5, None)


async def test_an_attempt_that_cannot_be_paid_stays_open(services: Services) -> None:
    campaign = fair({"points": 12}, quizzes=[quiz_document()])
    await approve(services, campaign)
    attempts = {member: await begin(services, member) for member in ("m-1", "m-2")}
    first, second = await answer(services, answers_to(attempts))
    assert isinstance(first, GradedAttempt)
    assert isinstance(second, Refusal)
    assert (second.code, second.facts) == (Code.BUDGET_EXHAUSTED, {"campaign": "fair"})
    assert (await begin(services, "m-2")).attempt_id == attempts["m-2"].attempt_id
    await approve(services, campaign | {"budget": {"points": 30}}, version=2, at=services.clock.now())
    advance(services, timedelta(seconds=2))
    await services.campaigns.refresh(services.db)
    again = await answer(services, answers_to({"m-2": attempts["m-2"]}))
    assert isinstance(again[0], GradedAttempt)
    assert await granted(services) == [("m-1", 10), ("m-2", 10)]


async def test_answers_name_the_campaign_of_what_they_pay(services: Services) -> None:
    await approve(services, fair({"points": 50}, quizzes=[quiz_document()], games=[WHEEL]))
    attempts = {"m-1": await begin(services, "m-1")}
    first, again = [(await answer(services, answers_to(attempts)))[0] for _ in range(2)]
    (played,) = await spin(services, "m-1")
    for found in (first, again, played):
        assert not isinstance(found, Refusal)
        assert [credit.campaign for credit in found.credits] == ["fair"]


async def test_a_step_is_paid_when_the_budget_can(services: Services) -> None:
    campaign = fair({"points": 15}, challenges=[CRITIC])
    await approve(services, campaign)
    for member in ("m-1", "m-2"):
        await write_reviews(services, "r-1", "r-2", member_id=member)
    await react(services)
    assert await granted(services) == [("m-1", 10)]
    assert await left(services) == (5, None)
    await approve(services, campaign | {"budget": {"points": 20}}, version=2, at=services.clock.now())
    advance(services, timedelta(seconds=2))
    await services.campaigns.refresh(services.db)
    await write_reviews(services, "r-3", member_id="m-2")
    await react(services)
    assert await granted(services) == [("m-1", 10), ("m-2", 10)]
    assert await left(services) == (0, None)


async def spin(services: Services, *members: str) -> list[GamePlayed | Refusal]:
    return await play(services, [PlayRequest(PROGRAM, member, "wheel", "en") for member in members])


async def test_plays_in_two_processes_win_no_more_than_the_budget(
    services: Services, other: Services
) -> None:
    await approve(services, fair({"points": 35, "count": 10}, games=[WHEEL]))
    await other.campaigns.refresh(other.db)
    batches = await asyncio.gather(spin(services, *MEMBERS[:3]), spin(other, *MEMBERS[3:]))
    found = [each for batch in batches for each in batch]
    assert sorted(map(str, codes(found))) == ["None"] * 3 + ["budget_exhausted"] * 3
    assert [points for _, points in await granted(services)] == [10] * 3
    assert await left(services) == (5, 7)


async def test_a_play_that_could_win_what_cannot_be_paid_has_no_number(services: Services) -> None:
    """The number draws the prize. Nobody finds out from a refusal what it would have been."""
    odds = 99_999_999
    prizes = [
        prize("large", odds=f"1/{odds + 1}", points=100),
        prize("small", odds=f"{odds}/{odds + 1}", points=1),
    ]
    await approve(services, fair({"points": 101}, games=[WHEEL | {"prizes": prizes}]))
    first, second = await spin(services, "m-1", "m-2")
    assert isinstance(first, GamePlayed)
    assert codes([second]) == [Code.BUDGET_EXHAUSTED]
    assert (first.number, [credit.points for credit in first.credits]) == (1, [1])
    assert await left(services) == (100, None), "the rest of what was reserved is back"
    (third,) = await spin(services, "m-2")
    assert isinstance(third, GamePlayed)
    assert third.number == 2
    assert codes(await spin(services, "m-3")) == [Code.BUDGET_EXHAUSTED]
    assert await left(services) == (99, None)


async def test_a_member_wins_no_more_than_the_limit_of_members(services: Services) -> None:
    await approve(services, fair({"points_per_member": 25}, games=[WHEEL]))
    assert codes(await spin(services, "m-1", "m-1", "m-1", "m-2")) == [
        None,
        None,
        Code.BUDGET_EXHAUSTED,
        None,
    ]
    assert await granted(services) == [("m-1", 10), ("m-1", 10), ("m-2", 10)]


async def go_in(services: Services, *members: str, draw: str = "raffle") -> list[DrawEntry | Refusal]:
    return await enter(services, [EntryRequest(PROGRAM, member, draw) for member in members])


async def test_a_draw_reserves_its_prizes_and_gives_back_those_that_nobody_wins(
    services: Services, other: Services
) -> None:
    draw = DRAW | {"winners": 4, "points": 20}
    await approve(services, fair({"points": 130, "count": 9}, draws=[draw], games=[WHEEL]))
    await other.campaigns.refresh(other.db)
    entered = await asyncio.gather(go_in(services, "m-1"), go_in(other, "m-2"))
    assert codes([each for batch in entered for each in batch]) == [None, None]
    assert await left(services) == (50, 5), "of two who begin it at once, one reserves"
    await run(services)
    assert await granted(services) == [("m-1", 20), ("m-2", 20)]
    assert await left(services) == (90, 7)


async def test_a_draw_whose_prizes_cannot_be_paid_does_not_begin(services: Services) -> None:
    draw = DRAW | {"winners": 2, "points": 50}
    campaign = fair({"points": 100}, draws=[draw], games=[WHEEL])
    await approve(services, campaign)
    await spin(services, "m-1")
    assert codes(await go_in(services, "m-1", "m-2")) == [Code.BUDGET_EXHAUSTED] * 2
    assert await left(services) == (90, None)
    await approve(services, campaign | {"budget": {"points": 110}}, version=2, at=services.clock.now())
    advance(services, timedelta(seconds=2))
    await services.campaigns.refresh(services.db)
    assert codes(await go_in(services, "m-1", "m-2")) == [None, None]
    assert codes(await spin(services, "m-2")) == [Code.BUDGET_EXHAUSTED], "the rest is promised"


async def test_a_void_draw_gives_all_back(services: Services) -> None:
    """Its only entry was refused, for the post that it lacked."""
    draw = DRAW | {"conditions": {"hashtag": "#fair"}}
    await approve(services, fair({"points": 100}, draws=[draw]))
    assert codes(await go_in(services, "m-1")) == [Code.ENTRY_REJECTED]
    assert await left(services) == (50, None)
    await run(services)
    assert await left(services) == (100, None)


async def test_a_winner_who_may_get_no_more_leaves_the_prize_to_the_budget(services: Services) -> None:
    draw = DRAW | {"winners": 2, "points": 20}
    await approve(services, fair({"points": 100, "points_per_member": 25}, draws=[draw], games=[WHEEL]))
    assert codes(await go_in(services, "m-1", "m-2")) == [None, None]
    assert codes(await spin(services, "m-1")) == [None]
    await run(services)
    assert await granted(services) == [("m-1", 10), ("m-2", 20)]
    assert await left(services) == (70, None)


async def test_the_first_ranks_of_a_board_are_paid_first(services: Services) -> None:
    await approve(services, fair({"points": 100}, leaderboards=[BOARD]))
    for number, member in enumerate(MEMBERS[:3]):
        await write_reviews(services, *(f"r-{n}" for n in range(3 - number)), member_id=member)
    await react(services)
    await run(services)
    assert await granted(services) == [("m-1", 40), ("m-2", 40)]
    assert await left(services) == (20, None)
