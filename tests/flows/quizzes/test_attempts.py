"""Each attempt is begun once, graded once and paid once, whatever happens at the same time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from engage.domain.quizzes.grading import grade
from engage.domain.quizzes.kind import QUIZ
from engage.domain.quizzes.paper import paper
from engage.domain.refusals import Refusal
from engage.flows.definitions.change import add_definition
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.quizzes.answer import AnswerRequest, GradedAttempt, answer
from engage.flows.quizzes.open_quizzes import read_quizzes
from engage.flows.quizzes.start import StartRequest, start
from engage.flows.quizzes.views import StartedAttempt
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import PROGRAM, join, services_with_activities
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, FIVE_MINUTES, advance, stopped_clock
from tests.support.database import rows
from tests.support.programs import services_with
from tests.support.quizzes import QUESTIONS, TELLING, quiz

RIGHT = {"one": ["b"], "several": ["a", "c"], "order": ["d", "b", "a", "c"]}
AT_ONCE = 20


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Services with the quiz `spring`, whose audit must be clean after each test."""
    async with services_with_activities(settings) as opened:
        await define(opened)
        yield opened
        await assert_audit_is_clean(opened)


@pytest.fixture
async def other(settings: Settings, services: Services) -> AsyncIterator[Services]:
    """A second process with the same servers and clock, and separate caches."""
    async with services_with(settings, clock=services.clock) as opened:
        await opened.definitions.refresh(opened.db)
        yield opened


async def define(services: Services, **changes: Any) -> None:
    await add_definition(services, QUIZ, quiz(program=PROGRAM, **changes), operator="test")


async def begin(services: Services, member_id: str = "m-1", quiz_id: str = "spring") -> StartedAttempt:
    (started,) = await start(services, [StartRequest(PROGRAM, member_id, quiz_id, "en")])
    if isinstance(started, Refusal):
        raise started
    return started


def answers(attempt_id: UUID, given: dict[str, list[str]], member_id: str = "m-1") -> AnswerRequest:
    return AnswerRequest(PROGRAM, member_id, "spring", attempt_id, given, "en")


async def end(
    services: Services, attempt_id: UUID, member_id: str = "m-1", given: dict[str, list[str]] = RIGHT
) -> GradedAttempt:
    (graded,) = await answer(services, [answers(attempt_id, given, member_id)])
    if isinstance(graded, Refusal):
        raise graded
    return graded


async def left(services: Services, member_id: str = "m-1") -> int:
    (view,) = await read_quizzes(services, PROGRAM, member_id, language="en")
    return view.attempts_left


async def credits(services: Services, member_id: str = "m-1") -> list[tuple[object, ...]]:
    """(source key, points, state) of what quizzes and mergers have brought."""
    return await rows(
        services.db,
        """SELECT source_key, points, state FROM credits
           WHERE member_id = :m AND points > 0 AND why ->> 'rule' LIKE 'quiz:%' ORDER BY 1""",
        m=member_id,
    )


async def test_twenty_who_begin_at_once_in_two_processes_have_one_attempt(
    services: Services, other: Services
) -> None:
    await join(services)
    await define(services, id="second")
    await other.definitions.refresh(other.db)
    for quiz_id in ("spring", "second"):
        found = await asyncio.gather(
            *(begin((services, other)[n % 2], quiz_id=quiz_id) for n in range(AT_ONCE))
        )
        assert len({attempt.attempt_id for attempt in found}) == 1
        assert all(attempt == found[0] for attempt in found), "the same paper"
    assert await rows(services.db, "SELECT count(*) FROM quiz_attempts") == [(2,)]
    batch = await start(services, [StartRequest(PROGRAM, "m-1", "spring", "en")] * AT_ONCE)
    assert {attempt.attempt_id for attempt in batch if isinstance(attempt, StartedAttempt)} == {
        (await begin(other)).attempt_id
    }


