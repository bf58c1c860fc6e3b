"""Quizzes give the outcomes of the simulated member, whatever is begun, answered and left to run out.

Steps are drawn: attempts at quizzes with all kinds of windows, one request or several at once in two
processes; answers, right and wrong, first and again; time, over days, weeks and months of the member's zone.
"""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import Struct
from redis.asyncio import Redis

from engage.domain.program import parse, sections
from engage.domain.program.program import Program
from engage.domain.quizzes.attempts import attempts_left
from engage.domain.quizzes.simulated import SimulatedAttempt, SimulatedQuizzes, right_answers
from engage.domain.refusals import Refusal
from engage.flows.quizzes.answer import AnswerRequest, GradedAttempt, answer
from engage.flows.quizzes.open_quizzes import read_quizzes
from engage.flows.quizzes.start import StartRequest, start
from engage.flows.quizzes.views import StartedAttempt
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from engage.store.members.members import NewMember, add_member
from tests.domain.broken_documents import SOUND
from tests.support.audit import assert_audit_is_clean
from tests.support.blocking import BlockingServices, blocking
from tests.support.clock import NOON, advance, stopped_clock
from tests.support.database import rows
from tests.support.generated_cases import cases
from tests.support.programs import services_with
from tests.support.quizzes import quiz_document, quizzes_in_toml

EXAMPLES = 12
WINDOWS = {"ever": 2, "day": 2, "week": 3, "month": 1}
MORE: dict[str, dict[str, Any]] = {"week": {"pass_mark": 1}, "month": {"until": "2026-12-20T12:00:00"}}

DOCUMENT = (
    quizzes_in_toml(
        *(
            quiz_document(
                id=window,
                attempts={"count": allowed, "window": window},
                draw=2,
                shuffle=window != "day",
                **MORE.get(window, {}),
            )
            for window, allowed in WINDOWS.items()
        )
    )
    + SOUND.partition("[[examples]]")[0]
)

_numbers = count(1)


class Start(Struct, frozen=True):
    quiz_id: str
    at_once: int


class AnswerIt(Struct, frozen=True):
    quiz_id: str
    right: int


class Wait(Struct, frozen=True):
    time: timedelta


Step = Start | AnswerIt | Wait

quiz_ids = st.sampled_from(list(WINDOWS))
starts = st.builds(Start, quiz_ids, st.sampled_from([1, 1, 4]))
answering = st.builds(AnswerIt, quiz_ids, st.integers(0, 2))
waits = st.builds(
    Wait,
    st.sampled_from(
        [timedelta(seconds=n) for n in (1, 60, 119, 120)] + [timedelta(hours=n) for n in (1, 11, 24, 24 * 9)]
    ),
)
scenarios = st.lists(
    st.tuples(starts, answering, st.one_of(starts, answering, waits), waits, answering).map(list),
    min_size=2,
    max_size=6,
).map(lambda rounds: [step for steps in rounds for step in steps])


@pytest.fixture
def services(own_database: Settings, valkey: Redis) -> Iterator[BlockingServices]:
    with blocking(services_with(own_database, DOCUMENT)) as opened:
        yield opened


def test_quizzes_go_as_those_of_the_simulated_member(services: BlockingServices) -> None:
    program = parse.parse(DOCUMENT, source="test")

    @given(st.sampled_from(["ES", "GB"]), scenarios)
    @hypothesis_settings(max_examples=cases(EXAMPLES), suppress_health_check=list(HealthCheck))
    def play(country: str, steps: list[Step]) -> None:
        services.run(_play(services.services, program, country, steps))

    play()