async def test_no_more_attempts_begin_at_once_than_the_window_has(
    services: Services, other: Services
) -> None:
    """Whoever answers at once begins the next one at once."""
    await join(services)

    async def app(process: Services) -> None:
        while True:
            try:
                attempt = await begin(process)
            except Refusal as refusal:
                assert refusal.code == "no_attempts_left"  # noqa: PT017
                return
            await end(process, attempt.attempt_id)

    await asyncio.gather(*(app(process) for process in (services, other) * (AT_ONCE // 2)))
    found = [key for key, _, _ in await credits(services)]
    assert found == ["quiz:spring:2026-11-21:1", "quiz:spring:2026-11-21:2"]


async def test_twenty_answers_at_once_in_two_processes_earn_once(services: Services, other: Services) -> None:
    await join(services)
    attempt = await begin(services)
    found = await asyncio.gather(*(end((services, other)[n % 2], attempt.attempt_id) for n in range(AT_ONCE)))
    assert {credit.id for graded in found for credit in graded.credits} == {found[0].credits[0].id}
    assert all(graded.review == found[0].review for graded in found)
    assert await credits(services) == [("quiz:spring:2026-11-21:1", 10, "pending")]
    batch = await answer(services, [answers(attempt.attempt_id, RIGHT)] * 3)
    assert all(isinstance(graded, GradedAttempt) for graded in batch)


async def test_of_different_answers_at_once_one_counts(services: Services, other: Services) -> None:
    await join(services)
    attempt = await begin(services)
    given = [RIGHT | {"one": [option]} for option in "abcd"] * 5
    requests = [answers(attempt.attempt_id, each) for each in given]
    halves = await asyncio.gather(answer(services, requests[:10]), answer(other, requests[10:]))
    both = [*halves[0], *halves[1]]
    graded = [each for each in both if isinstance(each, GradedAttempt)]
    assert len(graded) == 5, "all that are the same as the first"
    refused = {each.code for each in both if isinstance(each, Refusal)}
    assert refused == {"already_answered"}
    assert len(await credits(services)) == 1


async def test_an_attempt_is_graded_again_from_what_is_kept(services: Services) -> None:
    """Every state follows from seed, version and answers."""
    await define(
        services, id="mixed", shuffle=True, draw=2, pass_mark=1, attempts={"count": 9, "window": "week"}
    )
    await join(services)
    for given in ({"one": ["b"]}, {"several": ["a", "c"]}, {"order": ["a", "b", "c", "d"]}):
        attempt = await begin(services, quiz_id="mixed")
        asked = {question.id for question in attempt.questions}
        request = AnswerRequest(
            PROGRAM,
            "m-1",
            "mixed",
            attempt.attempt_id,
            {id_: chosen for id_, chosen in given.items() if id_ in asked},
            "en",
        )
        await answer(services, [request])
    kept = await rows(
        services.db, "SELECT quiz_id, version, seed, answers, correct, points, of_window FROM quiz_attempts"
    )
    assert len(kept) == 3
    for quiz_id, version, seed, chosen, correct, points, of_window in kept:
        known = await services.definitions.version(services.db, QUIZ, PROGRAM, str(quiz_id), str(version))
        assert isinstance(seed, bytes)
        assert isinstance(chosen, dict)
        again = grade(known, paper(known, seed), chosen)
        assert (again.correct, again.points, of_window) == (correct, points, "2026-W47")


async def test_attempts_of_merged_members_count_together(services: Services) -> None:
    await join(services)
    await join(services, "m-2")
    first, second = await begin(services), await begin(services, "m-2")
    await end(services, second.attempt_id, "m-2")
    await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one person", operator="test")
    assert await left(services) == 0
    assert (await begin(services)).attempt_id == first.attempt_id, "the open one of the survivor goes on"
    await end(services, first.attempt_id)
    with pytest.raises(Refusal, match="no_attempts_left"):
        await begin(services)
    assert [points for _, points, _ in await credits(services)] == [10, 10]
    again = await end(services, second.attempt_id, "m-2")
    assert again.credits[0].points == 10, "under the old id too"
    stopped_clock(services).at += DAY
    third = await begin(services)
    await end(services, third.attempt_id)
    assert ("quiz:spring:2026-11-22:1", 10, "pending") in await credits(services)


async def test_both_open_attempts_of_merged_members_can_be_answered(services: Services) -> None:
    await join(services)
    await join(services, "m-2")
    attempts = [await begin(services), await begin(services, "m-2")]
    await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one person", operator="test")
    for attempt in attempts:
        assert (await end(services, attempt.attempt_id)).credits[0].points == 10
    assert len(await credits(services)) == 2


async def test_a_process_that_does_not_know_of_a_merger_yet_answers_for_the_survivor(
    services: Services, other: Services
) -> None:
    await join(services)
    await join(services, "m-2")
    attempt = await begin(other, "m-2")
    await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one person", operator="test")
    assert (await begin(other, "m-2")).attempt_id == attempt.attempt_id
    await end(other, attempt.attempt_id, "m-2")
    assert await credits(services, "m-2") == []
    assert len(await credits(services)) == 1


async def test_mergers_and_answers_at_the_same_time_lose_nothing(services: Services, other: Services) -> None:
    await join(services)
    await join(services, "m-2")
    attempts = [await begin(services), await begin(services, "m-2")]
    await asyncio.gather(
        end(services, attempts[0].attempt_id),
        end(other, attempts[1].attempt_id, "m-2"),
        merge_members(services, PROGRAM, "m-2", into="m-1", reason="one person", operator="test"),
    )
    assert [points for _, points, _ in await credits(services)] == [10, 10]


async def test_nothing_is_left_of_the_answers_of_an_erased_member(services: Services) -> None:
    await join(services)
    attempt = await begin(services)
    await end(services, attempt.attempt_id)
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    await erase_member(services, PROGRAM, "m-1", operator="test")
    assert await rows(services.db, "SELECT count(*) FROM quiz_attempts") == [(0,)]
    for act in (begin(services), end(services, attempt.attempt_id)):
        with pytest.raises(Refusal, match="unknown_member"):
            await act
    found = await rows(services.db, "SELECT CAST(why AS text) FROM credits WHERE rule_id = 'quiz:spring'")
    assert str(attempt.attempt_id) not in str(found)


async def enrol(services: Services, member_id: str) -> None:
    """Register one and the same person."""
    await register_member(
        services,
        MemberRegistration(member_id=member_id, program=PROGRAM, country="ES", person_ref="DNI 1"),
    )


async def test_a_person_who_joins_again_has_no_attempts_for_ever_again(services: Services) -> None:
    await define(services, id="life", attempts={"count": 2, "window": "ever"})
    await enrol(services, "m-1")
    first = await begin(services, quiz_id="life")
    request = AnswerRequest(PROGRAM, "m-1", "life", first.attempt_id, RIGHT, "en")
    assert isinstance((await answer(services, [request]))[0], GradedAttempt)
    await erase_member(services, PROGRAM, "m-1", operator="test")
    await enrol(services, "m-2")
    second = await begin(services, "m-2", "life")
    request = AnswerRequest(PROGRAM, "m-2", "life", second.attempt_id, RIGHT, "en")
    assert isinstance((await answer(services, [request]))[0], GradedAttempt)
    assert await credits(services, "m-2") == [("quiz:life:ever:2", 10, "pending")]
    with pytest.raises(Refusal, match="no_attempts_left"):
        await begin(services, "m-2", "life")
    shown = {
        quiz.id: quiz.attempts_left for quiz in await read_quizzes(services, PROGRAM, "m-2", language="en")
    }
    assert shown == {"spring": 2, "life": 0}


async def test_no_explanation_is_read_before_the_grade(services: Services) -> None:
    await join(services)
    attempt = await begin(services)
    assert TELLING not in str(attempt)
    graded = await end(services, attempt.attempt_id, given={})
    assert [review.explanation for review in graded.review] == [f"{q['id']} {TELLING}" for q in QUESTIONS]
    assert (graded.correct, graded.passed, graded.credits) == (0, True, [])