async def _play(services: Services, program: Program, country: str, steps: list[Step]) -> None:
    stopped_clock(services).at = NOON
    key = await _join(services, program.id, country)
    member = sections.simulate(program, country)
    expected = member.feature(SimulatedQuizzes)
    attempts: dict[str, StartedAttempt] = {}  # The latest of each quiz.
    async with open_services(services.settings, services.clock) as other:
        await other.programs.refresh(other.db)
        for step in steps:
            now = services.clock.now()
            match step:
                case Wait(time=time):
                    advance(services, time)
                case Start(quiz_id=quiz_id, at_once=at_once):
                    asked = StartRequest(*key, quiz_id, "en")
                    halves = [[asked] * (at_once - at_once // 2), [asked] * (at_once // 2)]
                    found = await asyncio.gather(start(services, halves[0]), start(other, halves[1]))
                    started = {_started(each) for half in found for each in half}
                    assert len(started) == 1, "all have the same attempt, or none"
                    _compare(started.pop(), _expected_start(expected, quiz_id, now))
                    for each in found[0]:
                        if isinstance(each, StartedAttempt):
                            attempts[quiz_id] = each
                case AnswerIt(quiz_id=quiz_id, right=right) if quiz_id in attempts:
                    outcome = await _answer(services, program, key, attempts[quiz_id], quiz_id, right)
                    _compare(outcome, _expected_answer(expected, quiz_id, right, now))
            await _compare_lists(services, program, country, key, expected)
    credits = await rows(
        services.db,
        "SELECT source_key, points, due_at FROM credits WHERE member_id = :m ORDER BY source_key",
        m=key[1],
    )
    simulated = [credit.new for credit in member.account.credits.values()]
    assert credits == sorted((new.source_key, new.points, new.due_at) for new in simulated)
    await assert_audit_is_clean(services)


async def _join(services: Services, program_id: str, country: str) -> tuple[str, str]:
    """Add a member, who earns nothing by it."""
    member = NewMember(
        program_id=program_id,
        member_id=f"m-{next(_numbers)}",
        country=country,
        kind="person",
        birth_date=None,
        person_hash=None,
        earlier_hashes=[],
        phone=None,
        referral_code=None,
        card_numbers=[],
    )
    async with transaction(services.db) as conn:
        await add_member(conn, member, now=services.clock.now())
    return member.key


def _started(found: StartedAttempt | Refusal) -> tuple[Any, ...]:
    if isinstance(found, Refusal):
        return (found.code,)
    return len(found.questions), found.expires_at


def _expected_start(quizzes: SimulatedQuizzes, quiz_id: str, now: datetime) -> tuple[Any, ...]:
    try:
        attempt = quizzes.start(quiz_id, now)
    except Refusal as refusal:
        return (refusal.code,)
    return len(attempt.questions), attempt.expires_at


async def _answer(
    services: Services,
    program: Program,
    key: tuple[str, str],
    attempt: StartedAttempt,
    quiz_id: str,
    right: int,
) -> tuple[Any, ...]:
    (quiz,) = [quiz for quiz in program.quizzes if quiz.id == quiz_id]
    by_id = {question.id: question for question in quiz.questions}
    answers = right_answers([by_id[question.id] for question in attempt.questions], right)
    request = AnswerRequest(*key, quiz_id, attempt.attempt_id, answers, "en")
    (found,) = await answer(services, [request])
    if isinstance(found, Refusal):
        return (found.code,)
    return _graded(found)


def _graded(found: GradedAttempt) -> tuple[Any, ...]:
    credits = [(credit.points, credit.due_at) for credit in found.credits]
    return found.correct, found.total, found.passed, credits


def _expected_answer(quizzes: SimulatedQuizzes, quiz_id: str, right: int, now: datetime) -> tuple[Any, ...]:
    try:
        attempt: SimulatedAttempt = quizzes.answer(quiz_id, quizzes.right_answers(quiz_id, right), now)
    except Refusal as refusal:
        return (refusal.code,)
    graded, credit = attempt.graded, attempt.credit
    assert graded is not None
    credits = [] if credit is None else [(credit.points, credit.due_at)]
    return graded.correct, graded.total, graded.passed, credits


def _compare(found: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    assert found == expected


async def _compare_lists(
    services: Services, program: Program, country: str, key: tuple[str, str], expected: SimulatedQuizzes
) -> None:
    now = services.clock.now()
    shown = {quiz.id: quiz.attempts_left for quiz in await read_quizzes(services, *key, language="en")}
    zone = program.countries[country].zone
    assert shown == {
        quiz.id: attempts_left(quiz, expected.used(quiz.id, now))
        for quiz in program.quizzes
        if quiz.is_open(now, zone)
    }
